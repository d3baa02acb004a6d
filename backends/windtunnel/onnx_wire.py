"""A reader of ONNX's protobuf encoding that skips the weights.

Only structure is read, from a memory map, so that a model of a gigabyte costs neither memory nor time, and the ``onnx``
package (a third of a second to import) is not needed to deploy one. Field numbers: onnx.proto of ONNX 1.23.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
EXTERNAL = 1
"""``TensorProto.DataLocation``."""
_DEPTH_LIMIT = 32
"""Of graphs in graphs: protobuf's own limit of 100 messages, of which each graph takes three."""

DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
    27: "float6_e2m3fn", 28: "float6_e3m2fn",
}  # fmt: skip
"""``TensorProto.DataType`` as numpy (and ml_dtypes) name them; ``str`` for strings of any length."""


class WireError(ValueError):
    """Bytes that are not what the encoding allows, with their offset."""

    def __init__(self, message: str, *, truncated: bool = False) -> None:
        super().__init__(message)
        self.truncated = truncated


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: a number for varints and fixed widths, a range of the file for the rest."""

    number: int
    kind: int
    value: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueType:
    """The type of an input or output; ``text`` for what is no tensor, as in ``sequence(map(int64,float32))``."""

    dtype: str | None
    shape: tuple[int | str | None, ...] | None
    text: str


@dataclass(slots=True, kw_only=True)
class Graph:
    """What a graph says of itself, its subgraphs' external files included."""

    name: str = ""
    nodes: int = 0
    inputs: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    outputs: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    initializers: set[str] = field(default_factory=set[str])
    external: set[str] = field(default_factory=set[str])
    """Locations of weights that are kept in other files."""


class Reader:
    """Reads messages out of one buffer. Raises ``WireError``."""

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A number and the offset after it."""
        value = shift = 0
        while at < end:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise WireError(f"a number at byte {at} never ends")
        raise WireError(f"a number is cut off at byte {at}", truncated=True)

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message between two offsets, one after the other."""
        at = start
        while at < end:
            tag, at = self.varint(at, end)
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise WireError(f"a field without a number before byte {at}")
            if kind == VARINT:
                value, at = self.varint(at, end)
                yield Field(number, kind, value, at, at)
                continue
            if kind == BYTES:
                size, at = self.varint(at, end)
            elif kind in (FIXED64, FIXED32):
                size = 8 if kind == FIXED64 else 4
            else:
                raise WireError(f"field {number} has the unknown wire type {kind} before byte {at}")
            if at + size > end:
                raise WireError(
                    f"field {number} says that it has {size:,} bytes from byte {at:,} on, and there are {end - at:,}",
                    truncated=end == len(self._data),
                )
            yield Field(number, kind, size, at, at + size)
            at += size

    def text(self, item: Field) -> str:
        """The field as a string."""
        try:
            return str(self._data[item.start : item.end], "utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"field {item.number} at byte {item.start:,} is no UTF-8 text") from error

    def pair(self, item: Field) -> tuple[str, str]:
        """A ``StringStringEntryProto``."""
        key = value = ""
        for part in self.fields(item.start, item.end):
            if part.number == 1:
                key = self.text(part)
            elif part.number == 2:
                value = self.text(part)
        return key, value

    def opset(self, item: Field) -> tuple[str, int]:
        """An ``OperatorSetIdProto``: domain and version."""
        domain, version = "", 0
        for part in self.fields(item.start, item.end):
            if part.number == 1:
                domain = self.text(part)
            elif part.number == 2:
                version = part.value
        return domain, version

    def graph(self, item: Field, depth: int = 0) -> Graph:
        """A ``GraphProto``."""
        if depth > _DEPTH_LIMIT:
            raise WireError(f"subgraphs are nested more than {_DEPTH_LIMIT} deep at byte {item.start:,}")
        graph = Graph()
        for part in self.fields(item.start, item.end):
            match part.number:
                case 1:
                    graph.nodes += 1
                    self._node(part, graph, depth)
                case 2:
                    graph.name = self.text(part)
                case 5:
                    graph.initializers.add(self._tensor(part, graph))
                case 11:
                    graph.inputs.update([self._value_info(part)])
                case 12:
                    graph.outputs.update([self._value_info(part)])
                case _:
                    pass
        return graph

    def _node(self, item: Field, graph: Graph, depth: int) -> None:
        for part in self.fields(item.start, item.end):
            if part.number == 5:  # attribute
                for inner in self.fields(part.start, part.end):
                    if inner.number in (5, 10):  # t, tensors
                        self._tensor(inner, graph)
                    elif inner.number in (6, 11):  # g, graphs
                        graph.external |= self.graph(inner, depth + 1).external

    def _tensor(self, item: Field, graph: Graph) -> str:
        name, location, outside = "", "", False
        for part in self.fields(item.start, item.end):
            if part.number == 8:
                name = self.text(part)
            elif part.number == 13:
                key, value = self.pair(part)
                location = value if key == "location" else location
            elif part.number == 14:
                outside = part.value == EXTERNAL
        if outside:
            graph.external.add(location)
        return name

    def _value_info(self, item: Field) -> tuple[str, ValueType]:
        name = ""
        kind = ValueType(dtype=None, shape=None, text="?")
        for part in self.fields(item.start, item.end):
            if part.number == 1:
                name = self.text(part)
            elif part.number == 2:
                kind = self._type(part)
        return name, kind

    def _type(self, item: Field, depth: int = 0) -> ValueType:
        if depth > _DEPTH_LIMIT:
            raise WireError(f"types are nested more than {_DEPTH_LIMIT} deep at byte {item.start:,}")
        for part in self.fields(item.start, item.end):
            match part.number:
                case 1:
                    return self._tensor_type(part)
                case 4 | 9:  # sequence, optional
                    inner = [self._type(f, depth + 1).text for f in self.fields(part.start, part.end) if f.number == 1]
                    word = "sequence" if part.number == 4 else "optional"
                    return ValueType(dtype=None, shape=None, text=f"{word}({''.join(inner)})")
                case 5:
                    return self._map_type(part, depth)
                case 8:
                    return ValueType(dtype=None, shape=None, text=f"sparse {self._tensor_type(part).text}")
                case _:
                    pass
        return ValueType(dtype=None, shape=None, text="?")

    def _map_type(self, item: Field, depth: int) -> ValueType:
        key = value = "?"
        for part in self.fields(item.start, item.end):
            if part.number == 1:
                key = DTYPES.get(part.value, str(part.value))
            elif part.number == 2:
                value = self._type(part, depth + 1).text
        return ValueType(dtype=None, shape=None, text=f"map({key},{value})")

    def _tensor_type(self, item: Field) -> ValueType:
        dtype = "?"
        shape: tuple[int | str | None, ...] | None = None
        for part in self.fields(item.start, item.end):
            if part.number == 1:
                dtype = DTYPES.get(part.value, f"type {part.value}")
            elif part.number == 2:
                shape = tuple(self._dimension(f) for f in self.fields(part.start, part.end) if f.number == 1)
        text = dtype if shape is None else f"{dtype}[{','.join('?' if d is None else str(d) for d in shape)}]"
        return ValueType(dtype=dtype, shape=shape, text=text)

    def _dimension(self, item: Field) -> int | str | None:
        for part in self.fields(item.start, item.end):
            if part.number == 1:
                # A negative size (written by some exporters for "any") is an int64 in two's complement.
                return None if part.value >= 1 << 63 else part.value
            if part.number == 2:
                return self.text(part) or None
        return None
