"""What the scoring server is told by its environment: the documented server's variables, and a few of ours.

Documented: ``AML_APP_ROOT, AZUREML_SOURCE_DIRECTORY, AZUREML_ENTRY_SCRIPT, AZUREML_MODEL_DIR, SERVICE_NAME,
SERVICE_PATH_PREFIX, SERVICE_VERSION, SCORING_TIMEOUT_MS, AZUREML_LOG_LEVEL, AML_CORS_ORIGINS, WORKER_COUNT,
SEPERATE_HEALTH_ENDPOINT`` (spelled so) with ``HEALTH_PORT``, ``SERVER_VERSION_LOG_RESPONSE_ENABLED``, and
``AZUREML_CONFIG_FILE``: a JSON object of the same names, which the environment overrides.

Ours: ``WINDTUNNEL_ADDRESS, WINDTUNNEL_PORT, WINDTUNNEL_CPUS, WINDTUNNEL_CONCURRENCY, WINDTUNNEL_GRACE_S,
WINDTUNNEL_READY_FILE, WINDTUNNEL_LEGACY_ERRORS``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from windtunnel_scoring.environment import Environment
from windtunnel_scoring.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_DESTINATION = (
    "AML_APP_INSIGHTS_ENABLED has no effect here: there is no destination; set OTEL_EXPORTER_OTLP_ENDPOINT or"
    " WINDTUNNEL_TELEMETRY_FILE"
)
_DESTINATIONS = (
    "WINDTUNNEL_TELEMETRY_FILE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
)
_UNSUPPORTED = (
    ("WORKER_PRELOAD", "each worker runs init() itself"),
    ("AZUREML_DEBUG_PORT", "no debugger is attached"),
)

_COLLECTION = ("AML_MODEL_DC_STORAGE_ENABLED", "AML_MODEL_DC_DEBUG")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The settings of one server, checked."""

    address: str = "0.0.0.0"  # noqa: S104 - inside a container; the process runtime gives each group its own address
    port: int = 5001
    health_port: int | None = None
    app_root: Path = Path("/var/azureml-app")
    source_directory: str = ""
    entry_script: str = ""
    model_directory: Path | None = None
    service_name: str = "ML service"
    service_path_prefix: str = ""
    service_version: str = "1.0"
    scoring_timeout_ms: int = 3_600_000
    log_level: str = "INFO"
    cors_origins: str = ""
    worker_count: int = 1
    cpus: float | None = None
    """The container's limit; None asks the control group."""
    concurrency: int | None = None
    """Requests that the model works on at once; None derives it from the processors."""
    grace_s: float = 25.0
    """For requests in work after SIGTERM; below the 30 s after which Azure kills."""
    ready_file: Path | None = None
    """Written, whole, once the port listens: ``{"pid", "address", "port"}``."""
    legacy_errors: bool = False
    """A failure of run() answers as in 2018: 502 and the exception's text, instead of 500 and a fixed sentence."""
    send_version: bool = True
    collects_data: bool = False
    """A model without a script: whether its inputs and predictions are collected (see ``collection/settings.py``)."""
    unsupported: tuple[str, ...] = ()
    """Sentences about documented variables that are set and have no effect here."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> ServerSettings:
        """Raises ``SettingError``."""
        environment = Environment({**_config_file(variables.get("AZUREML_CONFIG_FILE")), **variables})
        default = cls()
        model = environment.text("AZUREML_MODEL_DIR")
        ready = environment.text("WINDTUNNEL_READY_FILE")
        separate = environment.flag("SEPERATE_HEALTH_ENDPOINT")
        timeout = environment.whole("SCORING_TIMEOUT_MS", default.scoring_timeout_ms, least=1)
        return cls(
            address=environment.text("WINDTUNNEL_ADDRESS", default.address),
            port=environment.port("WINDTUNNEL_PORT", default.port),
            health_port=environment.port("HEALTH_PORT", 5000) if separate else None,
            app_root=Path(environment.text("AML_APP_ROOT", str(default.app_root))),
            source_directory=environment.text("AZUREML_SOURCE_DIRECTORY"),
            entry_script=environment.text("AZUREML_ENTRY_SCRIPT"),
            model_directory=Path(model) if model else None,
            service_name=environment.text("SERVICE_NAME", default.service_name),
            service_path_prefix=environment.text("SERVICE_PATH_PREFIX"),
            service_version=environment.text("SERVICE_VERSION", default.service_version),
            scoring_timeout_ms=timeout,
            log_level=environment.text("AZUREML_LOG_LEVEL", default.log_level),
            cors_origins=environment.text("AML_CORS_ORIGINS"),
            worker_count=environment.whole("WORKER_COUNT", 1, least=1, most=64),
            cpus=environment.decimal("WINDTUNNEL_CPUS", None),
            concurrency=environment.whole("WINDTUNNEL_CONCURRENCY", 0, most=256) or None,
            grace_s=environment.decimal("WINDTUNNEL_GRACE_S", default.grace_s) or default.grace_s,
            ready_file=Path(ready) if ready else None,
            legacy_errors=environment.flag("WINDTUNNEL_LEGACY_ERRORS"),
            collects_data="true" in (environment.text(name).lower() for name in _COLLECTION),
            send_version=environment.flag("SERVER_VERSION_LOG_RESPONSE_ENABLED", default=True),
            unsupported=tuple(_without_effect(environment)),
        )


def _without_effect(environment: Environment) -> Iterator[str]:
    """A sentence for each variable that is set and does nothing."""
    for name, why in _UNSUPPORTED:
        if environment.text(name).lower() not in ("", "false"):
            yield f"{name} has no effect here: {why}"
    if environment.flag("AML_APP_INSIGHTS_ENABLED") and not any(environment.text(name) for name in _DESTINATIONS):
        yield _NO_DESTINATION


def _config_file(path: str | None) -> dict[str, str]:
    """The settings of a file; a file that is named and cannot be read is an error, never ignored."""
    if not path:
        return {}
    try:
        content: object = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingError("AZUREML_CONFIG_FILE", path, f"cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise SettingError("AZUREML_CONFIG_FILE", path, "a JSON object of variable names is needed")
    pairs = cast("dict[str, object]", content)
    return {name: _as_text(value) for name, value in pairs.items() if value is not None}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
