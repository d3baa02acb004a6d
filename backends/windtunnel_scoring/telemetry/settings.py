"""What telemetry is told by its environment.

OpenTelemetry's own variables: ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``..._TRACES_ENDPOINT``, ``..._LOGS_ENDPOINT``) is a
destination by OTLP over HTTP; ``OTEL_SDK_DISABLED=true`` turns all off, ``OTEL_TRACES_EXPORTER=none`` and
``OTEL_LOGS_EXPORTER=none`` a part; ``OTEL_RESOURCE_ATTRIBUTES``, headers, certificates, limits and batch sizes are read
by the SDK itself. Ours: ``WINDTUNNEL_TELEMETRY_FILE``, a file that gets lines of OTLP JSON.

Azure ML's: ``AML_APP_INSIGHTS_ENABLED=false`` turns a scoring server's telemetry off;
``APP_INSIGHTS_LOG_RESPONSE_ENABLED=false`` keeps inputs and outputs out of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_scoring.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """The settings of one process, checked."""

    service_name: str = ""
    file: Path | None = None
    otlp_traces: bool = False
    otlp_logs: bool = False
    file_traces: bool = False
    file_logs: bool = False
    logs_data: bool = True
    """Whether inputs and outputs are exported."""

    @property
    def enabled(self) -> bool:
        """Whether anything is exported."""
        return self.otlp_traces or self.otlp_logs or self.file_traces or self.file_logs

    @classmethod
    def from_environment(cls, variables: Mapping[str, str], service_name: str) -> TelemetrySettings:
        """Raises ``SettingError``."""
        environment = Environment(variables)
        file = environment.text("WINDTUNNEL_TELEMETRY_FILE")
        common = environment.text(_ENDPOINT)
        off = environment.flag("OTEL_SDK_DISABLED") or not environment.flag("AML_APP_INSIGHTS_ENABLED", default=True)
        traces = not off and environment.text("OTEL_TRACES_EXPORTER") != "none"
        logs = not off and environment.text("OTEL_LOGS_EXPORTER") != "none"
        return cls(
            service_name=environment.text("OTEL_SERVICE_NAME", service_name),
            file=Path(file) if file else None,
            otlp_traces=traces and bool(common or environment.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")),
            otlp_logs=logs and bool(common or environment.text("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")),
            file_traces=traces and bool(file),
            file_logs=logs and bool(file),
            logs_data=environment.flag("APP_INSIGHTS_LOG_RESPONSE_ENABLED", default=True),
        )
