"""A device for benchmarks: MQTT 3.1.1 over TLS, as much of it as sending telemetry takes, and a window of messages."""

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

LIMIT_S = 60.0
_CONNACK, _PUBACK = 0x20, 0x40


class Device(asyncio.Protocol):
    """One connection. Messages of quality of service 1 are sent as long as fewer than ``window`` wait for an answer."""

    def __init__(self, *, host: str, device: str, key: str, window: int) -> None:
        self._host, self._device, self._key, self._window = host, device, key, window
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._connected: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()
        self._topic = self._payload = b""
        self._left = self._waiting = 0
        self._packet = 0
        self.acknowledged = 0

    @classmethod
    async def connect(
        cls, address: str, tls: ssl.SSLContext, *, host: str, device: str, key: str, window: int = 64
    ) -> Device:
        """A connected device. Raises ``ConnectionError`` when it is refused."""
        loop = asyncio.get_running_loop()
        made = cls(host=host, device=device, key=key, window=window)
        await loop.create_connection(lambda: made, address, 8883, ssl=tls)
        async with asyncio.timeout(LIMIT_S):
            code = await made._connected
        if code:
            raise ConnectionError(f"refused with {code}")
        return made

    async def send(self, count: int, payload: bytes) -> None:
        """Send so many messages, and wait until all are acknowledged."""
        topic = f"devices/{self._device}/messages/events/".encode()
        self._topic, self._payload = len(topic).to_bytes(2, "big") + topic, payload
        self._left = count
        self._done = asyncio.get_running_loop().create_future()
        self._pump()
        async with asyncio.timeout(LIMIT_S):
            await self._done

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
            _token(f"{self._host}/devices/{self._device}", self._key),
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
        size = _length(len(self._topic) + 2 + len(self._payload))
        while self._left and self._waiting < self._window:
            self._packet = self._packet % 0xFFFF + 1
            pieces += (b"\x32", size, self._topic, self._packet.to_bytes(2, "big"), self._payload)
            self._left -= 1
            self._waiting += 1
        if pieces:
            self._transport.write(b"".join(pieces))
        elif not self._left and not self._waiting and self._done is not None and not self._done.done():
            self._done.set_result(None)


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
