"""What stands between Proton and the socket, because one of Azure's clients reads less than the standard allows.

``azure-eventhub`` takes the fields of a performative by their place without asking how many there are. Proton, as it
may, leaves trailing nulls out. So every performative that goes out is filled up with nulls (wire-iot 4.4); what is
longer for it still fits the peer's largest frame, because Proton is told of one that is a little smaller.
"""

from __future__ import annotations

import struct

from windtunnel_emulators.iot.amqp.encoding import (
    DESCRIBED,
    PROTOCOL_HEAD,
    SMALL_ULONG,
    UINT,
    BadEncoding,
    descriptor_at,
    end_of,
    fields_at,
    list_at,
    list_head,
)

_OPEN, _TRANSFER = 0x10, 0x14
_FIELDS = {
    _OPEN: 10,
    0x11: 8,  # begin
    0x12: 14,  # attach
    0x13: 11,  # flow
    _TRANSFER: 11,
    0x15: 6,  # disposition
    0x16: 3,  # detach
    0x17: 1,  # end
    0x18: 1,  # close
    0x1D: 3,  # error
    0x24: 1,  # rejected
    0x28: 11,  # source
    0x29: 7,  # target
}
"""Lists by their descriptor, with the fields that the standard gives them."""
SPARE = 64
"""More than a transfer can grow by."""
_SMALLEST = 512
"""Of the largest frames that a peer may ask for."""
_MAX_FRAME = 2
_NULL = b"\x40"


class Padding:
    """The bytes of one connection on their way out."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """Bytes of Proton; returns those for the socket, as far as frames are whole."""
        data = self._rest + data if self._rest else data
        at, found = 0, list[bytes]()
        if not self._begun and len(data) >= PROTOCOL_HEAD:
            self._begun = True
            if data.startswith(b"AMQP"):
                at = PROTOCOL_HEAD
                found.append(data[:at])
        while self._begun and at + 4 <= len(data):
            end = at + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            found.append(padded(data[at:end]))
            at = end
        self._rest = data[at:]
        return b"".join(found)


def padded(whole: bytes) -> bytes:
    """A frame of AMQP with all fields. One that has them, or is none that is known, stays as it is."""
    start = whole[4] * 4
    if start >= len(whole):
        return whole
    code, at = descriptor_at(whole, start)
    full = _FIELDS.get(code)
    if full is None:
        return whole
    if code == _TRANSFER:
        first, end, count = list_at(whole, at)
        missing = full - count
        if missing <= 0:
            return whole
        inner = whole[first:end] + _NULL * missing
        body = whole[start:at] + list_head(len(inner), full) + inner + whole[end:]
    else:
        body = _padded_value(whole, start) + whole[end_of(whole, start) :]
    return struct.pack(">I", start + len(body)) + whole[4:start] + body


def lowered(whole: bytes) -> bytes:
    """A peer's frame; an *open* asks for frames that are smaller by what padding may add.

    One whose frames are as small as the standard lets them be stays as it is: its transfers may then be longer.
    """
    try:
        code, at = descriptor_at(whole, whole[4] * 4)
        if code != _OPEN:
            return whole
        fields, end = fields_at(whole, at)
    except BadEncoding:
        return whole  # Proton tells the peer what is wrong
    if len(fields) <= _MAX_FRAME or fields[_MAX_FRAME][0] != UINT:
        return whole
    largest = int.from_bytes(fields[_MAX_FRAME][1:], "big")
    fields[_MAX_FRAME] = struct.pack(">BI", UINT, max(_SMALLEST, largest - SPARE))
    inner = b"".join(fields)
    return whole[: end - len(inner)] + inner + whole[end:]


def _padded_value(data: bytes, at: int) -> bytes:
    """A value; lists in it that are known to have more fields have them all."""
    end = end_of(data, at)
    if data[at] != DESCRIBED:
        return data[at:end]
    code, start = descriptor_at(data, at)
    full = _FIELDS.get(code)
    if full is None:
        return data[at:end]
    fields, _ = fields_at(data, start)
    inner = [_padded_value(field, 0) for field in fields]
    inner += [_NULL] * (full - len(inner))
    joined = b"".join(inner)
    return bytes((DESCRIBED, SMALL_ULONG, code)) + list_head(len(joined), len(inner)) + joined
