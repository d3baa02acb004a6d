"""Devices and modules for benchmarks: MQTT 3.1.1 over TLS, as much of it as messages take, and a window of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Self

LIMIT_S = 60.0
_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 0x20, 0x30, 0x40, 0x90


class Device(asyncio.Protocol):
    """One connection. Messages of quality of service 1 are sent as long as fewer than ``window`` wait for an answer."""

    def __init__(self, *, host: str, device: str, key: str, window: int) -> None:
        self._host, self._device, self._key, self._window = host, device, key, window
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._connected: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()
        self._topic = b""
        self._payload: Callable[[int], bytes] = lambda _: b""
        self._size = self._next = 0
        self._left = self._waiting = 0
        self._packet = 0
        self.acknowledged = 0

    @classmethod
    async def connect(
        cls, address: str, tls: ssl.SSLContext, *, host: str, device: str, key: str, window: int = 64
    ) -> Self:
        """A connected one; ``device`` of a module is ``DEVICE/MODULE``. Raises ``ConnectionError`` when refused."""
        loop = asyncio.get_running_loop()
        made = cls(host=host, device=device, key=key, window=window)
        await loop.create_connection(lambda: made, address, 8883, ssl=tls)
        async with asyncio.timeout(LIMIT_S):
            code = await made._connected
        if code:
            raise ConnectionError(f"refused with {code}")
        return made

    async def send(
        self, count: int, payload: bytes | Callable[[int], bytes], *, output: str = "", limit_s: float = LIMIT_S
    ) -> None:
        """Send so many messages, and wait until all are acknowledged. What makes payloads is given their numbers, from
        0, and they all have one length."""
        self._topic = self._events(output)
        self._payload = payload if callable(payload) else lambda _: payload
        self._size = len(self._payload(0))
        self._next = 0
        self._left = count
        self._done = asyncio.get_running_loop().create_future()
        self._pump()
        async with asyncio.timeout(limit_s):
            await self._done

    def _events(self, output: str) -> bytes:
        topic = f"devices/{self._device.replace('/', '/modules/')}/messages/events/"
        return _text(f"{topic}%24.on={output}" if output else topic)

    async def close(self) -> None:
        """Say good-bye, and wait until the connection has ended."""
        if self._transport is not None:
            self._transport.write(b"\xe0\0")
            self._transport.close()
            async with asyncio.timeout(LIMIT_S):
                await self._lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        fields = (
            self._device,
            f"{self._host}/{self._device}/?api-version=2021-04-12",
            _token(f"{self._host}/devices/{self._device.replace('/', '/modules/')}", self._key),
        )
        body = b"\0\x04MQTT\x04\xc0\0\x3c" + b"".join(_text(field) for field in fields)
        self._transport.write(b"\x10" + _length(len(body)) + body)

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        at = 0
        while len(data) - at >= 4:  # CONNACK and PUBACK, all that comes, have four bytes
            kind = data[at] & 0xF0
            if kind == _CONNACK and not self._connected.done():
                self._connected.set_result(data[at + 3])
            elif kind == _PUBACK:
                self.acknowledged += 1
                self._waiting -= 1
            else:
                raise ValueError(f"unexpected packet {data[at]:#x}")
            at += 4
        self._received = data[at:]
        if self._done is not None:
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        gone = ConnectionError("the hub closed the connection")
        for waiting in (self._connected, self._done):
            if waiting is not None and not waiting.done():
                waiting.set_exception(gone)

    def _pump(self) -> None:
        assert self._transport is not None
        pieces: list[bytes] = []
        size = _length(len(self._topic) + 2 + self._size)
        while self._left and self._waiting < self._window:
            self._packet = self._packet % 0xFFFF + 1
            pieces += (b"\x32", size, self._topic, self._packet.to_bytes(2, "big"), self._payload(self._next))
            self._left -= 1
            self._next += 1
            self._waiting += 1
        if pieces:
            self._transport.write(b"".join(pieces))
        elif not self._left and not self._waiting and self._done is not None and not self._done.done():
            self._done.set_result(None)


class Module(Device):
    """A module that also has an input: what arrives on it is handed on, and acknowledged."""

    def __init__(self, *, host: str, device: str, key: str, window: int) -> None:
        super().__init__(host=host, device=device, key=key, window=window)
        self.arrived: Callable[[bytes], None] = lambda _: None
        self._subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def subscribe(self) -> None:
        """Take what comes in."""
        assert self._transport is not None
        body = b"\0\x01" + _text(f"devices/{self._device.replace('/', '/modules/')}/inputs/#") + b"\x01"
        self._transport.write(b"\x82" + _length(len(body)) + body)
        async with asyncio.timeout(LIMIT_S):
            await self._subscribed

    def publish(self, payload: bytes, output: str) -> None:
        """Send one message, and wait for nothing."""
        assert self._transport is not None
        topic = self._events(output)
        self._packet = self._packet % 0xFFFF + 1
        self._waiting += 1
        size = _length(len(topic) + 2 + len(payload))
        self._transport.write(b"".join((b"\x32", size, topic, self._packet.to_bytes(2, "big"), payload)))

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        at = 0
        while (packet := _packet_at(data, at)) is not None:
            kind, start, end = packet
            if kind & 0xF0 in (_CONNACK, _PUBACK):
                super_received = data[start - 2 : end]
                self._received = b""
                super().data_received(super_received)
            elif kind & 0xF0 == _SUBACK:
                self._subscribed.set_result(None)
            elif kind & 0xF0 == _PUBLISH:
                after = start + 2 + int.from_bytes(data[start : start + 2], "big")
                if self._transport is not None:
                    self._transport.write(b"\x40\x02" + data[after : after + 2])
                self.arrived(data[after + 2 : end])
            else:
                raise ValueError(f"unexpected packet {kind:#x}")
            at = end
        self._received = data[at:]


def _packet_at(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Kind, and where the content begins and ends; None while it is not all there."""
    size, place = 0, at + 1
    while place < len(data):
        byte = data[place]
        size |= (byte & 0x7F) << (7 * (place - at - 1))
        place += 1
        if byte < 0x80:
            return (data[at], place, place + size) if place + size <= len(data) else None
    return None


def _token(resource: str, key: str) -> str:
    audience, expiry = quote(resource, safe=""), int(time.time()) + 3600
    digest = hmac.digest(base64.b64decode(key), f"{audience}\n{expiry}".encode(), hashlib.sha256)
    return f"SharedAccessSignature sr={audience}&sig={quote(base64.b64encode(digest), safe='')}&se={expiry}"


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def _length(size: int) -> bytes:
    found = bytearray()
    while size >= 0x80:
        found.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((*found, size))
