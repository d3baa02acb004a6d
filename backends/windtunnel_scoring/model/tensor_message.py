"""ONNX's ``TensorProto`` as a value, and between it and numpy: what ONNX Runtime Server's clients send and get.

Elements are in ``raw`` (little-endian) or in the one typed field of their type (onnx.proto3: small integers, booleans
and the bits of half-precision numbers in ``int32s``). Elements outside of the message are refused, so that no request
names a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NoReturn, cast

import numpy as np

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model.elements import BY_NUMBER, integer_limits, narrowed
from windtunnel_scoring.model.from_json import expectation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_scoring.model.elements import Array, Element
    from windtunnel_scoring.model.runtime import Port


@dataclass(slots=True, kw_only=True)
class TensorMessage:
    """One tensor on the wire."""

    dims: Sequence[int] = ()
    number: int = 0
    """Its ``data_type``."""
    raw: bytes | None = None
    floats: Sequence[float] = ()
    doubles: Sequence[float] = ()
    int32s: Sequence[int] = ()
    int64s: Sequence[int] = ()
    uint64s: Sequence[int] = ()
    strings: Sequence[bytes] = ()
    elsewhere: bool = False
    """Whether its elements are in a file, or in segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictRequest:
    """``predict.proto``."""

    inputs: Mapping[str, TensorMessage]
    output_filter: tuple[str, ...] = ()


TYPED_FIELDS: Mapping[int, str] = {
    1: "floats",
    2: "int32s",
    3: "int32s",
    4: "int32s",
    5: "int32s",
    6: "int32s",
    7: "int64s",
    8: "strings",
    9: "int32s",
    10: "int32s",
    11: "doubles",
    12: "uint64s",
    13: "uint64s",
    16: "int32s",
}
"""Where the elements of a data type are when they are not raw."""


def to_array(message: TensorMessage, port: Port) -> Array:
    """The tensor for an input; raises ``Refusal``."""
    element = BY_NUMBER.get(message.number)
    if element is None or element is not port.element:
        name = f" ({element.name})" if element else ""
        _refuse(port, f"; dataType is {message.number}{name}")
    if message.elsewhere:
        _refuse(port, "; its elements are not in the message")
    dims = tuple(message.dims)
    if any(dim < 0 for dim in dims) or len(dims) > 32:
        _refuse(port, f"; dims are {list(dims)[:33]}")
    count = prod(dims)
    if message.raw is not None and element.kind != "string":
        array = _from_raw(message.raw, element, count, port)
    else:
        array = _from_typed(message, element, count, port)
    return array.reshape(dims)


def from_array(array: Array, element: Element, *, raw: bool) -> TensorMessage:
    """The message of a tensor; strings are never raw."""
    message = TensorMessage(dims=array.shape, number=element.number)
    flat = array.reshape(-1)
    if element.kind == "string":
        message.strings = [str(text).encode() for text in cast("list[object]", flat.tolist())]
    elif raw:
        message.raw = flat.astype(element.storage.newbyteorder("<"), copy=False).tobytes()
    else:
        bits = {"float16": np.uint16, "bool": np.uint8}.get(element.name)
        setattr(message, TYPED_FIELDS[element.number], (flat if bits is None else flat.view(bits)).tolist())
    return message


def _from_raw(raw: bytes, element: Element, count: int, port: Port) -> Array:
    size = element.storage.itemsize
    if len(raw) != count * size:
        _refuse(port, f"; rawData has {len(raw)} bytes where {count} elements of {size} bytes are needed")
    if element.kind == "boolean":
        return np.asarray(np.frombuffer(raw, np.uint8) != 0)
    return np.frombuffer(raw, element.storage.newbyteorder("<")).astype(element.storage)


def _from_typed(message: TensorMessage, element: Element, count: int, port: Port) -> Array:
    field = TYPED_FIELDS[element.number]
    values = cast("Sequence[object]", getattr(message, field))
    if len(values) != count:
        _refuse(port, f"; it has {len(values)} elements in the field of its type where its dims need {count}")
    if element.kind == "string":
        return np.array([_text(cast("bytes", value), port) for value in values], dtype=object)
    if element.kind == "boolean":
        return np.asarray(np.array(values, dtype=np.int64) != 0)
    if element.kind == "float" and field != "int32s":
        array, overflows = narrowed(np.array(values, dtype=np.float64), element)
        if overflows.any():
            _refuse(port, f"; it holds a number beyond {element.name}")
        return array
    storage = np.dtype(np.uint16) if element.kind == "float" else element.storage
    least, most = integer_limits(storage)
    numbers = cast("Sequence[int]", values)
    if numbers and not (least <= min(numbers) and max(numbers) <= most):
        _refuse(port, f"; it holds a number outside {least} to {most}")
    return np.array(numbers, dtype=storage).view(element.storage)


def _text(value: bytes, port: Port) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        _refuse(port, f"; it holds bytes that are no UTF-8: {error}")


def _refuse(port: Port, rest: str) -> NoReturn:
    raise Refusal(400, expectation(port) + rest)
