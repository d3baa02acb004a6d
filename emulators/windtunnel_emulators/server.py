"""The sockets: every port of the emulators, on loopback, over TLS unless said otherwise.

Uvicorn's HTTP protocol is used as it is, with httptools. Its ``Server`` is not: it serves one port, handles signals
itself, and wakes up ten times a second for each port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sqlite3
import sys
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from windtunnel_emulators.asgi import respond_json
from windtunnel_emulators.files import unwritable

if TYPE_CHECKING:
    import ssl

    from uvicorn._types import ASGIApplication

    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send
    from windtunnel_emulators.store import Store

ADDRESS = "127.0.0.1"

_COMPONENT = "server"
_MIGRATIONS = ("CREATE TABLE ports (name TEXT PRIMARY KEY, port INTEGER NOT NULL) WITHOUT ROWID",)
_KEEP_ALIVE_S = 75  # longer than the pools of requests and httpx keep a connection, so that theirs ends first
_HEAD_S = 60  # from the first byte of a request, or from the connection, to the end of its head
_LONGEST_HEAD = 64 * 1024
_GRACE_S = 1.0
_BACKLOG = 1024
_log = logging.getLogger(__name__)


class PortTaken(Exception):
    """A port that was asked for by number is in use; the message is a sentence for the user."""


class Listeners:
    """The open ports by name. A name keeps its port from one start to the next, as clients remember it."""

    def __init__(self, store: Store, tls: ssl.SSLContext) -> None:
        store.define(_COMPONENT, _MIGRATIONS)
        self._store = store
        self._tls = tls
        self._open: dict[str, Listener] = {}
        self._reserved: dict[str, socket.socket] = {}
        self._clock: asyncio.Task[None] | None = None

    def reserve(self, name: str) -> int:
        """Take the port that ``open`` will serve, at once: connections to it wait until then. ``close`` gives it up."""
        if name in self._open or name in self._reserved:
            raise ValueError(f"{name} has a port already")
        bound = _socket(name, 0, self.remembered(name))
        self._reserved[name] = bound
        port: int = bound.getsockname()[1]
        self._remember(name, port)
        return port

    async def open(
        self,
        name: str,
        app: ASGI,
        *,
        port: int = 0,
        tls: bool = True,
        raw_upgrades: bool = False,
        context: ssl.SSLContext | None = None,
        address: str = ADDRESS,
    ) -> int:
        """Serve ``app`` and return the port: the one asked for, else the name's former one, else a free one.

        ``context`` is TLS of the listener's own; where it asks for client certificates, the one that was shown is
        ``scope["state"]["peer_certificate"]``, in DER.
        ``address`` is another loopback address than the usual one.
        ``raw_upgrades``: WebSockets too reach the application as HTTP requests that may take their connection over.
        Raises ``PortTaken`` for a port that was asked for by number and cannot be had.
        """
        if name in self._open:
            raise ValueError(f"{name} is open already, at port {self._open[name].port}")
        reserved = self._reserved.pop(name, None) or _socket(name, port, self.remembered(name), address)
        listener = Listener(app, reserved, raw_upgrades=raw_upgrades)
        await listener.start((context or self._tls) if tls else None)
        self._open[name] = listener
        self._remember(name, listener.port)
        if self._clock is None:
            self._clock = asyncio.get_running_loop().create_task(self._keep(), name="dates, slow clients")
        return listener.port

    async def close(self, name: str, *, forget: bool = False) -> None:
        """Stop serving; ``forget`` gives the port up for good. Safe for a name that is not open."""
        listener = self._open.pop(name, None)
        reserved = self._reserved.pop(name, None)
        if reserved is not None:
            reserved.close()
        if forget:
            self._store.execute("DELETE FROM ports WHERE name = ?", (name,))
        if listener is not None:
            await listener.stop()

    async def close_all(self) -> None:
        """Stop serving everything, within about a second whatever clients do."""
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
            self._clock = None
        await asyncio.gather(*(self.close(name) for name in [*self._open, *self._reserved]))

    def port(self, name: str) -> int | None:
        """Where a name is served now; None when it is not."""
        listener = self._open.get(name)
        return None if listener is None else listener.port

    def remembered(self, name: str) -> int | None:
        """The port that a name had last."""
        row = self._store.row("SELECT port FROM ports WHERE name = ?", (name,))
        return None if row is None else int(row[0] or 0)

    def remember(self) -> None:
        """Write down the ports of all open names, as after the store was cleared."""
        with self._store.transaction():
            for name, listener in self._open.items():
                self._remember(name, listener.port)

    def _remember(self, name: str, port: int) -> None:
        if self.remembered(name) != port:
            self._store.execute("INSERT OR REPLACE INTO ports VALUES (?, ?)", (name, port))

    async def _keep(self) -> None:
        """Once a second: the date of answers, and an end to clients that do not come to the point."""
        loop = asyncio.get_running_loop()
        while True:
            date, oldest = [(b"date", formatdate(usegmt=True).encode())], loop.time() - _HEAD_S
            for listener in self._open.values():
                listener.state.default_headers = date
                listener.drop_slow(oldest)
            await asyncio.sleep(1)


class _WebSocket(asyncio.Protocol):
    """Uvicorn's WebSocket protocol, imported when the first client asks for an upgrade."""

    def __new__(cls, **given: Any) -> asyncio.Protocol:  # type: ignore[misc]  # stands in for the class it returns
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

        return WebSocketsSansIOProtocol(**given)


