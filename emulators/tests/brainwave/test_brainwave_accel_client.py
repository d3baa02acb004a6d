"""Microsoft's own client, unmodified: ``PredictionClient`` of azureml-accel-models against the service.

It needs TensorFlow and old packages, so it runs in an interpreter of its own, whose path is ``WINDTUNNEL_FPGA_CLIENT``
(``tox -e fpga-client`` makes one).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from windtunnel_emulators.brainwave.numerics import Numerics
from windtunnel_emulators.brainwave.service.accelerated import Accelerated
from windtunnel_emulators.brainwave.service.server import PredictionServer
from windtunnel_emulators.brainwave.service.settings import Settings
from windtunnel_emulators.brainwave.transfer import example
from windtunnel_emulators.brainwave.transfer.digits import new_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Serve = Callable[..., int]

PYTHON = os.environ.get("WINDTUNNEL_FPGA_CLIENT", "")
pytestmark = [
    pytest.mark.fpga_client,
    pytest.mark.skipif(
        not PYTHON,
        reason="WINDTUNNEL_FPGA_CLIENT names no interpreter that has azureml-accel-models (tox -e fpga-client)",
    ),
]
HEAD = """
import json, os, sys, time, warnings
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")
import numpy as np
from azureml.accel import PredictionClient
port, folder = int(sys.argv[1]), sys.argv[2]
client = PredictionClient("127.0.0.1", port, service_name="wings", access_token="")
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """The port of a service for a model."""
    servers: list[PredictionServer] = []
    lines: list[str] = []

    def start(model: onnx.ModelProto, numerics: Numerics = Numerics.BFP) -> int:
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        settings = Settings(model_folder=tmp_path, address="127.0.0.1", port=0, numerics=numerics)
        servers.append(PredictionServer(Accelerated(path, settings), settings, lines.append))
        return servers[-1].start()

    yield start
    for server in servers:
        server.stop(0)


def run(body: str, port: int, folder: Path) -> Any:
    ended = subprocess.run(
        [PYTHON, "-c", HEAD + body, str(port), str(folder)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_it_scores_arrays_under_any_name_of_the_input(serve: Serve, tmp_path: Path) -> None:
    _, held_out = new_task()
    np.savez(tmp_path / "digits.npz", pixels=held_out.pixels, labels=held_out.labels)
    body = """
data = np.load(folder + "/digits.npz")
found = client.score_numpy_arrays({"images": data["pixels"]})
named = client.score_numpy_arrays({"images:0": data["pixels"][:2]}, outputs="probabilities")
constant = client.score_numpy_arrays({"images": np.full((3, 1, 16, 16), 0.5, np.float32)})
print(json.dumps([float((found.argmax(1) == data["labels"]).mean()), bool((named == found[:2]).all()), constant.shape]))
"""
    accuracy, same, shape = run(body, serve(example.classifier()), tmp_path)
    assert accuracy > 0.95
    assert same
    assert shape == [3, 5]


def test_it_scores_a_file_of_a_picture(serve: Serve, tmp_path: Path) -> None:
    kernel = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["Placeholder:0"], ["x"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["x", "k"], ["c"]),
            helper.make_node("GlobalAveragePool", ["c"], ["p"]),
            helper.make_node("Flatten", ["p"], ["means:0"]),
        ],
        "means",
        [helper.make_tensor_value_info("Placeholder:0", TensorProto.FLOAT, ["N", 224, 224, 3])],
        [helper.make_tensor_value_info("means:0", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    out = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 100, 0)).save(out, "PNG")
    (tmp_path / "picture.png").write_bytes(out.getvalue())
    body = """
found = client.score_file(folder + "/picture.png", input_name="Placeholder:0", outputs="means:0")
print(json.dumps([float(v) for v in found]))
"""
    found = run(body, serve(model, Numerics.FP32), tmp_path)
    assert np.allclose(np.asarray(found, np.float64), [76.32, -16.779, -103.939], atol=0.05)


def test_it_does_not_try_again_what_is_its_own_fault(serve: Serve, tmp_path: Path) -> None:
    body = """
start = time.monotonic()
try:
    client.score_numpy_arrays({"images": np.zeros((1, 1, 16, 16))})
except Exception as error:
    print(json.dumps([error.code().name, error.details(), time.monotonic() - start]))
"""
    code, details, seconds = run(body, serve(example.classifier()), tmp_path)
    assert code == "INVALID_ARGUMENT"
    assert "array.astype('float32')" in details
    assert seconds < 1
