"""Rules of liveness and readiness probes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.providers.container_instance.container_bodies import SCHEMES

from .terms import MAX_PORT, invalid, is_port, one_of

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.container_bodies import Probe

_MAX_NUMBER = 2**31 - 1
_PATH_BREAKS = re.compile(r"[\x00-\x20\x7f]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_probe(name: str, container: str, field: str, probe: Probe, path: str) -> None:
    def refuse(problem: str, where: str = "") -> None:
        raise invalid(
            "InvalidProbe",
            f"The '{field}' in container '{container}' of container group '{name}' is invalid: {problem}",
            f"{path}{where}",
        )

    if (probe.exec is None) == (probe.http_get is None):
        refuse("it must have exactly one of 'exec' and 'httpGet'.")
    if probe.exec is not None and not (probe.exec.command and probe.exec.command[0]):
        refuse("its command cannot be empty.", ".exec.command")
    if probe.http_get is not None:
        request = probe.http_get
        if not is_port(request.port):
            refuse(
                f"the port '{'' if request.port is None else request.port}' must be between 1 and {MAX_PORT}.",
                ".httpGet.port",
            )
        if request.scheme is not None and request.scheme not in SCHEMES:
            refuse(f"the scheme '{request.scheme}' is unknown. {one_of(SCHEMES)}", ".httpGet.scheme")
        if _PATH_BREAKS.search(request.path or ""):
            refuse(f"the path '{request.path}' has a blank or a control character.", ".httpGet.path")
        for index, header in enumerate(request.http_headers or []):
            if _HEADER_NAME.fullmatch(header.name or "") is None or _HEADER_BREAKS.search(header.value or ""):
                refuse(f"the header '{header.name or ''}' is no valid HTTP header.", f".httpGet.httpHeaders[{index}]")
    for attribute, value, least in (
        ("initialDelaySeconds", probe.initial_delay_seconds, 0),
        ("periodSeconds", probe.period_seconds, 1),
        ("timeoutSeconds", probe.timeout_seconds, 1),
        ("failureThreshold", probe.failure_threshold, 1),
        ("successThreshold", probe.success_threshold, 1),
    ):
        if value is not None and not least <= value <= _MAX_NUMBER:
            refuse(f"'{attribute}' is '{value}' and must be at least {least}.", f".{attribute}")
    if field == "livenessProbe" and probe.success_threshold not in (None, 1):
        refuse(f"'successThreshold' is '{probe.success_threshold}' and must be 1.", ".successThreshold")
