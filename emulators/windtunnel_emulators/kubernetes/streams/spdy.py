"""SPDY/3.1 as Kubernetes' clients and servers use it: frames to bytes and back, without any I/O.

After the SPDY protocol draft 3.1. What is here: SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS,
WINDOW_UPDATE and data. Header blocks are deflated with the protocol's dictionary, one stream of compression for each
direction of a connection, so frames have to be written and read in order. The side that Kubernetes uses (moby's
spdystream) neither sends nor heeds flow control beyond reading WINDOW_UPDATE, and no more is done here.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from windtunnel_emulators.kubernetes.streams.dictionary import DICTIONARY

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 3
FIN, UNIDIRECTIONAL = 0x01, 0x02
LONGEST_FRAME = 16 * 1024 * 1024 - 1
_LONGEST_CONTROL = 1024 * 1024
_LONGEST_HEADERS = 1024 * 1024
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW = 1, 2, 3, 4, 6, 7, 8, 9

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5


class SpdyError(Exception):
    """What came is no SPDY/3.1; the connection cannot go on."""


Headers: TypeAlias = "Mapping[str, str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SynStream:
    """A stream begins."""

    stream: int
    headers: Headers = field(default_factory=dict[str, str])
    fin: bool = False
    associated: int = 0
    priority: int = 0
    unidirectional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SynReply:
    """The other side takes the stream."""

    stream: int
    headers: Headers = field(default_factory=dict[str, str])
    fin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadersFrame:
    """More headers of a stream."""

    stream: int
    headers: Headers = field(default_factory=dict[str, str])
    fin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RstStream:
    """A stream is over, at once."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """To be sent back as it came."""

    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAway:
    """No more streams are taken."""

    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of the connection; none matters here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowUpdate:
    """The other side has read so much."""

    stream: int
    delta: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Content of a stream."""

    stream: int
    data: bytes = b""
    fin: bool = False


Frame: TypeAlias = "SynStream | SynReply | HeadersFrame | RstStream | Ping | GoAway | Settings | WindowUpdate | Data"


class Encoder:
    """Frames to bytes, in the order of the calls."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(wbits=15, zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream=stream, data=data, fin=fin):
                if len(data) > LONGEST_FRAME:
                    raise ValueError("too much for one frame")
                return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(data)) + data
            case SynStream():
                flags = (FIN if frame.fin else 0) | (UNIDIRECTIONAL if frame.unidirectional else 0)
                head = struct.pack(">IIBB", frame.stream, frame.associated, frame.priority << 5, 0)
                return _control(_SYN_STREAM, flags, head + self._block(frame.headers))
            case SynReply(stream=stream, headers=headers, fin=fin):
                return _control(_SYN_REPLY, FIN if fin else 0, struct.pack(">I", stream) + self._block(headers))
            case HeadersFrame(stream=stream, headers=headers, fin=fin):
                return _control(_HEADERS, FIN if fin else 0, struct.pack(">I", stream) + self._block(headers))
            case RstStream(stream=stream, status=status):
                return _control(_RST_STREAM, 0, struct.pack(">II", stream, status))
            case Ping(id=number):
                return _control(_PING, 0, struct.pack(">I", number))
            case GoAway(last_stream=last, status=status):
                return _control(_GOAWAY, 0, struct.pack(">II", last, status))
            case WindowUpdate(stream=stream, delta=delta):
                return _control(_WINDOW, 0, struct.pack(">II", stream, delta))
            case Settings():
                return _control(_SETTINGS, 0, struct.pack(">I", 0))

    def _block(self, headers: Headers) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower(), value):
                raw = text.encode("utf-8", "surrogateescape")
                parts += [struct.pack(">I", len(raw)), raw]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    """Bytes to frames, however they are cut."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=15, zdict=DICTIONARY)
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now. Raises ``SpdyError``; nothing can be read after that."""
        self._data += data
        found: list[Frame] = []
        start = 0
        while len(self._data) - start >= 8:
            first, second = struct.unpack_from(">II", self._data, start)
            flags, length = second >> 24, second & 0xFFFFFF
            if first >> 31:
                version = first >> 16 & 0x7FFF
                if version != VERSION:
                    raise SpdyError(f"a frame of SPDY version {version}, and 3 is spoken here")
                if length > _LONGEST_CONTROL:
                    raise SpdyError(f"a control frame of {length} bytes")
            end = start + 8 + length
            if len(self._data) < end:
                break
            body = bytes(self._data[start + 8 : end])
            start = end
            if first >> 31:
                frame = self._control(first & 0xFFFF, flags, body)
                if frame is not None:
                    found.append(frame)
            else:
                found.append(Data(stream=first, data=body, fin=bool(flags & FIN)))
        del self._data[:start]
        return found

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        """None for a kind that is not known, which the protocol has ignored."""
        fin = bool(flags & FIN)
        try:
            match kind:
                case 1:
                    stream, associated, priority, _ = struct.unpack_from(">IIBB", body)
                    return SynStream(
                        stream=stream & 0x7FFFFFFF,
                        associated=associated & 0x7FFFFFFF,
                        priority=priority >> 5,
                        headers=self._headers(body[10:]),
                        fin=fin,
                        unidirectional=bool(flags & UNIDIRECTIONAL),
                    )
                case 2:
                    return SynReply(stream=_number(body) & 0x7FFFFFFF, headers=self._headers(body[4:]), fin=fin)
                case 3:
                    stream, status = struct.unpack_from(">II", body)
                    return RstStream(stream=stream & 0x7FFFFFFF, status=status)
                case 4:
                    return Settings()
                case 6:
                    return Ping(id=_number(body))
                case 7:
                    last, status = struct.unpack_from(">II", body)
                    return GoAway(last_stream=last & 0x7FFFFFFF, status=status)
                case 8:
                    return HeadersFrame(stream=_number(body) & 0x7FFFFFFF, headers=self._headers(body[4:]), fin=fin)
                case 9:
                    stream, delta = struct.unpack_from(">II", body)
                    return WindowUpdate(stream=stream & 0x7FFFFFFF, delta=delta & 0x7FFFFFFF)
                case _:
                    return None
        except struct.error as problem:
            raise SpdyError("a control frame that is too short") from problem

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, _LONGEST_HEADERS)
        except zlib.error as problem:
            raise SpdyError("a header block that cannot be decompressed") from problem
        if self._inflate.unconsumed_tail:
            raise SpdyError("a header block that is too long")
        headers: dict[str, str] = {}
        position = 4
        for _ in range(_number(plain)):
            name, position = _text(plain, position)
            headers[name], position = _text(plain, position)
        return headers


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(body)) + body


def _number(data: bytes) -> int:
    found: int = struct.unpack_from(">I", data)[0]
    return found


def _text(data: bytes, position: int) -> tuple[str, int]:
    start = position + 4
    end = start + int.from_bytes(data[position:start], "big")
    if start > len(data) or end > len(data):
        raise SpdyError("a header block that ends too early")
    return data[start:end].decode("utf-8", "surrogateescape"), end
