"""What the front end is told by its environment. Keys and the certificate's key belong into secure values.

``WINDTUNNEL_ADDRESS`` (where it listens and finds the scoring container; unset: all addresses, and 127.0.0.1),
``WINDTUNNEL_FRONTEND_PORT`` (443 with TLS, else 80), ``WINDTUNNEL_UPSTREAM_PORT`` (5001), ``WINDTUNNEL_AUTH``
(``key`` or ``none``), ``WINDTUNNEL_PRIMARY_KEY``, ``WINDTUNNEL_SECONDARY_KEY``, ``WINDTUNNEL_TLS_CERT``,
``WINDTUNNEL_TLS_KEY`` (PEM text, or the path of a file), ``WINDTUNNEL_UPSTREAM_TIMEOUT_MS``,
``WINDTUNNEL_MAX_BODY_BYTES``, ``WINDTUNNEL_RUN_FAILED_STATUS`` (500 or 502), ``AML_CORS_ORIGINS``,
``AZUREML_LOG_LEVEL``, ``WINDTUNNEL_GRACE_S``, ``WINDTUNNEL_READY_FILE``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_scoring.environment import Environment
from windtunnel_scoring.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEndSettings:
    """The settings of one front end, checked. Secrets are left out of its ``repr``."""

    address: str = "0.0.0.0"  # noqa: S104 - inside a container; the process runtime gives each group its own address
    port: int = 80
    upstream_address: str = "127.0.0.1"
    upstream_port: int = 5001
    primary_key: str = field(default="", repr=False)
    secondary_key: str = field(default="", repr=False)
    authenticates: bool = True
    tls_certificate: str = ""
    tls_key: str = field(default="", repr=False)
    upstream_timeout_ms: int = 300_000
    """What the documented server gives a worker before it is killed (WORKER_TIMEOUT)."""
    max_body_bytes: int = 100 * _MEGABYTE
    run_failed_status: int = 500
    """What a 500 of the container becomes: itself, as today; 502 as services of 2018 and AKS answer."""
    cors_origins: str = ""
    log_level: str = "INFO"
    grace_s: float = 25.0
    ready_file: Path | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> FrontEndSettings:
        """Raises ``SettingError``, and ``StartError`` for settings that do not go together."""
        environment = Environment(variables)
        default = cls()
        address = environment.text("WINDTUNNEL_ADDRESS")
        certificate, key = environment.text("WINDTUNNEL_TLS_CERT"), environment.text("WINDTUNNEL_TLS_KEY")
        if bool(certificate) != bool(key):
            missing = "WINDTUNNEL_TLS_KEY" if certificate else "WINDTUNNEL_TLS_CERT"
            raise StartError(f"{missing} is not set: TLS needs a certificate and its key; set both or neither")
        authenticates = environment.choice("WINDTUNNEL_AUTH", "key", ("key", "none")) == "key"
        primary = environment.text("WINDTUNNEL_PRIMARY_KEY")
        secondary = environment.text("WINDTUNNEL_SECONDARY_KEY")
        if authenticates and not (primary or secondary):
            # An unset key must never open the service: that has to be said.
            raise StartError(
                "neither WINDTUNNEL_PRIMARY_KEY nor WINDTUNNEL_SECONDARY_KEY is set;"
                " set them, or WINDTUNNEL_AUTH=none for a service that is open to everyone"
            )
        ready = environment.text("WINDTUNNEL_READY_FILE")
        return cls(
            address=address or default.address,
            port=environment.port("WINDTUNNEL_FRONTEND_PORT", 443 if certificate else 80),
            upstream_address=address or default.upstream_address,
            upstream_port=environment.whole("WINDTUNNEL_UPSTREAM_PORT", default.upstream_port, least=1, most=65535),
            primary_key=primary,
            secondary_key=secondary,
            authenticates=authenticates,
            tls_certificate=certificate,
            tls_key=key,
            upstream_timeout_ms=environment.whole(
                "WINDTUNNEL_UPSTREAM_TIMEOUT_MS", default.upstream_timeout_ms, least=1
            ),
            max_body_bytes=environment.whole("WINDTUNNEL_MAX_BODY_BYTES", default.max_body_bytes, least=1),
            run_failed_status=int(environment.choice("WINDTUNNEL_RUN_FAILED_STATUS", "500", ("500", "502"))),
            cors_origins=environment.text("AML_CORS_ORIGINS"),
            log_level=environment.text("AZUREML_LOG_LEVEL", default.log_level),
            grace_s=environment.decimal("WINDTUNNEL_GRACE_S", default.grace_s) or default.grace_s,
            ready_file=Path(ready) if ready else None,
        )
