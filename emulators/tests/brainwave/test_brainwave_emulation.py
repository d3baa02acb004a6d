"""Emulated models: products that agree with exact arithmetic, recurrent layers, fp16, and honest refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from windtunnel_emulators.brainwave.numerics import Numerics, Session, emulate, preset
from windtunnel_emulators.brainwave.numerics.emulation import NotEmulated
from windtunnel_emulators.brainwave.numerics.formats import MOST_BITS, BlockFormat
from windtunnel_emulators.brainwave.numerics.reference import quantise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

CNN = preset("1s.5e.5m")
FINEST = BlockFormat(name="finest", mantissa_bits=MOST_BITS, exponent_bits=8, block=1)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int] | Sequence[int | str]],
    outputs: Sequence[str],
    values: Mapping[str, NDArray[np.generic]],
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(dims)) for name, dims in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def spread(random: np.random.Generator, *shape: int) -> Floats:
    """Values whose blocks have very different exponents."""
    blocks = np.exp(random.standard_normal((*shape[:1], max(1, shape[1] // 128), *[1] * (len(shape) - 2))))
    blocks = np.repeat(blocks, -(-shape[1] // blocks.shape[1]), axis=1)[:, : shape[1]]
    return (random.standard_normal(shape) * blocks).astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "kernel", "groups"),
    [(3, 7, 1), (64, 3, 1), (192, 1, 1), (256, 3, 1), (512, 1, 1), (64, 3, 64), (256, 3, 2)],
)
def test_convolutions_agree_with_exact_arithmetic_after_the_devices_rounding(
    channels: int, kernel: int, groups: int
) -> None:
    random = np.random.default_rng(channels + kernel)
    source = spread(random, 1, channels, 8, 8)
    weights = spread(random, 64 if groups == 1 else channels, channels // groups, kernel, kernel)
    weights *= np.float32(1 / (kernel * channels))
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[kernel // 2] * 4, group=groups)
    emulated = emulate(model_of([node], {"x": source.shape}, ["y"], {"w": weights}), CNN)
    assert emulated.rounded == ("y",)
    found = Session(emulated.model).run({"x": source})["y"]
    exact = _convolved(quantise(source, CNN, axis=1), _kernel(weights, groups), groups)
    same = np.asarray(found, np.float16) == exact.astype(np.float16)
    assert same.mean() >= 0.995


def _kernel(weights: Floats, groups: int) -> Floats:
    rows, width = weights.shape[0] // groups, weights.shape[1]
    parts = [
        quantise(weights[g * rows : (g + 1) * rows], CNN, axis=1, offset=g * width % CNN.block) for g in range(groups)
    ]
    return np.concatenate(parts)


def _convolved(source: Floats, weights: Floats, groups: int) -> NDArray[np.float64]:
    """In float64, with the padding that keeps the size."""
    side, pad = source.shape[2], weights.shape[2] // 2
    padded = np.pad(source.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows, width = weights.shape[0] // groups, weights.shape[1]
    total = np.zeros((1, weights.shape[0], side, side))
    for g in range(groups):
        for i in range(weights.shape[2]):
            for j in range(weights.shape[3]):
                window = padded[0, g * width : (g + 1) * width, i : i + side, j : j + side]
                taps = weights[g * rows : (g + 1) * rows, :, i, j].astype(np.float64)
                total[0, g * rows : (g + 1) * rows] += np.einsum("oc,chw->ohw", taps, window)
    return total


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_dense_layers_are_exact_where_one_block_holds_the_input(opset: int) -> None:
    random = np.random.default_rng(opset)
    source, weights = spread(random, 5, 128), spread(random, 128, 40)
    bias = np.zeros(40, np.float32)
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["y"]),
        helper.make_node("MatMul", ["x", "w"], ["z"]),
    ]
    model = model_of(nodes, {"x": ["N", 128]}, ["y", "z"], {"w": weights, "b": bias}, opset)
    found = Session(emulate(model, CNN).model).run({"x": source})
    exact = quantise(source, CNN).astype(np.float64) @ quantise(weights, CNN, axis=0).astype(np.float64)
    for name in ("y", "z"):
        assert np.array_equal(found[name], exact.astype(np.float32))


def test_a_weight_that_the_exporter_transposed_is_a_weight() -> None:
    weights = spread(np.random.default_rng(1), 7, 128)
    nodes = [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    emulated = emulate(model_of(nodes, {"x": ["N", 128]}, ["y"], {"w": weights}), CNN)
    assert emulated.rounded == ("y",)


@pytest.mark.parametrize("op", ["GRU", "LSTM"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("initial", [False, True])
def test_recurrent_layers_written_out_are_the_operators(op: str, direction: str, initial: bool) -> None:
    random = np.random.default_rng(7)
    gates, steps, width, hidden = {"GRU": 3, "LSTM": 4}[op], 5, 40, 33
    ways = 2 if direction == "bidirectional" else 1
    values: dict[str, NDArray[np.generic]] = {
        "w": random.standard_normal((ways, gates * hidden, width)).astype(np.float32) * np.float32(0.3),
        "r": random.standard_normal((ways, gates * hidden, hidden)).astype(np.float32) * np.float32(0.3),
        "b": random.standard_normal((ways, 2 * gates * hidden)).astype(np.float32),
    }
    outputs = ["y", "h", *(["c"] if op == "LSTM" else [])]
    inputs: dict[str, Sequence[int]] = {"x": [steps, 1, width]}
    names = ["x", "w", "r", "b", ""]
    if initial:
        states = ["h0", *(["c0"] if op == "LSTM" else [])]
        names += states
        inputs |= {key: [ways, 1, hidden] for key in states}
    node = helper.make_node(op, names, outputs, hidden_size=hidden, direction=direction)
    given = {name: random.standard_normal(dims).astype(np.float32) for name, dims in inputs.items()}
    wanted = Session(model_of([node], inputs, outputs, values)).run(given)
    found = Session(emulate(model_of([node], inputs, outputs, values), FINEST).model).run(given)
    coarse = Session(emulate(model_of([node], inputs, outputs, values), CNN).model).run(given)
    for name in outputs:
        assert found[name].shape == wanted[name].shape
        # One exponent to each element and 8 bits: what is left is the rounding of single numbers.
        assert np.abs(np.asarray(found[name], np.float64) - np.asarray(wanted[name], np.float64)).max() < 0.03
        assert not np.array_equal(found[name], coarse[name])


def test_the_state_of_a_recurrent_layer_is_rounded_at_every_step() -> None:
    """One step by hand, with the definition."""
    random = np.random.default_rng(3)
    hidden, width = 20, 12
    w = random.standard_normal((1, 3 * hidden, width)).astype(np.float32)
    r = random.standard_normal((1, 3 * hidden, hidden)).astype(np.float32)
    node = helper.make_node("GRU", ["x", "w", "r", "", "", "h0"], ["y"], hidden_size=hidden)
    model = model_of([node], {"x": [1, 1, width], "h0": [1, 1, hidden]}, ["y"], {"w": w, "r": r})
    x = random.standard_normal((1, 1, width)).astype(np.float32)
    h = random.standard_normal((1, 1, hidden)).astype(np.float32)
    found = np.asarray(Session(emulate(model, CNN).model).run({"x": x, "h0": h})["y"], np.float64).ravel()

    def product(matrix: Floats, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        rounded = quantise(vector.astype(np.float32), CNN).astype(np.float64)
        return quantise(matrix, CNN, axis=1).astype(np.float64) @ rounded

    def gate(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-sums))

    state, inputs = h.astype(np.float64).ravel(), product(w[0], x.astype(np.float64).ravel())
    update = gate(inputs[:hidden] + product(r[0][:hidden], state))
    reset = gate(inputs[hidden : 2 * hidden] + product(r[0][hidden : 2 * hidden], state))
    new = np.tanh(inputs[2 * hidden :] + product(r[0][2 * hidden :], reset * state))
    assert np.allclose(found, (1 - update) * new + update * state, atol=1e-5)


def test_what_a_chain_writes_goes_through_fp16() -> None:
    weights = np.ones((128, 2), np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
        helper.make_node("MatMul", ["y", "v"], ["z"]),
    ]
    values = {"w": weights, "v": np.eye(2, dtype=np.float32)}
    emulated = emulate(model_of(nodes, {"x": ["N", 128]}, ["y"], values), CNN, Numerics.BFP_FP16)
    source = np.full((1, 128), 2.875, np.float32)
    source[0, 0] = 2.75  # the sum is 367.875, and fp16 has steps of 0.25 there
    found = Session(emulated.model).run({"x": source})["y"]
    exact = quantise(source, CNN).sum()
    assert exact != np.float16(exact)
    assert found.ravel().tolist() == [float(np.float16(exact))] * 2
    casts = [node for node in emulated.model.graph.node if node.op_type == "Cast"]
    assert len(casts) == 4  # Relu ends a chain, and so does the last product; the first product does not


def test_a_product_by_what_is_computed_is_left_alone_and_said() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    emulated = emulate(model_of([node], {"x": ["N", 4], "w": [4, 3]}, ["y"], {}), CNN)
    assert emulated.rounded == ()
    assert emulated.exact == (("y", "its weights are computed, or not float32"),)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"linear_before_reset": 1}, "linear_before_reset"),
        ({"clip": 3.0}, "clips"),
        ({"activations": ["Relu", "Tanh"]}, "activations are relu"),
        ({"layout": 1}, "batch first"),
    ],
)
def test_a_recurrent_layer_that_the_device_does_not_have_is_refused(attributes: dict[str, object], reason: str) -> None:
    values = {"w": np.ones((1, 6, 3), np.float32), "r": np.ones((1, 6, 2), np.float32)}
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=2)
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    with pytest.raises(NotEmulated, match=reason) as refused:
        emulate(model_of([node], {"x": [4, 1, 3]}, ["y"], values), CNN, on_device={"y"})
    assert "numerics=fp32" in (refused.value.way_out or "")


def test_an_old_model_is_converted_first() -> None:
    weights = np.ones((128, 4), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = model_of(nodes, {"x": ["N", 128]}, ["y"], {"w": weights}, opset=9)
    assert emulate(model, CNN).rounded == ("y",)


def test_float32_is_the_model_as_it_is() -> None:
    weights = np.ones((128, 4), np.float32)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["N", 128]}, ["y"], {"w": weights})
    before = model.SerializeToString()
    assert emulate(model, CNN, Numerics.FP32).model.SerializeToString() == before
