"""Lowering: what joins a chain, what pools and joins of channels cost, the findings of layers that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from onnx.helper import make_node

from windtunnel_emulators.brainwave.analysis import EngineName, analyse
from windtunnel_emulators.brainwave.devices import load_device
from windtunnel_emulators.brainwave.diagnostics import Code
from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.reading import graph_of
from windtunnel_emulators.brainwave.timing.cost import Bound
from windtunnel_emulators.brainwave.timing.program import Op
from windtunnel_emulators.brainwave.topologies import recurrent, vgg16

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel_emulators.brainwave.graph import Graph

    MakeGraph = Callable[..., Graph]

    from windtunnel_emulators.brainwave.analysis import Analysis
    from windtunnel_emulators.brainwave.layers import Layer


def _layers(analysis: Analysis) -> list[Layer]:
    return [layer for some in analysis.layers for layer in some]


def _codes(analysis: Analysis) -> set[Code]:
    return {finding.code for finding in analysis.diagnostics}


def test_a_residual_joins_the_chain_of_the_later_convolution(make_graph: MakeGraph) -> None:
    graph = make_graph(
        [
            make_node("Conv", ["x", "w"], ["a"], name="a", pads=[1] * 4),
            make_node("Conv", ["a", "v"], ["b"], name="b", pads=[1] * 4),
            make_node("BatchNormalization", ["b", *["n"] * 4], ["bn"], name="bn"),
            make_node("Add", ["a", "bn"], ["s"], name="s"),
            make_node("Relu", ["s"], ["y"], name="y"),
        ],
        {"x": (1, 64, 8, 8)},
        ["y"],
        w=(64, 64, 3, 3),
        v=(64, 64, 3, 3),
        n=(64,),
    )
    first, second = _layers(analyse(graph))
    assert first.nodes == ("a",)
    assert second.nodes == ("b", "bn", "s", "y")
    assert second.chain == (Op.VV_MUL, Op.VV_ADD, Op.VV_ADD, Op.V_RELU)
    assert (second.mfus, second.partners) == (2, 64)


def test_what_two_units_cannot_do_is_a_chain_of_its_own(make_graph: MakeGraph) -> None:
    nodes = [make_node("Conv", ["x", "w"], ["a0"], name="conv")]
    nodes += [make_node("Relu", [f"a{i}"], [f"a{i + 1}"], name=f"r{i}") for i in range(3)]
    layers = _layers(analyse(make_graph(nodes, {"x": (1, 64, 8, 8)}, ["a3"], w=(64, 64, 1, 1))))
    assert [layer.nodes for layer in layers] == [("conv", "r0", "r1"), ("r2",)]


def test_a_value_that_is_used_twice_is_written_first(make_graph: MakeGraph) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="conv"),
        make_node("Sigmoid", ["a"], ["s"], name="sigmoid"),
        make_node("Mul", ["a", "s"], ["y"], name="mul"),
    ]
    layers = _layers(analyse(make_graph(nodes, {"x": (1, 64, 8, 8)}, ["y"], w=(64, 64, 1, 1))))
    assert [layer.nodes for layer in layers] == [("conv",), ("sigmoid", "mul")]


@pytest.mark.parametrize(("channels", "moved"), [(128, 0), (96, 64)])
def test_joining_channels_costs_only_what_is_out_of_step(make_graph: MakeGraph, channels: int, moved: int) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="a"),
        make_node("Conv", ["x", "w"], ["b"], name="b"),
        make_node("Concat", ["a", "b"], ["y"], name="join", axis=1),
    ]
    layers = _layers(analyse(make_graph(nodes, {"x": (1, 64, 8, 8)}, ["y"], w=(channels, 64, 1, 1))))
    assert sum(layer.vectors for layer in layers if layer.op == "Concat") == moved


def test_a_depthwise_layer_says_what_it_wastes(make_graph: MakeGraph) -> None:
    node = make_node("Conv", ["x", "w"], ["y"], name="dw", group=256, pads=[1] * 4)
    analysis = analyse(make_graph([node], {"x": (1, 256, 14, 14)}, ["y"], w=(256, 1, 3, 3)))
    (layer,) = _layers(analysis)
    assert layer.tiles == 18
    assert layer.padding_efficiency(128) == pytest.approx(1 / 128)
    assert analysis.fits
    assert "0.8%" in analysis.diagnostics[0].message


def test_weights_that_outgrow_the_registers(make_graph: MakeGraph) -> None:
    wide = make_node("Conv", ["x", "w"], ["y"], name="wide")
    analysis = analyse(make_graph([wide], {"x": (1, 16, 4, 4)}, ["y"], w=(4096, 16, 1, 1)))
    assert _codes(analyse(make_graph([wide], {"x": (1, 16, 4, 4)}, ["y"], w=(2048, 16, 1, 1)))) == set()
    assert analysis.fits  # without a bias nothing of it is in the add-sub registers
    biased = make_node("Conv", ["x", "w", "b"], ["y"], name="wide")
    analysis = analyse(make_graph([biased], {"x": (1, 16, 4, 4)}, ["y"], w=(4096, 16, 1, 1), b=(4096,)))
    assert _codes(analysis) == {Code.ADDSUB_VRF}
    assert "2048 output channels" in analysis.diagnostics[0].suggestion


def test_a_row_that_outgrows_half_the_matrix_registers(make_graph: MakeGraph) -> None:
    node = make_node("Conv", ["x", "w"], ["y"], name="deep")
    analysis = analyse(make_graph([node], {"x": (1, 1024, 4, 4)}, ["y"], w=(8, 1024, 3, 3)))
    assert _codes(analysis) == {Code.TILE_COLUMNS}
    assert not analysis.fits


def test_a_map_too_wide_for_its_window(make_graph: MakeGraph) -> None:
    node = make_node("Conv", ["x", "w"], ["y"], name="panorama")
    analysis = analyse(make_graph([node], {"x": (1, 8, 3, 5000)}, ["y"], w=(8, 8, 3, 3)))
    assert _codes(analysis) == {Code.INITIAL_VRF}


def test_convolutions_need_their_device() -> None:
    graph = graph_of(vgg16(), "vgg")
    assert _codes(analyse(graph, load_device("BW_S10"))) == {Code.NATIVE_DIM}
    assert _codes(analyse(graph, load_device("BW_A10"))) == {Code.DRAM}
    assert analyse(graph).fits


def test_a_device_with_one_unit_runs_no_convolution(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text('name = "ONE"\nbase = "BW_CNN_A10"\nmfus = 1\n')
    assert Code.MFUS in _codes(analyse(graph_of(vgg16(), "vgg"), load_device(str(path))))


def test_recurrent_weights_stay_or_do_not_fit() -> None:
    analysis = analyse(graph_of(recurrent("GRU", 2816, 4), "gru"))
    assert _codes(analysis) == {Code.MATRIX_RF}
    assert "at most 2800" in analysis.diagnostics[0].suggestion
    fitting = analyse(graph_of(recurrent("GRU", 2800, 4), "gru"))
    assert fitting.fits
    assert _layers(fitting)[0].tiles == 294


def test_large_maps_run_in_windows_and_the_weights_of_small_networks_stay(make_graph: MakeGraph) -> None:
    node = make_node("Conv", ["x", "w"], ["y"], name="c", pads=[1] * 4)
    analysis = analyse(make_graph([node], {"x": (1, 1, 8, 8)}, ["y"], w=(16, 1, 3, 3)))
    (part,) = analysis.parts
    assert part.resident
    assert part.first_load == 0
    assert part.layers[0].bound is Bound.LATENCY


@pytest.mark.parametrize("engine", list(EngineName))
@pytest.mark.parametrize("name", ["densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet",
                                  "vgg19", "zfnet512", "bvlc_alexnet"])  # fmt: skip
def test_known_networks_account_for_every_cycle(name: str, engine: EngineName) -> None:
    from importlib import resources

    file = resources.files("onnx").joinpath("backend", "test", "data", "light", f"light_{name}.onnx")
    analysis = analyse(graph_of(onnx.load_from_string(file.read_bytes()), name), engine=engine)
    assert analysis.fits
    for part in analysis.parts:
        assert sum(t.cycles for t in part.layers) + part.first_load == pytest.approx(part.cycles)
        for time in part.layers:
            assert time.cycles >= max(time.mvm, time.mfu)
            assert 0 <= time.utilisation(analysis.device.macs) <= 1
    low, high = analysis.npu_range_ms()
    assert low <= analysis.timeline.npu_ms <= high


def test_the_engines_agree_on_networks(make_graph: MakeGraph) -> None:
    graph = graph_of(vgg16(), "vgg")
    one, other = (analyse(graph, engine=engine).timeline.npu_ms for engine in EngineName)
    assert one == pytest.approx(other, rel=0.03)


def test_channels_that_do_not_match_are_an_error(make_graph: MakeGraph) -> None:
    node = make_node("Conv", ["x", "w"], ["y"], name="c")
    graph = make_graph([node], {"x": (1, 4, 8, 8)}, ["y"], w=(8, 3, 3, 3))
    with pytest.raises(BadModel, match="takes 4 channels, and its weights are for 3"):
        analyse(graph)


def test_weights_beyond_any_device_are_refused_at_once() -> None:
    node = make_node("Conv", ["x", "w"], ["y"], name="huge")
    # A shape and no values: what a damaged file may claim.
    weights = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2**40, 64, 1, 1])
    inputs = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 64, 4, 4])]
    outputs = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    graph = onnx.helper.make_graph([node], "huge", inputs, outputs, [weights])
    with pytest.raises(BadModel, match="no device of this kind could load"):
        analyse(graph_of(onnx.helper.make_model(graph), "huge"))
