"""Spans and logs through OpenTelemetry's SDK: batches with bounded queues, sent by its exporters on its own threads.

A request is a server span with the attributes of the semantic conventions for HTTP, and ``success`` as Application
Insights has it. A payload (a line of output, an input, an output) is cut at 64 KB.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final, TextIO, cast
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from windtunnel_scoring import VERSION, current, ending
from windtunnel_scoring.telemetry import output

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from windtunnel_scoring.asgi import Headers
    from windtunnel_scoring.record import RequestRecord
    from windtunnel_scoring.telemetry.settings import TelemetrySettings

PAYLOAD: Final = 64 * 1024
_SCOPE = "windtunnel"
_PROPAGATOR = TraceContextTextMapPropagator()


class Pipeline:
    """One per process. Flushed when the process ends."""

    def __init__(self, settings: TelemetrySettings) -> None:
        """Raises ``OSError`` when the file cannot be opened."""
        resource = Resource.create({"service.name": settings.service_name, "service.version": VERSION})
        tracers, loggers = (
            TracerProvider(resource=resource, shutdown_on_exit=False),
            LoggerProvider(resource=resource, shutdown_on_exit=False),
        )
        writes = settings.file_traces or settings.file_logs
        self._stream = _lines(settings.file) if writes and settings.file is not None else None
        spans, logs = _exporters(settings, self._stream)
        for exporter in spans:
            tracers.add_span_processor(BatchSpanProcessor(exporter))
        for sink in logs:
            loggers.add_log_record_processor(BatchLogRecordProcessor(sink))
        self._tracers, self._loggers = tracers, loggers
        self._tracer = tracers.get_tracer(_SCOPE, VERSION)
        self._logger = loggers.get_logger(_SCOPE, VERSION)
        self._exports_logs = bool(logs)
        ending.at_end(self.close)
        self._with_data = settings.logs_data
        self._closed = False

    def begin(self, method: str, url: str, headers: Headers) -> RequestSpan:
        carrier = {name: value for name in ("traceparent", "tracestate") if (value := headers.get(name)) is not None}
        parent = _PROPAGATOR.extract(carrier)
        # A query may hold input.
        url = url if self._with_data else url.partition("?")[0]
        parts = urlsplit(url)
        attributes = {
            "http.request.method": method,
            "url.full": url,
            "url.path": parts.path,
            "url.scheme": parts.scheme,
            "server.address": parts.hostname or "",
        }
        span = self._tracer.start_span(
            f"{method} {parts.path}", context=parent, kind=trace.SpanKind.SERVER, attributes=attributes
        )
        return RequestSpan(self, span)

    def capture_output(self) -> None:
        if self._exports_logs:
            output.capture(self.emit)

    def emit(self, text: str, stream: str, context: object = None) -> None:
        """A record of output."""
        severity = SeverityNumber.ERROR if stream == "STDERR" else SeverityNumber.INFO
        now = time.time_ns()
        self._logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now,
                context=cast("Context | None", context or current.trace.get()),
                severity_number=severity,
                severity_text=severity.name,
                body=cut(text),
                attributes={"log.iostream": stream.lower()},
            )
        )

    def data(self, context: Context, given: bytes, answered: bytes) -> None:
        """An input and its output."""
        if not (self._with_data and self._exports_logs):
            return
        now = time.time_ns()
        texts = {
            name: cut(value[: PAYLOAD + 1].decode("utf-8", "replace"))
            for name, value in (("input", given), ("output", answered))
        }
        self._logger.emit(
            LogRecord(
                timestamp=now,
                observed_timestamp=now,
                context=context,
                severity_number=SeverityNumber.INFO,
                severity_text="INFO",
                body="model data",
                attributes=texts,
                event_name="windtunnel.model_data",
            )
        )

    def flush(self) -> None:
        """Export what waits; for tests and for the end."""
        self._tracers.force_flush()
        self._loggers.force_flush()

    def close(self) -> None:
        """Flush, and export nothing more."""
        output.release()
        if self._closed:
            return
        self._closed = True
        self._tracers.shutdown()
        self._loggers.shutdown()
        if self._stream is not None:
            self._stream.close()


class RequestSpan:
    """The span of one request."""

    def __init__(self, pipeline: Pipeline, span: trace.Span) -> None:
        self._pipeline = pipeline
        self._span = span
        self._context = trace.set_span_in_context(span)

    def headers(self) -> tuple[tuple[str, str], ...]:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, context=self._context)
        return tuple(carrier.items())

    def enter(self) -> None:
        current.trace.set(self._context)

    def data(self, given: bytes, answered: bytes) -> None:
        self._pipeline.data(self._context, given, answered)

    def end(self, record: RequestRecord) -> None:
        texts = {
            "request.id": record.request_id,
            "client.request.id": record.client_request_id,
            "windtunnel.service": record.service,
            "windtunnel.version": record.version,
            "k8s.pod.name": record.replica,
            "windtunnel.reason": record.reason,
        }
        self._span.set_attributes({name: value for name, value in texts.items() if value})
        self._span.set_attributes(
            {
                "http.response.status_code": record.status,
                "http.response.body.size": record.length,
                "duration_ms": record.duration_ms,
                "success": record.status < 400,
            }
        )
        if record.status >= 500:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def cut(text: str) -> str:
    """What of a payload is exported: 64 KB of UTF-8 at most."""
    if len(text) * 4 <= PAYLOAD:
        return text
    data = text.encode("utf-8", "replace")
    return text if len(data) <= PAYLOAD else data[:PAYLOAD].decode("utf-8", "ignore")


def _exporters(
    settings: TelemetrySettings, stream: TextIO | None
) -> tuple[list[SpanExporter], list[LogRecordExporter]]:
    spans: list[SpanExporter] = []
    logs: list[LogRecordExporter] = []
    if settings.otlp_traces:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        spans.append(OTLPSpanExporter())
    if settings.otlp_logs:
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

        logs.append(OTLPLogExporter())
    if stream is not None:
        from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
        from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter

        if settings.file_traces:
            spans.append(FileSpanExporter(stream=stream))
        if settings.file_logs:
            logs.append(FileLogExporter(stream=stream))
    return spans, logs


def _lines(file: Path) -> TextIO:
    """The file, to which each line goes in one write: other processes write to it too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = io.FileIO(file, "a")
    return io.TextIOWrapper(cast("io.BufferedWriter", raw), encoding="utf-8", write_through=True)
