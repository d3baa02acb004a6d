"""The partition: where a model is cut, and what is said of what the device does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from onnx.helper import make_node

from windtunnel_emulators.brainwave.analysis import analyse
from windtunnel_emulators.brainwave.diagnostics import Code, Severity
from windtunnel_emulators.brainwave.errors import BadModel
from windtunnel_emulators.brainwave.layers import Form
from windtunnel_emulators.brainwave.partition import Place, partition

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import NodeProto

    from windtunnel_emulators.brainwave.graph import Graph

    MakeGraph = Callable[..., Graph]

IMAGE = {"x": (1, 3, 32, 32)}


def _conv(x: str, name: str, weights: str, **attributes: Any) -> NodeProto:
    return make_node("Conv", [x, weights], [f"{name}:0"], name=name, **attributes)


def test_the_fpga_part_is_from_the_first_convolution_to_the_pool(make_graph: MakeGraph) -> None:
    graph = make_graph(
        [
            make_node("Mul", ["x", "scale"], ["s"], name="scaled"),
            _conv("s", "c", "w"),
            make_node("Relu", ["c:0"], ["r"], name="r"),
            make_node("GlobalAveragePool", ["r"], ["p"], name="p"),
            make_node("Flatten", ["p"], ["f"], name="f"),
            make_node("Gemm", ["f", "d"], ["y"], name="g"),
        ],
        IMAGE,
        ["y"],
        scale=(1, 3, 1, 1),
        w=(8, 3, 3, 3),
        d=(8, 10),
    )
    found = partition(graph)
    assert [(s.place, [n.name for n in s.nodes]) for s in found.segments] == [
        (Place.CPU, ["scaled"]),
        (Place.FPGA, ["c", "r"]),
        (Place.CPU, ["p", "f", "g"]),
    ]
    assert found.diagnostics == ()
    assert found.segments[1].inputs == ("s",)
    assert found.segments[1].outputs == ("r",)


def test_an_operator_that_it_lacks_is_an_island_with_a_round_trip(make_graph: MakeGraph) -> None:
    graph = make_graph(
        [
            _conv("x", "a", "w"),
            make_node("LRN", ["a:0"], ["n"], name="norm", size=5),
            _conv("n", "b", "v"),
        ],
        IMAGE,
        ["b:0"],
        w=(8, 3, 3, 3),
        v=(8, 8, 3, 3),
    )
    analysis = analyse(graph)
    assert [s.place for s in analysis.partition.segments] == [Place.FPGA, Place.CPU, Place.FPGA]
    assert analysis.partition.islands == 1
    assert analysis.fits
    (finding,) = analysis.diagnostics
    assert (finding.code, finding.severity, finding.subject) == (Code.SUBSET, Severity.WARNING, "norm")
    assert "round trip" in finding.message
    names = [phase.name for phase in analysis.timeline.phases]
    assert "CPU island" in names
    assert sum(name.startswith("PCIe and invocation") for name in names) == 2


def test_what_skips_an_island_stays_on_the_device(make_graph: MakeGraph) -> None:
    graph = make_graph(
        [
            _conv("x", "a", "w", pads=[1, 1, 1, 1]),
            make_node("Softplus", ["a:0"], ["n"], name="soft"),
            _conv("n", "b", "v", pads=[1, 1, 1, 1]),
            make_node("Add", ["b:0", "a:0"], ["y"], name="sum"),
        ],
        IMAGE,
        ["y"],
        w=(8, 3, 3, 3),
        v=(8, 8, 3, 3),
    )
    last = partition(graph).segments[-1]
    assert last.place is Place.FPGA
    assert last.inputs == ("n",)


def test_a_squeeze_and_excitation_block_is_an_island(make_graph: MakeGraph) -> None:
    graph = make_graph(
        [
            _conv("x", "a", "w"),
            make_node("GlobalAveragePool", ["a:0"], ["p"], name="pool"),
            _conv("p", "squeeze", "s"),
            make_node("Sigmoid", ["squeeze:0"], ["g"], name="gate"),
            make_node("Mul", ["a:0", "g"], ["m"], name="scale"),
            _conv("m", "b", "v"),
        ],
        IMAGE,
        ["b:0"],
        w=(8, 3, 3, 3),
        s=(8, 8, 1, 1),
        v=(8, 8, 3, 3),
    )
    analysis = analyse(graph)
    assert analysis.partition.islands == 1
    assert [layer.name for some in analysis.layers for layer in some] == ["a", "squeeze", "scale", "b"]


def test_nothing_for_the_device_is_an_error_that_says_what_there_is(make_graph: MakeGraph) -> None:
    graph = make_graph([make_node("Exp", ["x"], ["y"], name="e")], IMAGE, ["y"])
    with pytest.raises(BadModel, match=r"runs nothing of test \(it has Exp\)"):
        partition(graph)


def test_a_three_dimensional_convolution_says_why(make_graph: MakeGraph) -> None:
    graph = make_graph([_conv("x", "c", "w")], {"x": (1, 3, 8, 8, 8)}, ["c:0"], w=(4, 3, 3, 3, 3))
    with pytest.raises(BadModel, match="3 spatial dimensions"):
        partition(graph)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"linear_before_reset": 1}, "linear_before_reset"),
        ({"clip": 1.0}, "clips"),
        ({"activations": ["Relu", "Tanh"]}, "relu, tanh"),
    ],
)
def test_recurrent_modes_that_the_provider_refused(
    make_graph: MakeGraph, attributes: dict[str, Any], words: str
) -> None:
    node = make_node("GRU", ["x", "w", "r"], ["y"], name="gru", hidden_size=16, **attributes)
    graph = make_graph([node], {"x": (5, 1, 16)}, ["y"], w=(1, 48, 16), r=(1, 48, 16))
    with pytest.raises(BadModel, match=words):
        partition(graph)


def test_a_batch_is_the_wrong_payload(make_graph: MakeGraph) -> None:
    node = make_node("LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=16)
    graph = make_graph([node], {"x": (5, 2, 16)}, ["y"], w=(1, 64, 16), r=(1, 64, 16))
    with pytest.raises(BadModel, match="batch of 2"):
        partition(graph)


def test_a_dense_network_runs_when_there_is_nothing_else(make_graph: MakeGraph) -> None:
    nodes = [make_node("Gemm", ["x", "a"], ["h"], name="one"), make_node("Relu", ["h"], ["r"], name="relu"),
             make_node("Gemm", ["r", "b"], ["y"], name="two")]  # fmt: skip
    analysis = analyse(make_graph(nodes, {"x": (1, 784)}, ["y"], a=(784, 512), b=(512, 10)))
    layers = [layer for some in analysis.layers for layer in some]
    assert analysis.device.name == "BW_S10"
    assert [(layer.name, layer.form, layer.tiles) for layer in layers] == [
        ("one", Form.DENSE, 4),
        ("two", Form.DENSE, 2),
    ]
    assert analysis.parts[0].resident
