"""TensorProto: every way of writing a tensor is read, and nothing that is none gets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from windtunnel_emulators.brainwave.service import tensors
from windtunnel_emulators.brainwave.service.predict_pb2 import PredictRequest, Tensor, TensorShape
from windtunnel_emulators.brainwave.service.refusals import Refused, Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
NUMBERS = st.sampled_from(
    ["float32", "float64", "int32", "uint8", "int16", "int8", "int64", "bool", "uint16", "float16", "uint32", "uint64"]
)
FIELDS = {"float32": (1, "float_val"), "float64": (2, "double_val"), "int32": (3, "int_val"), "uint8": (4, "int_val"),
          "int16": (5, "int_val"), "int8": (6, "int_val"), "int64": (9, "int64_val"), "bool": (10, "bool_val"),
          "uint16": (17, "int_val"), "uint32": (22, "uint32_val"), "uint64": (23, "uint64_val")}  # fmt: skip


def shape(*sizes: int) -> TensorShape:
    return TensorShape(dim=[TensorShape.Dim(size=size) for size in sizes])


def refused_with(tensor: Tensor, name: str) -> Status | None:
    try:
        tensors.read(tensor, name)
    except Refused as refused:
        return refused.status
    return None


def some(data: st.DataObject, dtype: str) -> NDArray[np.generic]:
    return data.draw(arrays.arrays(np.dtype(dtype), data.draw(SHAPES)))


@settings(max_examples=200, deadline=None)
@given(data=st.data(), dtype=NUMBERS)
def test_what_is_written_is_read_back(data: st.DataObject, dtype: str) -> None:
    array = some(data, dtype)
    again = tensors.read(Tensor.FromString(tensors.write(array).SerializeToString()), "x")
    assert isinstance(again, np.ndarray)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(sorted(FIELDS)))
def test_the_typed_lists_are_read_too(data: st.DataObject, dtype: str) -> None:
    array = some(data, dtype)
    number, field = FIELDS[dtype]
    tensor = Tensor(dtype=number, tensor_shape=shape(*array.shape))
    getattr(tensor, field).extend(array.ravel().tolist())
    again = tensors.read(tensor, "x")
    assert isinstance(again, np.ndarray)
    assert np.array_equal(again, array, equal_nan=dtype.startswith("float"))
    assert again.dtype == array.dtype


@given(values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6), more=st.integers(0, 9))
def test_a_short_list_repeats_its_last_value(values: list[float], more: int) -> None:
    tensor = Tensor(dtype=1, tensor_shape=shape(len(values) + more), float_val=values)
    again = tensors.read(tensor, "x")
    assert isinstance(again, np.ndarray)
    assert again.tolist() == [*values, *[values[-1]] * more]


def test_an_empty_list_is_zeros() -> None:
    again = tensors.read(Tensor(dtype=1, tensor_shape=shape(2, 2)), "x")
    assert isinstance(again, np.ndarray)
    assert again.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@given(values=st.lists(st.floats(width=16, allow_nan=False), min_size=1, max_size=8))
def test_halves_are_bit_patterns(values: list[float]) -> None:
    halves = np.array(values, np.float16)
    tensor = Tensor(dtype=19, tensor_shape=shape(len(values)), half_val=halves.view(np.uint16).astype(int).tolist())
    again = tensors.read(tensor, "x")
    assert isinstance(again, np.ndarray)
    assert again.tobytes() == halves.tobytes()


def test_bfloat16_is_the_upper_half_of_a_float() -> None:
    again = tensors.read(Tensor(dtype=14, tensor_shape=shape(2), half_val=[0x3F80, 0xC040]), "x")
    assert isinstance(again, np.ndarray)
    assert again.tolist() == [1.0, -3.0]


def test_strings_are_a_flat_list() -> None:
    assert tensors.read(Tensor(dtype=7, tensor_shape=shape(2), string_val=[b"a", b"\xff"]), "x") == [b"a", b"\xff"]
    written = tensors.write(np.array([b"cat", b"dog"], np.object_))
    assert (written.dtype, list(written.string_val)) == (7, [b"cat", b"dog"])


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (Tensor(dtype=0, tensor_shape=shape(1)), "element type 0"),
        (Tensor(dtype=8, tensor_shape=shape(1)), "DT_COMPLEX64"),
        (Tensor(dtype=1, tensor_shape=shape(-1)), "which no tensor has"),
        (Tensor(dtype=1, tensor_shape=shape(*[1] * 40)), "which no tensor has"),
        (Tensor(dtype=1, tensor_shape=TensorShape(unknown_rank=True)), "unknown_rank"),
        (Tensor(dtype=1, tensor_shape=shape(1 << 40), float_val=[1.0]), "more than 256 MB"),
        (Tensor(dtype=1, tensor_shape=shape(1 << 62, 1 << 62), float_val=[1.0]), "more than 256 MB"),
        (Tensor(dtype=1, tensor_shape=shape(2), tensor_content=b"1234567"), "7 bytes of tensor_content"),
        (Tensor(dtype=1, tensor_shape=shape(1), float_val=[1.0, 2.0]), "2 values in float_val"),
        (Tensor(dtype=4, tensor_shape=shape(1), int_val=[256]), "DT_UINT8 cannot hold"),
        (Tensor(dtype=19, tensor_shape=shape(1), half_val=[-1]), "DT_HALF cannot hold"),
        (Tensor(dtype=7, tensor_shape=shape(2), string_val=[b"a"]), "1 strings"),
        (Tensor(dtype=7, tensor_shape=shape(1), string_val=[b"a", b"b"]), "2 strings"),
        (Tensor(dtype=7, tensor_shape=shape(1), tensor_content=b"a"), "strings in tensor_content"),
    ],
)
def test_what_is_no_tensor_is_refused_so_that_no_client_tries_again(tensor: Tensor, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        tensors.read(tensor, "wings")
    assert refused.value.status is Status.INVALID_ARGUMENT
    assert "'wings'" in refused.value.details


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_tensor_or_a_refusal(content: bytes) -> None:
    try:
        request = PredictRequest.FromString(content)
    except DecodeError:
        return
    for name, tensor in request.inputs.items():
        assert refused_with(tensor, name) in (None, Status.INVALID_ARGUMENT)


@settings(max_examples=300, deadline=None)
@given(
    dtype=st.integers(-1, 30),
    sizes=st.lists(st.integers(-2, 1 << 33), max_size=5),
    content=st.binary(max_size=40),
    floats=st.lists(st.floats(width=32), max_size=4),
    whole=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
    halves=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
)
def test_any_fields_are_a_tensor_or_a_refusal(
    dtype: int, sizes: list[int], content: bytes, floats: list[float], whole: list[int], halves: list[int]
) -> None:
    tensor = Tensor(
        dtype=dtype,
        tensor_shape=shape(*sizes),
        tensor_content=content,
        float_val=floats,
        int_val=whole,
        half_val=halves,
    )
    try:
        found = tensors.read(tensor, "x")
    except Refused:
        return
    assert not isinstance(found, np.ndarray) or list(found.shape) == sizes
