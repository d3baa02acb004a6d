"""Telemetry: what is exported of requests and output, what is not, and that nothing is there when it is off."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from windtunnel_scoring import swagger
from windtunnel_scoring.app import AppOptions, ScoringApp
from windtunnel_scoring.asgi import Headers
from windtunnel_scoring.executors import PoolExecutor
from windtunnel_scoring.record import RequestRecord
from windtunnel_scoring.script import imports, loader
from windtunnel_scoring.script.scorer import ScriptScorer
from windtunnel_scoring.settings import ServerSettings
from windtunnel_scoring.swagger import Description
from windtunnel_scoring.telemetry import interface
from windtunnel_scoring.telemetry.pipeline import PAYLOAD, Pipeline, cut
from windtunnel_scoring.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.telemetry.conftest import Telemetered
    from windtunnel_scoring.asgi import Message

    Make = Callable[..., Telemetered]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = Headers([(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())])
RECORD = RequestRecord(
    method="POST",
    path="/api/v1/service/svc/score",
    status=502,
    duration_ms=12.5,
    length=7,
    request_id="r-1",
    service="svc",
    version="blue",
    replica="pod-1",
    reason="upstream closed",
)


def test_a_request_is_a_span_with_its_record(telemetered: Make) -> None:
    made = telemetered()
    span = made.pipeline.begin("POST", "https://host/api/v1/service/svc/score?a=1", TRACEPARENT)
    (name, value), *more = span.headers()
    span.end(RECORD)
    found = made.exported()
    (exported,) = found.spans
    assert exported["name"] == "POST /api/v1/service/svc/score"
    assert (exported["traceId"], exported["parentSpanId"], exported["kind"]) == (TRACE, PARENT, 2)
    assert (name, value, more) == ("traceparent", f"00-{TRACE}-{exported['spanId']}-01", [])
    wanted = {
        "http.request.method": "POST",
        "url.full": "https://host/api/v1/service/svc/score?a=1",
        "http.response.status_code": "502",
        "duration_ms": 12.5,
        "success": False,
        "windtunnel.service": "svc",
        "windtunnel.version": "blue",
        "k8s.pod.name": "pod-1",
        "windtunnel.reason": "upstream closed",
        "request.id": "r-1",
    }
    assert {key: exported["attributes"][key] for key in wanted} == wanted
    assert exported["status"]["code"] == 2
    assert found.resources[0]["service.name"] == "svc"


def test_a_span_that_is_not_ended_is_not_exported(telemetered: Make) -> None:
    made = telemetered()
    made.pipeline.begin("GET", "http://host/", Headers([]))
    assert made.exported().spans == []


def test_output_is_exported_and_stays_where_it_is(telemetered: Make, capsys: pytest.CaptureFixture[str]) -> None:
    made = telemetered()
    made.pipeline.capture_output()
    print("one\ntwo")
    print("wrong", file=sys.stderr)
    print("x" * (PAYLOAD + 10))
    sys.stdout.write("not yet")
    made.pipeline.close()
    shown = capsys.readouterr()
    assert shown.out.startswith("one\ntwo\n")
    assert shown.out.endswith("not yet")
    assert shown.err == "wrong\n"
    logs = made.exported().logs
    assert [(log["body"]["stringValue"][:5], log["attributes"]["log.iostream"]) for log in logs] == [
        ("one", "stdout"),
        ("two", "stdout"),
        ("wrong", "stderr"),
        ("xxxxx", "stdout"),
    ]
    assert len(logs[3]["body"]["stringValue"]) == PAYLOAD


def test_a_payload_is_cut_at_64_kb_of_utf8() -> None:
    assert cut("é" * 40_000) == "é" * (PAYLOAD // 2)
    assert cut("a" * PAYLOAD) == "a" * PAYLOAD
    assert len(cut("€" * PAYLOAD).encode()) <= PAYLOAD


SCRIPT = """
def init():
    pass


def run(raw_data):
    print("scoring", raw_data)
    return [1]