class _Connection(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, and what applications find in ``scope["state"]``.

    ``abort`` drops the client; ``connection`` is the transport's ``get_extra_info``; ``peer_certificate`` is the
    client's in DER, or None, on listeners that ask for one. ``take_over`` is for a request
    that asks for another protocol (``Upgrade``; not WebSocket, unless the listener's upgrades are raw): it hands over
    the transport, with what followed the request, and nothing may be sent by ASGI after that. A request that is
    answered instead leaves the connection as it was.

    What a client can make it hold is bounded: heads by ``_LONGEST_HEAD``, requests that did not wait for their
    predecessor's answer by what one read brings.
    """

    def __init__(
        self, config: Config, state: ServerState, loop: asyncio.AbstractEventLoop, *, raw_upgrades: bool = False
    ) -> None:
        super().__init__(config, state, {}, loop)
        self._raw_upgrades = raw_upgrades
        self._received = b""
        self._after_upgrade: bytearray | None = None
        """What came after a request for another protocol; None when there was no such request."""
        self.head_since: float | None = loop.time()
        """When the head began that is on its way, or the connection; None while there is none."""
        self._head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        state: dict[str, Any] = {
            "abort": transport.abort,
            "connection": transport.get_extra_info,
            "take_over": self._take_over,
        }
        self.app_state = state
        encrypted: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if encrypted is not None and encrypted.context.verify_mode:  # of CERT_NONE, 0, no certificate is asked for
            self.app_state["peer_certificate"] = encrypted.getpeercert(binary_form=True)

    def data_received(self, data: bytes) -> None:
        if self._after_upgrade is not None:
            self._after_upgrade += data
            if len(self._after_upgrade) > _LONGEST_HEAD:
                self.flow.pause_reading()
            return
        self._received = data
        super().data_received(data)
        self._received = b""
        if self.head_since is not None:
            self._head_size += len(data)
            if self._head_size > _LONGEST_HEAD and not self.transport.is_closing():
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self.head_since, self._head_size = None, 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()
        if self._after_upgrade is not None:
            # Not upgraded: what follows is HTTP.
            rest, self._after_upgrade = bytes(self._after_upgrade), None
            if rest and not self.transport.is_closing():
                self.loop.call_soon(self.data_received, rest)

    def _should_upgrade(self) -> bool:
        # RFC 6455, 4.1: the method is GET. Any other request goes on as if it had not asked.
        return not self._raw_upgrades and self.scope["method"] == "GET" and super()._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Called while the parser's exception, which says where the request ended, is handled."""
        problem = sys.exception()
        end = problem.args[0] if problem is not None and problem.args else len(self._received)
        self._after_upgrade = bytearray(self._received[end:])

    def _take_over(self) -> tuple[asyncio.Transport, bytes]:
        """Raises ``ConnectionError`` when the client is gone or did not ask for another protocol."""
        if self._after_upgrade is None or self.cycle.disconnected:
            raise ConnectionError("the connection cannot be taken over")
        rest = bytes(self._after_upgrade)
        self.connections.discard(self)
        self.cycle.disconnected = True
        self.flow.resume_reading()
        return self.transport, rest

    def _refuse_head(self) -> None:
        if not self.cycle or self.cycle.response_complete:
            body = b"The head of the request is longer than %d bytes." % _LONGEST_HEAD
            head = (
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n"
            )
            self.transport.write(head % len(body) + body)
        self.transport.close()


class Listener:
    """One port, or one Unix socket; ``raw_upgrades`` as for ``Listeners.open``."""

    def __init__(self, app: ASGI, bound: socket.socket, *, raw_upgrades: bool = False) -> None:
        self.state = ServerState()
        self.state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        self.port: int = 0 if bound.family == socket.AF_UNIX else bound.getsockname()[1]
        self._socket = bound
        self._raw_upgrades = raw_upgrades
        self._server: asyncio.Server | None = None
        self._config = Config(
            _asgi(_say_when_full(app)),
            http=_Connection,
            ws=_WebSocket,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        self._config.load()

    async def start(self, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            return _Connection(self._config, self.state, loop, raw_upgrades=self._raw_upgrades)

        opened = loop.create_unix_server if self._socket.family == socket.AF_UNIX else loop.create_server
        self._server = await opened(connection, sock=self._socket, ssl=tls, backlog=_BACKLOG)

    def drop_slow(self, oldest: float) -> None:
        """Close connections whose head began before ``oldest`` and is not whole yet."""
        for connection in list(self.state.connections):
            if isinstance(connection, _Connection) and (connection.head_since or oldest) < oldest:
                connection.transport.close()

    async def stop(self) -> None:
        """Idle connections are closed at once; answers on their way get a second."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.state.connections):
            connection.shutdown()
        if self.state.tasks:
            _, late = await asyncio.wait(list(self.state.tasks), timeout=_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self.state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the loop tells the aborted connections that they are gone


def _say_when_full(app: ASGI) -> ASGI:
    """An application, and an answer for its requests when nothing can be written any more, which is no defect of it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except (OSError, sqlite3.Error) as problem:
            why = unwritable(problem)
            if why is None or scope["type"] != "http":
                raise
            _log.error("%s %s failed: %s", scope["method"], scope["path"], why)
            await respond_json(send, 507, {"error": {"code": "InsufficientStorage", "message": why}})

    return answer


def _asgi(app: ASGI) -> ASGIApplication:
    return app  # type: ignore[return-value]  # the same messages; uvicorn's types name each of them


def _socket(name: str, asked: int, former: int | None, address: str = ADDRESS) -> socket.socket:
    """A bound socket."""
    if asked:
        try:
            return bound(asked, address)
        except OSError as problem:
            if problem.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "is in use" if problem.errno == errno.EADDRINUSE else "may not be opened by this user"
            raise PortTaken(
                f"port {asked} of {address}, asked for as {name}, {why}; choose another one, or 0 for any that is free"
            ) from problem
    if former:
        try:
            return bound(former, address)
        except OSError as problem:
            if problem.errno != errno.EADDRINUSE:
                raise
            _log.warning("port %d, where %s was before, is in use now; it gets another one", former, name)
    return bound(0, address)


def bound(port: int, address: str = ADDRESS) -> socket.socket:
    """A listening socket; port 0 for any that is free. Raises ``OSError``."""
    # With its protocol: asyncio sends small packets at once only where it knows that the socket is one of TCP.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Only lets a port be taken again right after its former owner ended; two listeners are still refused.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address, port))
        # Listening from here on: on Linux two sockets may be bound to one port as long as neither listens.
        found.listen(_BACKLOG)
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found
