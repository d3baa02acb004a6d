"""What servers use of telemetry; its implementation, ``pipeline.Pipeline``, is imported only when it is on."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.asgi import Headers
    from windtunnel_scoring.record import RequestRecord
    from windtunnel_scoring.telemetry.settings import TelemetrySettings

logger = logging.getLogger("windtunnel")


class Span(Protocol):
    """One request."""

    def headers(self) -> tuple[tuple[str, str], ...]:
        """``traceparent`` for whoever works on it next."""
        ...

    def enter(self) -> None:
        """What this task logs from here on belongs to the request."""
        ...

    def data(self, given: bytes, answered: bytes) -> None:
        """Input and output, unless they are not to be exported."""
        ...

    def end(self, record: RequestRecord) -> None:
        """It is answered. A span that is not ended is not exported."""
        ...


class Telemetry(Protocol):
    """Where spans and logs go."""

    def begin(self, method: str, url: str, headers: Headers) -> Span:
        """A request arrived; continues the trace of its ``traceparent``."""
        ...

    def capture_output(self) -> None:
        """From here on what goes to stdout and stderr is exported too."""
        ...


def start(settings: TelemetrySettings) -> Telemetry | None:
    """None when it is off, or cannot work, which the log says: a service must not fail for its telemetry."""
    if not settings.enabled:
        return None
    try:
        module = importlib.import_module("windtunnel_scoring.telemetry.pipeline")
        make = cast("Callable[[TelemetrySettings], Telemetry]", module.Pipeline)
        return make(settings)
    except ImportError as error:
        logger.error(
            "nothing is exported: %s is not installed here; telemetry needs opentelemetry-sdk,"
            " opentelemetry-exporter-otlp-proto-http and opentelemetry-exporter-otlp-json-file",
            error.name,
        )
    except OSError as error:
        logger.error("nothing is exported: %s cannot be written (%s)", settings.file, error.strerror)
    return None
