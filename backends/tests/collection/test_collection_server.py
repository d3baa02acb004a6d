"""Collection and telemetry in a scoring server that runs: everything is there when it has ended."""

from __future__ import annotations

import csv
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0
SCRIPT = """
import time
from azureml.monitoring import ModelDataCollector


def init():
    global inputs_dc, predictions_dc
    inputs_dc = ModelDataCollector("m", designation="inputs", feature_names=["a"])
    predictions_dc = ModelDataCollector("m", designation="predictions", feature_names=["p"])


def run(raw_data):
    correlations = inputs_dc.collect([1])
    predictions_dc.collect(predictions_dc.add_correlations([2], correlations))
    print("collected")
    while raw_data == "hang":
        time.sleep(0.01)
    return [2]
"""


def doubling() -> bytes:
    """x: rows of two numbers; y: their doubles."""
    given, answered = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", [given], [answered])
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


class Server:
    """A scoring server that collects into a folder and flushes only at its end."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        ready, self._log = folder / "ready.json", folder / "log.txt"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "WINDTUNNEL_ADDRESS": "127.0.0.1",
            "WINDTUNNEL_PORT": "0",
            "WINDTUNNEL_READY_FILE": str(ready),
            "AML_APP_ROOT": str(folder),
            "AML_MODEL_DC_STORAGE_ENABLED": "true",
            "AML_MODEL_DC_STORAGE": str(folder / "out"),
            "WINDTUNNEL_DC_FLUSH_S": "3600",
            "WINDTUNNEL_TELEMETRY_FILE": str(folder / "telemetry.jsonl"),
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
            "OTEL_BLRP_SCHEDULE_DELAY": "3600000",
            **variables,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "windtunnel_scoring"], env=environment, stdout=log, stderr=log
            )
        self.wait(ready.exists)
        self.port = int(json.loads(ready.read_text("utf-8"))["port"])

    def wait(self, holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + DEADLINE_S
        while not holds():
            assert self.process.poll() is None, self._log.read_text("utf-8")
            assert time.monotonic() < ends, self._log.read_text("utf-8")
            time.sleep(0.005)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def logged(self, text: str) -> bool:
        return text in self._log.read_text("utf-8")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def files(self) -> dict[str, list[dict[str, str]]]:
        """Rows by designation."""
        paths = (self.folder / "out" / "modeldata").rglob("data.csv")
        return {path.parts[-5]: list(csv.DictReader(path.read_text("utf-8").splitlines())) for path in paths}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers."""
    started: list[Server] = []

    def make(**variables: str) -> Server:
        started.append(Server(tmp_path, variables))
        return started[-1]

    yield make
    for server in started:
        server.process.kill()
        server.process.wait(DEADLINE_S)


def test_a_script_collects_and_prints(start: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT, "utf-8")
    server = start(AZUREML_ENTRY_SCRIPT="score.py")
    connection = server.connect()
    connection.request("POST", "/score", "x", {"x-request-id": "r-1"})
    assert connection.getresponse().status == 200
    connection.close()
    assert server.end() == 0
    found = server.files()
    assert [row["a"] for row in found["inputs"]] == ["1"]
    assert found["inputs"][0]["$aml_request_id"] == "r-1"
    assert found["predictions"][0]["$aml_dc_correlation_id"] == found["inputs"][0]["$aml_dc_correlation_id"]
    telemetry = (tmp_path / "telemetry.jsonl").read_text("utf-8")
    assert '"resourceSpans"' in telemetry
    assert '"stringValue":"collected"' in telemetry
    assert "POST /score 200" in telemetry, "the log goes there too"


def test_requests_that_are_dropped_do_not_take_collections_with_them(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "score.py").write_text(SCRIPT, "utf-8")
    server = start(AZUREML_ENTRY_SCRIPT="score.py", WINDTUNNEL_GRACE_S="0.05")
    connection = server.connect()
    connection.request("POST", "/score", "hang")
    server.wait(lambda: server.logged("collected"))
    assert server.end() == 1
    connection.close()
    assert [row["a"] for row in server.files()["inputs"]] == ["1"]
    assert '"stringValue":"collected"' in (tmp_path / "telemetry.jsonl").read_text("utf-8")


def test_a_model_without_a_script_is_collected_by_the_server(start: Callable[..., Server], tmp_path: Path) -> None:
    folder = tmp_path / "azureml-models" / "doubling" / "3"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(doubling())
    server = start(AZUREML_MODEL_DIR=str(folder), SERVICE_NAME="svc")
    connection = server.connect()
    connection.request("POST", "/score", '{"data": [[1, 2]]}', {"content-type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()
    assert server.end() == 0
    found = server.files()
    assert (found["inputs"][0]["x_0"], found["predictions"][0]["y_1"]) == ("1.0", "4.0")
    assert found["inputs"][0]["$aml_model_name"] == "doubling"
    assert found["inputs"][0]["$aml_model_version"] == "3"
    assert found["inputs"][0]["$aml_service_name"] == "svc"
