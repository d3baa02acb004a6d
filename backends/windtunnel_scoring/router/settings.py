"""What the router is told by its environment. All else is in the cluster's objects.

``WINDTUNNEL_ADDRESS`` (unset: all addresses), ``WINDTUNNEL_ROUTER_PORT`` (443 with TLS, else 80),
``WINDTUNNEL_INNER_PORT`` (9001), ``WINDTUNNEL_TLS_CERT``, ``WINDTUNNEL_TLS_KEY`` (PEM text, or the path of a file),
``WINDTUNNEL_NAMESPACES`` (separated by commas; unset: the services of all namespaces), ``WINDTUNNEL_MAX_BODY_BYTES``,
``POD_NAME`` (by the downward API), ``AZUREML_LOG_LEVEL``, ``WINDTUNNEL_GRACE_S``, ``WINDTUNNEL_READY_FILE``; for the
way to the Kubernetes API see ``credentials.py``.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_scoring.environment import Environment
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.router.peers import INNER_PORT

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """The settings of one router, checked. Secrets are left out of its ``repr``."""

    address: str = "0.0.0.0"  # noqa: S104 - inside a container; the process runtime gives each group its own address
    port: int = 80
    inner_port: int = INNER_PORT
    tls_certificate: str = ""
    tls_key: str = field(default="", repr=False)
    namespaces: tuple[str, ...] = ()
    """None: all."""
    max_body_bytes: int = 100 * 1024 * 1024
    pod_name: str = ""
    log_level: str = "INFO"
    grace_s: float = 25.0
    ready_file: Path | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> RouterSettings:
        """Raises ``SettingError``, and ``StartError`` for settings that do not go together."""
        environment = Environment(variables)
        default = cls()
        certificate, key = environment.text("WINDTUNNEL_TLS_CERT"), environment.text("WINDTUNNEL_TLS_KEY")
        if bool(certificate) != bool(key):
            missing = "WINDTUNNEL_TLS_KEY" if certificate else "WINDTUNNEL_TLS_CERT"
            raise StartError(f"{missing} is not set: TLS needs a certificate and its key; set both or neither")
        ready = environment.text("WINDTUNNEL_READY_FILE")
        names = (name.strip() for name in environment.text("WINDTUNNEL_NAMESPACES").split(","))
        return cls(
            address=environment.text("WINDTUNNEL_ADDRESS", default.address),
            port=environment.port("WINDTUNNEL_ROUTER_PORT", 443 if certificate else 80),
            inner_port=environment.port("WINDTUNNEL_INNER_PORT", default.inner_port),
            tls_certificate=certificate,
            tls_key=key,
            namespaces=tuple(name for name in names if name),
            max_body_bytes=environment.whole("WINDTUNNEL_MAX_BODY_BYTES", default.max_body_bytes, least=1),
            pod_name=environment.text("POD_NAME", environment.text("HOSTNAME", socket.gethostname())),
            log_level=environment.text("AZUREML_LOG_LEVEL", default.log_level),
            grace_s=environment.decimal("WINDTUNNEL_GRACE_S", default.grace_s) or default.grace_s,
            ready_file=Path(ready) if ready else None,
        )
