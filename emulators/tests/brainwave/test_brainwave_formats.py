"""Block floating point: the definition, its presets, and that the fast ways are the slow one, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from windtunnel_emulators.brainwave.errors import BadOption
from windtunnel_emulators.brainwave.numerics import PRESETS, BlockFormat, Session, preset
from windtunnel_emulators.brainwave.numerics.activations import Layout, quantised
from windtunnel_emulators.brainwave.numerics.editing import Editor
from windtunnel_emulators.brainwave.numerics.reference import quantise
from windtunnel_emulators.brainwave.numerics.weights import convolution, matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 2.0**99
VALUES = st.one_of(
    st.floats(-LARGEST, LARGEST, width=32),
    st.integers(-60, 60).map(lambda e: 2.0**e),
    # Just below a power of two, where a logarithm in float32 gives the power.
    st.integers(-60, 60).map(lambda e: float(np.nextafter(np.float32(2.0**e), np.float32(0)))),
    st.just(0.0),
    st.just(-0.0),
)
BLOCKS = st.sampled_from([1, 3, 16, 128])
FORMATS = st.one_of(
    st.sampled_from(sorted(PRESETS)).map(preset),
    st.builds(
        BlockFormat,
        name=st.just("any"),
        mantissa_bits=st.integers(1, 8),
        exponent_bits=st.sampled_from([5, 8]),
        block=BLOCKS,
    ),
)


def through_nodes(
    values: NDArray[np.float32], number: BlockFormat, *, last: bool, positive: bool, opset: int
) -> NDArray[np.generic]:
    """What onnxruntime makes of the inserted nodes."""
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * values.ndim)
    wanted = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [given], [wanted])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    editor = Editor(model)
    layout = Layout(length=values.shape[-1 if last else 1], last=last)
    editor.node("Identity", [quantised(editor, "x", layout, number, positive=positive)], output="y")
    editor.finish()
    return Session(model, threads=1).run({"x": values})["y"]


def bits(values: NDArray[np.generic]) -> NDArray[np.int32]:
    return np.ascontiguousarray(values, np.float32).view(np.int32)


@settings(max_examples=60, deadline=None)
@given(
    values=arrays.arrays(np.float32, st.tuples(st.integers(1, 2), st.integers(1, 300)), elements=VALUES),
    number=FORMATS,
    last=st.booleans(),
    opset=st.sampled_from([13, 18]),
    absolute=st.booleans(),
)
def test_the_inserted_nodes_are_the_reference_bit_for_bit(
    values: NDArray[np.float32], number: BlockFormat, last: bool, opset: int, absolute: bool
) -> None:
    values = np.abs(values) if absolute else values
    found = through_nodes(values, number, last=last, positive=absolute, opset=opset)
    assert np.array_equal(bits(found), bits(quantise(values, number, axis=-1 if last else 1)))


@pytest.mark.parametrize("channels", [3, 64, 128, 192, 256, 512])
@pytest.mark.parametrize("name", ["1s.5e.5m", "MSFP12", "MXFP4_E2M1"])
def test_maps_of_channels_are_rounded_along_the_channels(channels: int, name: str) -> None:
    random = np.random.default_rng(channels)
    spread = np.exp(4 * random.standard_normal((2, channels, 3, 5)))
    values = np.asarray(random.standard_normal((2, channels, 3, 5)) * spread, np.float32)
    found = through_nodes(values, preset(name), last=False, positive=False, opset=17)
    assert np.array_equal(bits(found), bits(quantise(values, preset(name), axis=1)))


@settings(max_examples=60, deadline=None)
@given(
    values=arrays.arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 200)), elements=VALUES),
    number=FORMATS,
    axis=st.integers(0, 1),
    offset=st.integers(0, 130),
)
def test_weights_are_the_reference_bit_for_bit(
    values: NDArray[np.float32], number: BlockFormat, axis: int, offset: int
) -> None:
    found = matrix(values, number, inputs_axis=axis, offset=offset)
    assert np.array_equal(bits(found), bits(quantise(values, number, axis=axis, offset=offset)))


@settings(max_examples=60, deadline=None)
@given(values=arrays.arrays(np.float32, st.integers(1, 130), elements=st.floats(-1000, 1000, width=32)), number=FORMATS)
def test_what_is_rounded_stays_as_it_is_and_no_element_is_off_by_more_than_half_a_step(
    values: NDArray[np.float32], number: BlockFormat
) -> None:
    rounded = quantise(values, number)
    assert np.array_equal(quantise(rounded, number), rounded)
    for start in range(0, len(values), number.block):
        part, got = values[start : start + number.block], rounded[start : start + number.block]
        largest = float(np.abs(part).max())
        step = 2.0 ** (max(np.floor(np.log2(largest)) if largest else 0, number.lowest) + 2 - number.mantissa_bits)
        # Half a step, or a whole one for what would round to the power of two above; the bound below covers both.
        assert np.abs(got - part).max() <= step


def test_halves_go_to_the_even_neighbour_and_the_largest_saturates() -> None:
    number = BlockFormat(name="1s.5e.2m", mantissa_bits=2, exponent_bits=5, block=8)
    values = np.array([1.9, 0.25, 0.75, 1.25, -0.25, -0.75, 0.5, 0.0], np.float32)
    assert quantise(values, number).tolist() == [1.5, 0.0, 1.0, 1.0, 0.0, -1.0, 0.5, 0.0]
    assert quantise(np.array([1e9, 1.0], np.float32), number).tolist() == [49152.0, 0.0]  # 1.5 * 2^15
    assert quantise(np.array([2.0**-20], np.float32), number).tolist() == [0.0]


def test_mxfp4_elements_are_those_of_the_standard() -> None:
    number = preset("MXFP4_E2M1")
    every = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    assert quantise(every, number).tolist() == every.tolist()
    assert quantise(np.array([6, 5, 2.5, 0.25, 0.75], np.float32), number).tolist() == [6, 4, 2, 0, 1]


def test_a_group_of_a_convolution_has_the_blocks_of_the_whole_vector() -> None:
    random = np.random.default_rng(0)
    number = BlockFormat(name="small", mantissa_bits=3, exponent_bits=8, block=4)
    kernel = random.standard_normal((4, 6, 1, 1)).astype(np.float32)  # two groups of six channels
    found = convolution(kernel, 2, number)
    assert np.array_equal(found[:2], quantise(kernel[:2], number, axis=1))
    assert np.array_equal(found[2:], quantise(kernel[2:], number, axis=1, offset=2))
    assert not np.array_equal(found[2:], quantise(kernel[2:], number, axis=1))


@pytest.mark.parametrize(("bits_", "exponent", "block"), [(0, 5, 128), (9, 8, 128), (5, 6, 128), (5, 5, 0)])
def test_what_cannot_be_emulated_is_refused(bits_: int, exponent: int, block: int) -> None:
    with pytest.raises(BadOption):
        BlockFormat(name="x", mantissa_bits=bits_, exponent_bits=exponent, block=block)


def test_an_unknown_preset_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadOption) as refused:
        preset("ms-fp7")
    assert "MSFP12" in (refused.value.way_out or "")


def test_every_preset_has_a_source() -> None:
    assert all(number.source and number.confidence in ("A", "B") for number in PRESETS.values())
    assert preset("MSFP12").bits_per_element == 4.5
    assert preset("MXFP4_E2M1").bits_per_element == 4.25
