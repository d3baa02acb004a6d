"""JSON to tensors and back: what fits arrives exactly, and what does not is refused with a sentence, never a 500."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model import body
from windtunnel_scoring.model.elements import BY_ONNX, ELEMENTS, Element, from_bfloat16, to_bfloat16
from windtunnel_scoring.model.from_json import tensor
from windtunnel_scoring.model.runtime import Port

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from windtunnel_scoring.jsontypes import Json
    from windtunnel_scoring.model.elements import Array

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Machines that run other things too may take their time."""

T = TypeVar("T")
NUMERIC = [element for element in ELEMENTS if element.name not in ("string", "bfloat16")]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def port(element: Element | str, shape: tuple[int | str | None, ...], name: str = "x") -> Port:
    found = element if isinstance(element, Element) else next(e for e in ELEMENTS if e.name == element)
    return Port(name=name, type=found.onnx, shape=shape)


def through_json(value: object) -> Json:
    return cast("Json", json.loads(json.dumps(value)))


def outcome(call: Callable[[], T]) -> tuple[T | None, Refusal | None]:
    """What it gives, or its refusal; anything else it raises is a defect."""
    try:
        return call(), None
    except Refusal as refusal:
        return None, refusal


def message(value: Json, to: Port) -> str:
    with pytest.raises(Refusal) as caught:
        tensor(value, to)
    assert caught.value.status == 400
    return caught.value.message


@st.composite
def arrays(draw: st.DrawFn) -> tuple[Element, Array, tuple[int | str | None, ...]]:
    """An element type, an array of it, and a declared shape that the array has."""
    element = draw(st.sampled_from(NUMERIC))
    shape = draw(SHAPES)
    array = draw(hnp.arrays(element.storage, shape))
    # Below an empty list nothing says how long the other dimensions are, so those must be declared.
    declared = tuple(
        size if 0 in shape else draw(st.sampled_from([size, f"d{index}", None])) for index, size in enumerate(shape)
    )
    return element, array, declared


@UNHURRIED
@given(arrays())
def test_numpy_arrays_arrive_as_they_were(drawn: tuple[Element, Array, tuple[int | str | None, ...]]) -> None:
    element, array, declared = drawn
    got = tensor(through_json(array.tolist()), port(element, declared))
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(got, array)


@UNHURRIED
@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=0, max_dims=3, max_side=3)))
def test_bfloat16_arrives_as_it_was(bits: NDArray[np.uint16]) -> None:
    values = from_bfloat16(bits)
    finite = np.where(np.isnan(values), np.float32(0), values)
    got = tensor(through_json(finite.tolist()), port("bfloat16", ("?",) * bits.ndim))
    np.testing.assert_array_equal(from_bfloat16(got), finite)


@UNHURRIED
@given(st.lists(st.floats(width=32), min_size=1))
def test_bfloat16_is_the_nearest_one(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    rounded = from_bfloat16(to_bfloat16(values))
    np.testing.assert_array_equal(np.isnan(rounded), np.isnan(values))
    below = from_bfloat16((values.view(np.uint32) >> np.uint32(16)).astype(np.uint16))
    usual = np.isfinite(values) & np.isfinite(rounded)
    assert (np.abs(rounded[usual] - values[usual]) <= np.abs(below[usual] - values[usual])).all()


@UNHURRIED
@given(hnp.arrays(np.object_, hnp.array_shapes(max_dims=3, max_side=3), elements=st.text()))
def test_text_arrives_as_it_was(array: NDArray[np.object_]) -> None:
    got = tensor(through_json(array.tolist()), port("string", ("?",) * array.ndim))
    assert got.dtype == np.object_
    assert got.tolist() == array.tolist()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data", "x", "y", "z"]), inner),
    max_leaves=20,
)
ports = st.builds(
    port,
    st.sampled_from(ELEMENTS),
    st.lists(st.sampled_from([None, "N", "M", 0, 1, 2, 3]), max_size=3).map(tuple),
)


@settings(UNHURRIED, max_examples=400)
@given(value=json_values, first=ports, several=st.booleans())
def test_anything_else_is_refused_or_has_the_declared_type_and_shape(
    value: Json, first: Port, *, several: bool
) -> None:
    inputs = [first, port("int64", ("N",), "y")] if several else [first]
    feeds, refusal = outcome(lambda: body.feeds(through_json(value), inputs))
    if feeds is None:
        assert refusal is not None
        assert (refusal.status, bool(refusal.message)) == (400, True)
        return
    for item in inputs:
        array = feeds[item.name]
        element = BY_ONNX[item.type]
        assert array.dtype == element.storage
        if item.shape:
            assert len(array.shape) == len(item.shape)
            assert all(not isinstance(d, int) or d == size for d, size in zip(item.shape, array.shape, strict=True))


@UNHURRIED
@given(st.binary() | st.text().map(str.encode))
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    _, refusal = outcome(lambda: body.parse(data))
    assert refusal is None or refusal.status == 400


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "[1,]", "", "nul", '"\\ud800'])
def test_json_that_breaks_readers_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        body.parse(text)
    assert caught.value.status == 400


