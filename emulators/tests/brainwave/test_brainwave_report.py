"""The command: documents that are the same each time, files, and sentences for what cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from windtunnel_emulators.brainwave.topologies import recurrent, resnet50

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    Make = Callable[..., onnx.ModelProto]
    Report = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    path = tmp_path / "resnet.onnx"
    path.write_bytes(resnet50().SerializeToString())
    return path


def test_the_document_says_what_programs_rely_on(report: Report, resnet: Path) -> None:
    code, found = report(resnet)
    assert code == 0
    assert (found["device"], found["fits"], found["diagnostics"]) == ("BW_CNN_A10", True, [])
    latency = found["latency_ms"]
    assert 1.65 <= latency["npu"] <= 1.95
    assert latency["npu_range"][0] <= latency["npu"] <= latency["npu_range"][1]
    assert latency["end_to_end"] > latency["npu"]
    assert latency["source"] == "model"
    assert found["error"]["basis"]
    assert found["error"]["mean_pct"] is not None
    assert len(found["layers"]) == 54
    assert {"name", "op", "tiles", "cycles", "bound_by"} <= set(found["layers"][0])
    assert sum(layer["tiles"] for layer in found["layers"]) == 1461
    assert [part["place"] for part in found["partition"]] == ["fpga", "cpu"]
    assert all(phase["source"] == "model" for phase in found["timeline"])
    assert sum(phase["ms"] for phase in found["timeline"]) == pytest.approx(latency["end_to_end"], abs=1e-5)
    assert {entry["device"]: entry["codes"] for entry in found["what_if"]} == {
        "BW_A10": [706],
        "BW_S10": [700, 706],
        "BW_S5": [700, 706],
    }


def test_weak_numbers_are_said_to_be_assumed(report: Report, resnet: Path) -> None:
    _, found = report(resnet)
    status = {number["name"]: number["status"] for number in found["device_numbers"]}
    assert status["native_dim"] == "published"
    assert {status[name] for name in ("mhz", "dram_gbps", "mfu_cycles", "lanes")} == {"assumed"}


@pytest.mark.parametrize("engine", ["closed", "chains"])
def test_the_same_input_gives_the_same_bytes(report: Report, resnet: Path, tmp_path: Path, engine: str) -> None:
    for name in ("a", "b"):
        code, _ = report(resnet, "--engine", engine, "--out", tmp_path / name)
        assert code == 0
    for file in ("report.json", "roofline.svg", "timeline.svg", "trace.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_pictures_are_svg_and_the_trace_is_chromes(report: Report, resnet: Path, tmp_path: Path) -> None:
    _, found = report(resnet, "--engine", "chains", "--out", tmp_path / "out")
    assert len(found["files"]) == 4
    for name in ("roofline.svg", "timeline.svg"):
        root = ET.parse(tmp_path / "out" / name).getroot()
        assert root.tag.endswith("svg")
        titles = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title"))
        assert "res5a_branch2b" in titles
    trace = json.loads((tmp_path / "out" / "trace.json").read_text("utf-8"))
    assert trace["otherData"]["source"] == "model"
    spans = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in spans)
    layers = [event for event in spans if event["pid"] == 2 and event["tid"] == 0]
    assert len(layers) == 54
    total = sum(event["dur"] for event in layers) / 1000
    assert total == pytest.approx(found["latency_ms"]["npu_compute"], abs=0.05)


def test_a_model_that_does_not_fit_has_no_latency(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "gru.onnx"
    path.write_bytes(recurrent("GRU", 2816, 750).SerializeToString())
    code, found = report(path, "--out", tmp_path / "out")
    assert code == 1
    assert (found["fits"], found["device"]) == (False, "BW_S10")
    assert [entry["code"] for entry in found["diagnostics"]] == [703]
    assert found["diagnostics"][0]["suggestion"]
    assert found["latency_ms"]["npu"] is None
    assert found["throughput"] is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]


def test_published_recurrent_rows_come_out_of_the_command(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "gru.onnx"
    path.write_bytes(recurrent("GRU", 1024, 1500).SerializeToString())
    for engine in ("closed", "chains"):
        code, found = report(path, "--engine", engine)
        assert code == 0
        assert found["latency_ms"]["npu"] == pytest.approx(3.792, rel=0.05)
        assert found["layers"][0]["bound_by"] == "latency"


def test_the_network_is_the_callers(report: Report, resnet: Path) -> None:
    near, far = report(resnet)[1], report(resnet, "--rtt-ms", "50")[1]
    assert far["latency_ms"]["end_to_end"] - near["latency_ms"]["end_to_end"] == pytest.approx(49.7)
    assert far["latency_ms"]["npu"] == near["latency_ms"]["npu"]


def test_an_open_batch_is_one_and_other_open_dimensions_are_asked_for(
    report: Report, make_model: Make, tmp_path: Path
) -> None:
    path = tmp_path / "open.onnx"
    node = make_node("Conv", ["x", "w"], ["y"], name="c")
    path.write_bytes(make_model([node], {"x": ("N", 3, 32, 32)}, ["y"], w=(8, 3, 3, 3)).SerializeToString())
    code, found = report(path)
    assert code == 0
    assert found["notes"] == ["the open first dimension of input 'x' is taken as a batch of 1"]
    path.write_bytes(make_model([node], {"x": ("N", 3, "height", 32)}, ["y"], w=(8, 3, 3, 3)).SerializeToString())
    code, found = report(path)
    assert code == 1
    assert "height" in found["failure"]["message"]
    assert "--shape x=" in found["failure"]["way_out"]
    code, found = report(path, "--shape", "x=1,3,64,32")
    assert code == 0
    assert found["layers"][0]["shape"] == [1, 8, 62, 30]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"not a model", "not an ONNX model"), (b'{"a": 1}', "not an ONNX model"), (b"\x08\x08", "ONNX")],
)
def test_what_is_no_model_is_refused(report: Report, tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(content)
    code, found = report(path)
    assert code == 1
    assert words in found["failure"]["message"]
    assert found["failure"]["way_out"]


def test_a_damaged_model_is_refused(report: Report, resnet: Path) -> None:
    resnet.write_bytes(resnet.read_bytes()[:-500])
    code, found = report(resnet)
    assert code == 1
    assert "damaged" in found["failure"]["message"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "GPU"], "no device 'GPU'"),
        (["--device", "INTEL_S10NX"], "no Brainwave"),
        (["--shape", "images"], "not of the form"),
        (["--shape", "images=1,3,0,224"], "no size"),
        (["--shape", "other=1,3,224,224"], "no input 'other'"),
        (["--shape", "images=1,3,224"], "3 dimensions"),
        (["--rtt-ms", "-1"], "--rtt-ms"),
        (["--rtt-ms", "nan"], "--rtt-ms"),
        (["--data", "x.npz"], "precision study"),
    ],
)
def test_wrong_options_are_wrong_usage(report: Report, resnet: Path, options: list[str], words: str) -> None:
    code, found = report(resnet, *options)
    assert code == 2
    assert words in found["failure"]["message"]


def test_a_model_with_nothing_for_the_device_says_what_it_accelerates(
    report: Report, make_model: Make, tmp_path: Path
) -> None:
    path = tmp_path / "exp.onnx"
    path.write_bytes(make_model([make_node("Exp", ["x"], ["y"], name="e")], {"x": (1, 4)}, ["y"]).SerializeToString())
    code, found = report(path)
    assert code == 1
    assert "Conv, GRU, LSTM" in found["failure"]["way_out"]


def test_it_is_a_command_of_its_own(resnet: Path) -> None:
    command = [sys.executable, "-m", "windtunnel_emulators.brainwave", "report", str(resnet)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads(done.stdout)["fits"] is True


def test_the_emulators_start_without_it() -> None:
    code = (
        "import sys; import windtunnel_emulators.host, windtunnel_emulators.__main__;"
        "print([name for name in sys.modules if 'brainwave' in name or name == 'onnx'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_bytes_never_break_it(report: Report, tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(recurrent("LSTM", 64, 3).SerializeToString())
    for place, value in flips:
        content[place % len(content)] = value
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    code, found = report(path)
    assert code in (0, 1)
    if "failure" in found:
        assert found["failure"]["message"]
    else:
        assert found["fits"] is (code == 0)


def test_values_that_nothing_made_are_damage(report: Report, make_model: Make, tmp_path: Path) -> None:
    path = tmp_path / "lost.onnx"
    nodes = [make_node("Relu", ["later"], ["y"], name="a"), make_node("Relu", ["x"], ["later"], name="b")]
    path.write_bytes(make_model(nodes, {"x": (1, 4)}, ["y"]).SerializeToString())
    code, found = report(path)
    assert code == 1
    assert "damaged model" in found["failure"]["message"] or "shapes" in found["failure"]["message"]