"""


async def _score(app: ScoringApp, body: bytes, path: str = "/score") -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"inner"), *TRACEPARENT.raw, (b"x-forwarded-host", b"outer"), (b"x-forwarded-proto", b"https")]
    await app(
        {"type": "http", "method": "POST", "path": path, "query_string": b"q=1", "headers": headers, "scheme": "http"},
        receive,
        send,
    )
    assert sent[0]["status"] == 200


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[Pipeline], ScoringApp]]:
    """Makes the app of a script that prints."""
    before = list(sys.path)
    pool = PoolExecutor(1)
    (tmp_path / "score.py").write_text(SCRIPT, "utf-8")
    scorer = ScriptScorer(loader.load(ServerSettings(app_root=tmp_path, entry_script="score.py")), timeout_ms=60_000)
    document = swagger.build(Description(), name="svc", version="1", prefix="", app_root=tmp_path / "no")

    def make(pipeline: Pipeline) -> ScoringApp:
        return ScoringApp(scorer, pool, document, AppOptions(telemetry=pipeline, observe=lambda _: None))

    yield make
    pool.close()
    sys.path[:] = before
    imports.withdraw()


async def test_what_a_script_prints_belongs_to_its_request(
    telemetered: Make, served: Callable[[Pipeline], ScoringApp], capsys: pytest.CaptureFixture[str]
) -> None:
    made = telemetered()
    app = served(made.pipeline)
    made.pipeline.capture_output()
    await _score(app, b"[7]")
    made.pipeline.close()
    found = made.exported()
    (span,) = found.spans
    assert span["parentSpanId"] == PARENT
    assert span["attributes"]["url.full"] == "https://outer/score?q=1"
    assert span["attributes"]["success"] is True
    by_text = {log["body"]["stringValue"]: log for log in found.logs}
    assert by_text["scoring [7]"]["traceId"] == TRACE
    assert by_text["scoring [7]"]["spanId"] == span["spanId"]
    data = by_text["model data"]
    assert data["attributes"] == {"input": "[7]", "output": "[1]"}
    assert data["spanId"] == span["spanId"]


async def test_inputs_and_outputs_stay_out_when_told(
    telemetered: Make, served: Callable[[Pipeline], ScoringApp]
) -> None:
    made = telemetered(logs_data=False)
    await _score(served(made.pipeline), b"[7]")
    found = made.exported()
    assert found.logs == []
    assert found.spans[0]["attributes"]["url.full"] == "https://outer/score", "a query may hold input"


class Collector:
    """Takes OTLP over HTTP, and reads it with OpenTelemetry's own messages."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.logs: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    request = ExportTraceServiceRequest.FromString(body)
                    collector.spans += [s for r in request.resource_spans for p in r.scope_spans for s in p.spans]
                else:
                    logs = ExportLogsServiceRequest.FromString(body)
                    collector.logs += [s for r in logs.resource_logs for p in r.scope_logs for s in p.log_records]
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_the_standard_variable_exports_by_otlp_over_http(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    settings = TelemetrySettings.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}, "svc")
    telemetry = interface.start(settings)
    assert isinstance(telemetry, Pipeline)
    telemetry.begin("POST", "http://host/score", TRACEPARENT).end(RECORD)
    telemetry.emit("hello", "STDOUT")
    telemetry.close()
    assert [span.trace_id.hex() for span in collector.spans] == [TRACE]
    assert [log.body.string_value for log in collector.logs] == ["hello"]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WINDTUNNEL_TELEMETRY_FILE": "/f", "OTEL_SDK_DISABLED": "true"},
        {"WINDTUNNEL_TELEMETRY_FILE": "/f", "AML_APP_INSIGHTS_ENABLED": "false"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
    ],
)
def test_off(variables: dict[str, str]) -> None:
    settings = TelemetrySettings.from_environment(variables, "svc")
    assert not settings.enabled
    assert interface.start(settings) is None


def test_parts_can_be_off() -> None:
    settings = TelemetrySettings.from_environment(
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x", "WINDTUNNEL_TELEMETRY_FILE": "/f"}, "svc"
    )
    assert (settings.otlp_traces, settings.otlp_logs, settings.file_traces, settings.file_logs) == (
        True,
        False,
        True,
        True,
    )


def test_a_file_that_cannot_be_written_is_said_and_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = TelemetrySettings(service_name="svc", file=tmp_path, file_traces=True)
    assert interface.start(settings) is None
    assert "nothing is exported" in caplog.text


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "windtunnel_scoring.telemetry.pipeline")
    assert interface.start(TelemetrySettings(otlp_traces=True)) is None
    assert "opentelemetry.sdk.trace is not installed here; telemetry needs opentelemetry-sdk" in caplog.text


def test_when_it_is_off_nothing_of_it_is_imported() -> None:
    source = (
        "import sys; import windtunnel_scoring.__main__, windtunnel_scoring.router.__main__;"
        "from windtunnel_scoring.telemetry import interface;"
        "from windtunnel_scoring.telemetry.settings import TelemetrySettings;"
        "assert interface.start(TelemetrySettings.from_environment({}, 'svc')) is None;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'azure.storage'))])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
