"""``windtunnel fpga report``: a table for people, JSON for programs, exit codes and ways out."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from windtunnel.cli import fpga, main
from windtunnel.errors import WindtunnelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder: exit code, stdout, stderr."""
    monkeypatch.setenv("WINDTUNNEL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return go


def _save(path: Path, op: str, shape: list[int | str], weights: dict[str, list[int]], **attributes: Any) -> Path:
    values = [numpy_helper.from_array(np.zeros(dims, np.float32), name) for name, dims in weights.items()]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *weights], ["y"], name="first", **attributes)],
        "test",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        values,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def convolution(tmp_path: Path) -> Path:
    return _save(tmp_path / "conv.onnx", "Conv", [1, 3, 32, 32], {"w": [16, 3, 3, 3]})


def test_json_is_the_simulators_document(run: Run, convolution: Path) -> None:
    code, out, err = run("fpga", "report", str(convolution), "-o", "json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["device"] == "BW_CNN_A10"
    assert found["latency_ms"]["source"] == "model"
    assert found["layers"][0]["tiles"] == 2


def test_the_table_says_that_latencies_are_a_models_and_how_sure(run: Run, convolution: Path, tmp_path: Path) -> None:
    code, out, err = run("fpga", "report", str(convolution), "--out", str(tmp_path / "report"))
    assert code == 0
    for words in ("conv on BW_CNN_A10", "(model", "error ", "BOUND BY", "Bottleneck", "Other devices", "assumed"):
        assert words in out
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.json", "roofline.svg", "timeline.svg", "trace.json",
    }  # fmt: skip
    assert "roofline.svg" in err


def test_a_model_that_does_not_fit_is_reported_and_fails(run: Run, tmp_path: Path) -> None:
    model = _save(
        tmp_path / "gru.onnx", "GRU", [2, 1, 2000], {"w": [1, 6000, 2000], "r": [1, 6000, 2000]}, hidden_size=2000
    )
    code, out, err = run("fpga", "report", str(model), "-d", "bw_a10")
    assert code == 1
    assert "fits        NO" in out
    assert "error 703  first" in out
    assert "way out" in out
    assert "does not fit" in err
    code, out, _ = run("fpga", "report", str(model), "-d", "bw_a10", "-o", "json")
    assert code == 1
    assert json.loads(out)["fits"] is False


def test_the_users_mistakes_are_sentences(run: Run, convolution: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    for arguments, expected, words in (
        (["text.onnx"], 1, "not an ONNX model"),
        (["missing.onnx"], 1, "no model file"),
        ([str(convolution), "-d", "BW_S11"], 2, "BW_S11"),
        ([str(convolution), "--shape", "x"], 2, "--shape"),
        ([str(convolution), "--out", os.devnull + "/x"], 2, "--out"),
    ):
        code, out, err = run("fpga", "report", *arguments)
        assert (code, out) == (expected, "")
        assert err.startswith("error: ")
        assert words in err
        assert "Traceback" not in err


def test_a_simulator_that_breaks_is_a_defect_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpga, "MODULE", "windtunnel_emulators.no_such_module")
    with pytest.raises(WindtunnelError, match="No module named") as caught:
        fpga.run_simulator(["report"])
    assert "defect" in (caught.value.way_out or "")
