"""What is kept of requests: inputs and predictions, and telemetry. Row 13."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from windtunnel.interface import Capability

if TYPE_CHECKING:
    from collections.abc import Generator

    from windtunnel_contracts.digits import Digits
    from windtunnel_contracts.place import Place

_CORRELATION = [
    "$aml_dc_correlation_id",
    "$aml_dc_scoring_timestamp",
    "$aml_dc_boundary",
    "$aml_workspace",
    "$aml_service_name",
    "$aml_model_name",
    "$aml_model_version",
    "$aml_request_id",
]
"""As azureml-monitoring appends them to inputs."""
_PATH = r"[^/]+/[^/]+/[^/]+/{service}/[^/]+/1/{designation}/\d{{4}}/\d\d/\d\d/data\.csv"


@pytest.mark.requires(Capability.PREDICT)
class CollectionContract:
    """Off unless it is asked for, and it changes no answer."""

    @pytest.mark.requires(Capability.DATA_COLLECTION)
    def test_inputs_and_predictions_are_kept_under_the_documented_path_with_their_correlation(
        self, place: Place, digits: Digits
    ) -> None:
        with place.shared(digits.model, collect_model_data=True) as service:
            name = service.deployment.name
            answer = service.score(digits.request(2))
            kept = place.kept(name, {"inputs", "predictions"})
        head, *inputs = kept["inputs"]
        _, *predictions = kept["predictions"]
        assert head[-len(_CORRELATION) :] == _CORRELATION
        assert [[float(x) for x in row[:64]] for row in inputs] == digits.pixels[:2].tolist()
        assert [float(x) for x in predictions[0][: len(answer[0])]] == pytest.approx(answer[0], rel=1e-5)
        at = head.index(_CORRELATION[0])
        for row, predicted in zip(inputs, predictions, strict=True):
            assert row[at] in predicted
        for path in place.backend.collected(place.target, name):
            designation = "inputs" if "/inputs/" in path else "predictions"
            assert re.fullmatch(_PATH.format(service=name, designation=designation), path)

    @pytest.mark.requires(Capability.DATA_COLLECTION)
    def test_nothing_is_kept_unless_it_is_asked_for(self, place: Place, digits: Digits) -> None:
        with place.shared(digits.model) as service:
            service.score(digits.request(1))
            assert place.backend.collected(place.target, service.deployment.name) == {}

    @pytest.mark.requires(Capability.APP_INSIGHTS, Capability.CLUSTER)
    @pytest.mark.offline_only("the collector of this test is on this machine, which a cluster in Azure cannot reach")
    def test_requests_are_told_to_the_telemetry_endpoint(self, place: Place, digits: Digits) -> None:
        with _collector() as (endpoint, received):
            own = {"otlp_endpoint": endpoint, "cluster": place.fresh_cluster(), "cluster_purpose": "DevTest"}
            with place.variant(own) as other, other.shared(digits.model, app_insights=True) as service:
                name = service.deployment.name
                assert service.ask(digits.request(1)).status == 200
                end = time.monotonic() + place.patience_s
                while not any(name.encode() in body and b"/score" in body for body in received["/v1/traces"]):
                    assert time.monotonic() < end, "no trace of the request came"
                    time.sleep(0.1)


@contextmanager
def _collector() -> Generator[tuple[str, dict[str, list[bytes]]]]:
    """An OTLP endpoint that keeps what it is sent, by path."""
    received: dict[str, list[bytes]] = {"/v1/traces": [], "/v1/logs": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            received.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="telemetry")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
