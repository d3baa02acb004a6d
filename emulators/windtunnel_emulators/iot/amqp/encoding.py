"""The encoding of AMQP 1.0, as far as frames have to be looked into: where a value ends, lists, a few values.

Proton encodes everything else. The rules are those of the standard, part 1 (types) and part 2.3 (frames).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DESCRIBED, NULL = 0x00, 0x40
SMALL_ULONG, ULONG, UINT = 0x53, 0x80, 0x70
LIST_0, LIST_8, LIST_32 = 0x45, 0xC0, 0xD0
ARRAY_8 = 0xE0
FRAME_HEAD = 8
PROTOCOL_HEAD = 8
SASL_HEADER, AMQP_HEADER = b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00"
_DEEPEST = 16
_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
"""By the upper half of a constructor: bytes of a value of fixed width."""
_COUNTED = {0xA: 1, 0xB: 4, 0xC: 1, 0xD: 4, 0xE: 1, 0xF: 4}
"""The same for values that begin with their size: bytes of the size."""


class BadEncoding(Exception):
    """Bytes that are no AMQP 1.0; the message says what is wrong with them."""


def end_of(data: bytes | memoryview, at: int, depth: int = 0) -> int:
    """Where the value that begins at a place ends. Raises ``BadEncoding``."""
    if at >= len(data):
        raise BadEncoding("a value is cut off")
    constructor = data[at]
    if constructor == DESCRIBED:
        if depth >= _DEEPEST:
            raise BadEncoding("descriptors are nested too deeply")
        return end_of(data, end_of(data, at + 1, depth + 1), depth + 1)
    kind = constructor >> 4
    if (width := _WIDTHS.get(kind)) is not None:
        end = at + 1 + width
    elif (counted := _COUNTED.get(kind)) is not None:
        start = at + 1 + counted
        end = start + int.from_bytes(data[at + 1 : start], "big")
    else:
        raise BadEncoding(f"0x{constructor:02x} begins no value")
    if end > len(data):
        raise BadEncoding("a value is cut off")
    return end


def list_at(data: bytes | memoryview, at: int) -> tuple[int, int, int]:
    """Of a list: where its first field begins, where the list ends, and how many fields it has. Raises."""
    end = end_of(data, at)
    constructor = data[at]
    if constructor == LIST_0:
        return end, end, 0
    if constructor == LIST_8 and end >= at + 3:
        return at + 3, end, data[at + 2]
    if constructor == LIST_32 and end >= at + 9:
        return at + 9, end, int.from_bytes(data[at + 5 : at + 9], "big")
    raise BadEncoding(f"0x{constructor:02x} begins no list")


def fields_at(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The fields of a list, each as it is encoded, and where the list ends. Raises ``BadEncoding``."""
    place, end, count = list_at(data, at)
    found: list[bytes] = []
    for _ in range(count):
        after = end_of(data, place)
        if after > end:
            raise BadEncoding("a list is longer than it says")
        found.append(data[place:after])
        place = after
    if place != end:
        raise BadEncoding("a list is shorter than it says")
    return found, end


def list_of(fields: Sequence[bytes]) -> bytes:
    """A list of encoded fields, as short as it can be."""
    return list_head(sum(map(len, fields)), len(fields)) + b"".join(fields)


def list_head(size: int, count: int) -> bytes:
    """What comes before the fields of a list that take ``size`` bytes."""
    if size + 1 <= 0xFF and count <= 0xFF:
        return bytes((LIST_8, size + 1, count))
    return struct.pack(">BII", LIST_32, size + 4, count)


def descriptor_at(data: bytes, at: int) -> tuple[int, int]:
    """The number of the descriptor of a described value, and where what it describes begins. Raises."""
    if at + 2 >= len(data) or data[at] != DESCRIBED:
        raise BadEncoding("a described value is missing")
    if data[at + 1] == SMALL_ULONG:
        return data[at + 2], at + 3
    end = end_of(data, at + 1)
    if data[at + 1] == ULONG:
        return int.from_bytes(data[at + 2 : end], "big"), end
    return -1, end


def described(code: int, fields: Sequence[bytes]) -> bytes:
    """A performative."""
    return bytes((DESCRIBED, SMALL_ULONG, code)) + list_of(fields)


def frame(kind: int, body: bytes, channel: int = 0) -> bytes:
    """A frame: ``kind`` is 0 for AMQP and 1 for SASL."""
    return struct.pack(">IBBH", len(body) + FRAME_HEAD, 2, kind, channel) + body


def symbols(names: Sequence[str]) -> bytes:
    """An array of short symbols."""
    items = b"".join(bytes((len(name),)) + name.encode("ascii") for name in names)
    return bytes((ARRAY_8, len(items) + 2, len(names), 0xA3)) + items


def octets(field: bytes) -> bytes:
    """What a binary, string or symbol holds; empty for null. Raises ``BadEncoding``."""
    if field[:1] in (b"\xa0", b"\xa1", b"\xa3"):
        return field[2:]
    if field[:1] in (b"\xb0", b"\xb1", b"\xb3"):
        return field[5:]
    if field[:1] == b"\x40":
        return b""
    raise BadEncoding("a text was expected")
