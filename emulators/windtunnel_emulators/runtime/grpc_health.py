"""One question to a gRPC health service (grpc.health.v1.Health/Check), in as much HTTP/2 as that takes (RFC 9113).

Unserved    it did not say SERVING, and why

Header blocks of the answer are not decoded: an answer without a message is a refusal, whatever its trailers say.
"""

from __future__ import annotations

import asyncio
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 0x1, 0x4, 0x1, 0x8
_LONGEST_FRAME = 1 << 14
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1


class Unserved(Exception):
    """The service is not healthy, or does not answer; the message is a sentence."""


async def check(address: str, port: int, service: str = "") -> None:
    """Raises ``Unserved``; without a limit of its own."""
    where = f"{address}:{port}"
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError as problem:
        raise Unserved(f'timeout: failed to connect service "{where}": {problem.strerror or problem}') from problem
    try:
        writer.write(_question(where, service))
        await writer.drain()
        status = _status(await _answer(reader, writer))
    except (OSError, EOFError, ValueError) as problem:
        raise Unserved(f"health rpc to {where} failed: {problem or 'the connection was closed'}") from problem
    finally:
        writer.transport.abort()
    if status != _SERVING:
        raise Unserved(f'service unhealthy (responded with "{_STATUSES.get(status, str(status))}")')


def _question(authority: str, service: str) -> bytes:
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "windtunnel-probe"),
    )
    # RFC 7541, 6.2.2: literals with literal names, never indexed, not Huffman coded.
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    body = b"\x00" + struct.pack(">I", len(message)) + message
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, _END_STREAM, 1, body)
    )


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The content of the answer's stream. Raises ``ValueError`` and ``EOFError``."""
    content = bytearray()
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if length > _LONGEST_FRAME:
            raise ValueError(f"a frame of {length} bytes is no HTTP/2")
        body = await reader.readexactly(length)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, body))
        elif kind == _GOAWAY:
            raise ValueError("the service closed the connection")
        elif stream == 1 and kind == _RST_STREAM:
            raise ValueError("the service refused the request")
        elif stream == 1 and kind == _DATA:
            content += body[1 : len(body) - body[0]] if flags & _PADDED and body else body
        if stream == 1 and kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return bytes(content)


def _status(content: bytes) -> int:
    """Raises ``ValueError`` for what is no answer of a health service."""
    if len(content) < 5:
        raise ValueError("the server does not implement the grpc health protocol (grpc.health.v1.Health)")
    message = content[5 : 5 + int.from_bytes(content[1:5], "big")]
    if not message:
        return 0
    if message[0] != 0x08 or len(message) < 2:
        raise ValueError("the answer is none of a health service")
    return message[1]


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def _text(value: str) -> bytes:
    data = value.encode("ascii", "replace")
    if len(data) < 127:
        return bytes((len(data),)) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
