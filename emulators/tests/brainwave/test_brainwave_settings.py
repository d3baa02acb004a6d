"""The service as a process: its settings, its exit codes, and that its generated messages are up to date."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from windtunnel_emulators.brainwave.errors import BadOption
from windtunnel_emulators.brainwave.numerics import Numerics
from windtunnel_emulators.brainwave.service import predict_pb2, tensors
from windtunnel_emulators.brainwave.service.predict_pb2 import PredictRequest, PredictResponse
from windtunnel_emulators.brainwave.service.settings import Pace, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOTS = os.pathsep.join(p for p in sys.path if p)
LIMIT_S = 60.0


def test_defaults_are_those_of_the_service() -> None:
    settings = Settings.of({"AZUREML_MODEL_DIR": "models"})
    assert (settings.port, settings.device, settings.numerics, settings.pace, settings.replicas) == (
        50051, "BW_CNN_A10", Numerics.BFP, Pace.VIRTUAL, 1,
    )  # fmt: skip
    assert (settings.keys, settings.tls) == ((), None)


PEM = "-----BEGIN CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AZUREML_MODEL_DIR": ""}, "AZUREML_MODEL_DIR is not set"),
        ({"WINDTUNNEL_PORT": "http"}, "WINDTUNNEL_PORT='http'"),
        ({"WINDTUNNEL_PORT": "65536"}, "from 0 to 65535"),
        ({"WINDTUNNEL_REPLICAS": "0"}, "from 1 to 64"),
        ({"WINDTUNNEL_FPGA_NUMERICS": "int8"}, "is not known"),
        ({"WINDTUNNEL_FPGA_PACE": "fast"}, "is not known"),
        ({"WINDTUNNEL_FPGA_SCALING": "nan"}, "no number"),
        ({"WINDTUNNEL_TLS_CERT": PEM}, "only one is set"),
        ({"WINDTUNNEL_TLS_CERT": "/nowhere.pem", "WINDTUNNEL_TLS_KEY": PEM}, "neither PEM nor a file"),
        ({"WINDTUNNEL_PRIMARY_KEY": "p" * 32}, "no certificate"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadOption, match=words) as refused:
        Settings.of({"AZUREML_MODEL_DIR": "models", **environment})
    assert "p" * 32 not in str(refused.value)


def run(environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "windtunnel_emulators.brainwave.service"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ROOTS, "WINDTUNNEL_ADDRESS": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def write(folder: Path, op: str) -> None:
    weights = np.eye(4, dtype=np.float32)
    node = helper.make_node(op, ["x", "w"] if op == "MatMul" else ["x"], ["y"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")] if op == "MatMul" else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def test_a_model_that_the_device_does_not_run_ends_the_process_as_a_failed_init_does(tmp_path: Path) -> None:
    write(tmp_path, "Relu")
    ended = run({"AZUREML_MODEL_DIR": str(tmp_path)})
    assert ended.returncode == 3
    assert "error: the device runs nothing of model" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("files", [0, 2])
def test_a_folder_without_exactly_one_model_is_a_wrong_setting(tmp_path: Path, files: int) -> None:
    for number in range(files):
        (tmp_path / f"{number}.onnx").write_bytes(b"")
    ended = run({"AZUREML_MODEL_DIR": str(tmp_path)})
    assert ended.returncode == 2
    assert f"there are {files} .onnx files" in ended.stdout


def test_the_process_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    write(tmp_path, "MatMul")
    environment = {"AZUREML_MODEL_DIR": str(tmp_path), "WINDTUNNEL_ADDRESS": "127.0.0.1", "WINDTUNNEL_PORT": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "windtunnel_emulators.brainwave.service"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": ROOTS, **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = int(line.partition("port ")[2].partition(",")[0])
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                    "/tensorflow.serving.PredictionService/Predict"
                )
                request = PredictRequest(inputs={"images": tensors.write(np.ones((1, 4), np.float32))})
                answer = PredictResponse.FromString(call(request.SerializeToString(), timeout=LIMIT_S))
            assert list(answer.outputs) == ["output_alias"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()


def test_the_client_has_the_same_messages() -> None:
    ours = Path(predict_pb2.__file__)
    found = util.find_spec("windtunnel.prediction")
    assert found is not None
    assert found.origin is not None
    client = Path(found.origin).parent
    for name in ("predict_pb2.py", "predict_pb2.pyi"):
        assert (client / name).read_bytes() == ours.with_name(name).read_bytes()


@pytest.mark.skipif(util.find_spec("grpc_tools") is None, reason="grpcio-tools, which makes them, is not installed")
def test_the_messages_are_those_of_the_proto_file() -> None:
    from windtunnel_emulators.brainwave.service.generate import generated

    folder = Path(predict_pb2.__file__).parent
    made = generated()
    # protoc's comments differ between versions; the descriptor does not.
    assert made["predict_pb2.py"] == (folder / "predict_pb2.py").read_text("utf-8")
