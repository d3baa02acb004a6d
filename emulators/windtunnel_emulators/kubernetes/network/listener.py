"""One port that the proxy listens on: each connection is spliced with one to an endpoint that takes it."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.streams.splice import Half, join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.kubernetes.network.balancing import Endpoint

_CONNECT_S = 5.0
_AGAIN_S = 0.05
_WAIT_S = 1.0
"""How long a connection waits for an endpoint when there is none at this moment, as between two versions of a pod."""


class PortListener:
    """``choices`` gives the endpoints for a client's address, ``resolve`` the socket address of one."""

    def __init__(
        self,
        address: str,
        port: int,
        *,
        choices: Callable[[str], Iterable[Endpoint]],
        resolve: Callable[[Endpoint], tuple[str, int] | None],
        chosen: Callable[[str, Endpoint], None],
    ) -> None:
        self.address = address
        self.port = port
        self._choices = choices
        self._resolve = resolve
        self._chosen = chosen
        self._server: asyncio.Server | None = None
        self._joining: set[asyncio.Task[None]] = set()
        self._open: set[_Client] = set()

    @property
    def bound_port(self) -> int:
        """The one that was got, where any was asked for."""
        server = self._server
        return self.port if server is None else int(server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Raises ``OSError`` when the port cannot be had."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.address, self.port))
            bound.listen(1024)
            bound.setblocking(False)
            self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), sock=bound)
        except BaseException:
            bound.close()
            raise

    async def close(self, *, keep: bool = False) -> None:
        """Take no more connections; ``keep`` lets those that there are go on."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if keep:
            return
        for task in self._joining:
            task.cancel()
        await asyncio.gather(*self._joining, return_exceptions=True)
        for client in list(self._open):
            client.abort()

    def accepted(self, client: _Client) -> None:
        self._open.add(client)
        task = asyncio.get_running_loop().create_task(self._connect(client))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    def lost(self, client: _Client) -> None:
        self._open.discard(client)

    async def _connect(self, client: _Client) -> None:
        """Nothing is read of the client until an endpoint has taken its connection, so that any may be tried."""
        transport = client.transport
        if transport is None:
            return
        peer = transport.get_extra_info("peername")
        name = peer[0] if peer else ""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while not client.lost:
            for endpoint in self._choices(name):
                where = self._resolve(endpoint)
                if where is None:
                    continue
                try:
                    _, upstream = await asyncio.wait_for(loop.create_connection(Half, *where), _CONNECT_S)
                except (OSError, TimeoutError):
                    continue
                if client.lost:
                    if upstream.transport is not None:
                        upstream.transport.abort()
                    return
                self._chosen(name, endpoint)
                join(client, upstream)
                transport.resume_reading()
                return
            if loop.time() - begun > _WAIT_S:
                break
            await asyncio.sleep(_AGAIN_S)
        client.abort()


class _Client(Half):
    """The client's side of a spliced pair."""

    def __init__(self, listener: PortListener) -> None:
        super().__init__(lambda: listener.lost(self))
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.transport is not None:
            self.transport.pause_reading()
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.accepted(self)

    @property
    def lost(self) -> bool:
        """The client is gone."""
        return self.transport is None

    def abort(self) -> None:
        """Reset: nothing was or will be answered, which an end of the stream would not say."""
        if self.transport is not None:
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