PIXELS = port("float32", ("N", 4), "data")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1, 2, 3]], " and got shape [1, 3]"),
        ([1, 2, 3, 4], " and got shape [4]"),
        ([[[1, 2, 3, 4]]], " and got shape [1, 1, 4]"),
        (7, " and got the number 7"),
        (None, " and got null"),
        ("abc", " and got the string 'abc'"),
        ({}, " and got an object"),
        ([[1, 2, 3, 4], [5, 6]], "; data[1] has 2 elements where data[0] has 4"),
        ([[1, 2, 3, 4], 5], "; data[1] is the number 5 where a list of 4 is needed"),
        ([[1, 2, 3, "4"]], "; data[0][3] is the string '4'"),
        ([[1, 2, True, 4]], "; data[0][2] is true"),
        ([[1, 2, 3, 4], [1, None, 3, 4]], "; data[1][1] is null; write NaN for a missing number"),
        ([[1, 2, 3, [4]]], "; data[0][3] is a list of 1"),
        ([[1, 2, 3, 1e39]], "; 1e+39 is beyond float32"),
        ([[1, 2, 3, 10**400]], "; it holds a whole number beyond any floating point number"),
        ([[1, 2, 3, "x" * 100]], "; data[0][3] is the string 'xxxxx"),
    ],
)
def test_a_refusal_says_what_is_expected_and_what_came(value: Json, said: str) -> None:
    text = message(value, PIXELS)
    assert text.startswith("input 'data' expects float32 of shape [N, 4]" + said)
    assert len(text) < 150


@pytest.mark.parametrize(
    ("element", "value", "said"),
    [
        ("int64", 1.0, "is the number 1.0"),
        ("int64", True, "is true"),
        ("int8", 128, "128 is outside -128 to 127"),
        ("uint8", -1, "-1 is outside 0 to 255"),
        ("int64", 2**63, f"{2**63} is outside {-(2**63)} to {2**63 - 1}"),
        ("uint64", 2**64, f"{2**64} is outside 0 to {2**64 - 1}"),
        ("uint64", -1, "-1 is outside 0 to"),
        ("int32", 10**100, "1000000"),
        ("bool", 1, "is the number 1"),
        ("bool", "true", "is the string 'true'"),
        ("string", 3, "is the number 3"),
        ("string", "\ud800", "half of a surrogate pair"),
        ("float16", 70000, "70000.0 is beyond float16"),
        ("bfloat16", 3.4e38, "3.4e+38 is beyond bfloat16"),
        ("float64", None, "is null; write NaN for a missing number"),
    ],
)
def test_nothing_is_converted(element: str, value: Json, said: str) -> None:
    assert said in message([value], port(element, ("N",)))


def test_a_large_and_a_negative_number_do_not_wrap_around() -> None:
    assert "-1 is outside" in message([2**63, -1], port("uint64", ("N",)))


def test_the_numbers_that_json_has_not() -> None:
    got = tensor([math.nan, math.inf, -math.inf, 1], port("float32", ("N",)))
    assert [str(value) for value in got.tolist()] == ["nan", "inf", "-inf", "1.0"]


def test_an_empty_batch_has_the_declared_shape() -> None:
    assert tensor([], PIXELS).shape == (0, 4)
    assert tensor([], port("int64", ("N", "M", 3))).shape == (0, 0, 3)


def test_a_model_that_says_no_shape_takes_any() -> None:
    assert tensor([[1], [2]], port("int64", ())).shape == (2, 1)
    assert tensor(5, port("int64", ())).shape == ()
    deep: Json = 1
    for _ in range(33):
        deep = [deep]
    assert "33 levels deep" in message(deep, port("int64", ()))


TWO = [port("float32", ("N",), "left"), port("int64", ("N",), "right")]


@pytest.mark.parametrize("value", [{"left": [1], "right": [2]}, {"data": {"left": [1], "right": [2]}}])
def test_several_inputs_by_name(value: Json) -> None:
    feeds = body.feeds(value, TWO)
    assert {name: array.tolist() for name, array in feeds.items()} == {"left": [1.0], "right": [2]}


@pytest.mark.parametrize(
    "value", [{"data": [[1, 2, 3, 4]]}, {"pixels": [[1, 2, 3, 4]]}, {"data": {"pixels": [[1, 2, 3, 4]]}}]
)
def test_one_input_by_either_name(value: Json) -> None:
    assert body.feeds(value, [port("float32", ("N", 4), "pixels")])["pixels"].tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_an_input_that_is_called_data_among_others() -> None:
    inputs = [port("float32", ("N",), "data"), port("float32", ("N",), "more")]
    assert body.feeds({"data": [1], "more": [2]}, inputs)["data"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1]], 'the body should be a JSON object: {"left": float32 [N], "right": int64 [N]}'),
        ({}, "a value is not provided for the input 'left': the model takes"),
        ({"left": [1]}, "a value is not provided for the input 'right'"),
        ({"data": [1]}, "there is no input 'data'"),
        ({"left": [1], "right": [1], "up": 1}, "there is no input 'up'"),
        ({"left": [1], "right": [1, 2]}, "dimension N is 1 in input 'left' and 2 in input 'right'"),
    ],
)
def test_a_body_that_does_not_name_the_inputs(value: Json, said: str) -> None:
    with pytest.raises(Refusal) as caught:
        body.feeds(value, TWO)
    assert said in caught.value.message
