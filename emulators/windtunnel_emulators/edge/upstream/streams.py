"""HTTP over a device's link: connections that httpcore uses, opened by the link, which may cut them at any moment.

TLS is part of opening. A request is therefore written to an ``http://`` address, and travels encrypted all the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httpcore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.edge.upstream.place import Place


class LinkBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for an ``httpcore.AsyncConnectionPool``; ``Unreachable`` of the link reaches the caller."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._place.link.open(host, port, _Bytes, ssl=self._place.tls))


class _Bytes(asyncio.Protocol):
    """What has come and was not read yet."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.ended = False
        self.problem: Exception | None = None
        self.news = asyncio.Event()
        self.over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are not registered as such

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.news.set()

    def eof_received(self) -> None:
        self.ended = True
        self.news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.problem = True, exc
        self.news.set()
        self.over.set()


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, wire: _Bytes) -> None:
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # httpcore's own
        wire = self._wire
        try:
            async with asyncio.timeout(timeout):
                while not wire.buffer and not wire.ended:
                    wire.news.clear()
                    await wire.news.wait()
        except TimeoutError as problem:
            raise httpcore.ReadTimeout(f"nothing came within {timeout:g} s") from problem
        if not wire.buffer and wire.problem is not None:
            raise httpcore.ReadError(str(wire.problem)) from wire.problem
        found = bytes(wire.buffer[:max_bytes])
        del wire.buffer[:max_bytes]
        return found

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # httpcore's own
        wire = self._wire
        if wire.ended or wire.transport is None:
            raise httpcore.WriteError("the connection has ended")
        wire.transport.write(buffer)

    async def aclose(self) -> None:
        if self._wire.transport is not None:
            self._wire.transport.abort()
            await self._wire.over.wait()
