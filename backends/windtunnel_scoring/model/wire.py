"""``predict.proto`` in protobuf's binary form: only what its two messages need, without a protobuf library.

A message is a row of fields, each a key (number and wire type) and a value; unknown fields are skipped, repeated
numbers may be packed or not. Field numbers are those of predict.proto and onnx.proto3.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, cast

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model.tensor_message import PredictRequest, TensorMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PACKED_VARINTS = {1: "dims", 5: "int32s", 7: "int64s", 11: "uint64s"}
_PACKED_FIXED = {4: ("floats", "f"), 10: ("doubles", "d")}


class _Malformed(Exception):
    """Bytes that are no message."""


def read_request(body: bytes) -> PredictRequest:
    """Raises ``Refusal``."""
    inputs: dict[str, TensorMessage] = {}
    names: list[str] = []
    try:
        for number, value in _fields(memoryview(body)):
            if number == 2:
                name, tensor = _map_entry(_bytes(value))
                inputs[name] = tensor
            elif number == 3:
                names.append(_text(value))
    except (_Malformed, UnicodeDecodeError, struct.error) as error:
        raise Refusal(400, "Invalid payload.") from error
    return PredictRequest(inputs=inputs, output_filter=tuple(names))


def write_response(outputs: Mapping[str, TensorMessage]) -> bytes:
    """``PredictResponse``."""
    return b"".join(
        _field(1, _field(1, name.encode()) + _field(2, write_tensor(tensor))) for name, tensor in outputs.items()
    )


def write_request(request: PredictRequest) -> bytes:
    """``PredictRequest``, for clients."""
    entries = (_field(2, _field(1, n.encode()) + _field(2, write_tensor(t))) for n, t in request.inputs.items())
    return b"".join(entries) + b"".join(_field(3, name.encode()) for name in request.output_filter)


def write_tensor(message: TensorMessage) -> bytes:
    """``TensorProto``."""
    parts: list[bytes] = [_varints(1, message.dims), b"\x10" + _varint(message.number)]
    if message.floats:
        parts.append(_field(4, struct.pack(f"<{len(message.floats)}f", *message.floats)))
    parts.append(_varints(5, message.int32s))
    parts += [_field(6, text) for text in message.strings]
    parts.append(_varints(7, message.int64s))
    if message.raw is not None:
        parts.append(_field(9, message.raw))
    if message.doubles:
        parts.append(_field(10, struct.pack(f"<{len(message.doubles)}d", *message.doubles)))
    parts.append(_varints(11, message.uint64s))
    return b"".join(parts)


def read_tensor(body: memoryview | bytes) -> TensorMessage:
    """Raises ``_Malformed`` or ``struct.error`` for what is no ``TensorProto``."""
    message = TensorMessage()
    lists: dict[str, list[float | int | bytes]] = {}
    for number, value in _fields(memoryview(body)):
        if number in _PACKED_VARINTS:
            name = _PACKED_VARINTS[number]
            convert = _unsigned if name == "uint64s" else _signed
            lists.setdefault(name, []).extend(map(convert, _packed_varints(value)))
        elif number in _PACKED_FIXED:
            name, code = _PACKED_FIXED[number]
            lists.setdefault(name, []).extend(_packed_fixed(value, code))
        elif number == 2:
            message.number = _signed(_int(value))
        elif number == 6:
            lists.setdefault("strings", []).append(bytes(_bytes(value)))
        elif number == 9:
            message.raw = bytes(_bytes(value))
        elif number in (3, 13) or (number == 14 and value != 0):
            message.elsewhere = True
    for name, items in lists.items():
        setattr(message, name, items)
    return message


def _fields(body: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number and value; fixed numbers as their bytes."""
    position, end = 0, len(body)
    while position < end:
        key, position = _read_varint(body, position)
        number, kind = key >> 3, key & 7
        if not number:
            raise _Malformed("field number 0")
        if kind == _VARINT:
            value, position = _read_varint(body, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _read_varint(body, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _Malformed(f"wire type {kind}")
        if size > end - position:
            raise _Malformed("truncated")
        yield number, body[position : position + size]
        position += size


def _read_varint(body: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if position >= len(body):
            raise _Malformed("truncated")
        byte = body[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
    raise _Malformed("a number of more than ten bytes")


def _map_entry(body: memoryview) -> tuple[str, TensorMessage]:
    name, tensor = "", TensorMessage()
    for number, value in _fields(body):
        if number == 1:
            name = _text(value)
        elif number == 2:
            tensor = read_tensor(_bytes(value))
    return name, tensor


def _packed_varints(value: int | memoryview) -> Iterable[int]:
    if isinstance(value, int):
        return (value,)
    found: list[int] = []
    position = 0
    while position < len(value):
        item, position = _read_varint(value, position)
        found.append(item)
    return found


def _packed_fixed(value: int | memoryview, code: str) -> Sequence[float]:
    body = _bytes(value)
    size = struct.calcsize(code)
    if len(body) % size:
        raise _Malformed("a packed field that ends within a number")
    return cast("Sequence[float]", struct.unpack(f"<{len(body) // size}{code}", body))


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _unsigned(value: int) -> int:
    return value


def _int(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise _Malformed("bytes where a number is needed")
    return value


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _Malformed("a number where bytes are needed")
    return value


def _text(value: int | memoryview) -> str:
    return str(_bytes(value), "utf-8")


def _varint(value: int) -> bytes:
    rest = value & 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _varints(number: int, values: Sequence[int]) -> bytes:
    return _field(number, b"".join(map(_varint, values))) if values else b""


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value
