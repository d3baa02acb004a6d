"""A connection that was taken over from HTTP, as bytes to read and write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Scope

_LIMIT = 256 * 1024
_MOST = 65536


class Link(Protocol):
    """Two streams of bytes."""

    async def read(self) -> bytes:
        """Some bytes; empty at the end, whatever ended it."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises ``ConnectionError`` when the other side is gone."""
        ...

    async def close(self) -> None:
        """What was written is sent first, if the other side takes it in time."""
        ...


class SocketLink:
    """Over a transport of this process's loop."""

    def __init__(self, transport: asyncio.Transport, rest: bytes) -> None:
        """``rest`` is what has come already."""
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(limit=_LIMIT, loop=loop)
        protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest:
            self._reader.feed_data(rest)
        self._transport = transport
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)

    @classmethod
    def of(cls, scope: Scope) -> SocketLink:
        """Takes over the connection of a request. Raises ``ConnectionError``."""
        transport, rest = scope["state"]["take_over"]()
        return cls(transport, rest)

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_MOST)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as problem:
            raise ConnectionResetError("the other side is gone") from problem

    async def close(self) -> None:
        # TLS cannot be closed on one side only; a client that reads gets all that was written before.
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


async def upgrade(link: Link, headers: list[tuple[str, str]]) -> None:
    """Answer 101 on a connection that was taken over."""
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers), "", ""]
    await link.write("\r\n".join(lines).encode("latin-1"))
