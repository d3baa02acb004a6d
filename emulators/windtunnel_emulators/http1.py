"""HTTP/1.1 on one connection: httptools parses, an ASGI application answers.

Why not uvicorn, whose protocol this follows: importing it costs 60 ms, a fifth of a start, most of it for its command
line; and its way through a request is twice as long, which is most of what the front door costs. What is left out is
what loopback does not need (proxies, access logs, workers, limits of clients).

Rules: requests of one connection are answered in their order; a body that the application does not read is read and
dropped, so that its sender sees the answer; memory is bounded by ``_HIGH_WATER`` for bodies and ``_LONGEST_HEAD`` for
heads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import httptools

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI, Message, Scope

_HIGH_WATER = 64 * 1024
_LONGEST_HEAD = 64 * 1024
_LINGER_S = 10.0
_REFUSED_S = 0.5
_log = logging.getLogger(__name__)


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


class Shared:
    """What the connections of one port have in common."""

    def __init__(self, app: ASGI) -> None:
        self.app = app
        self.connections: set[Connection] = set()
        self.sockets: set[Taken] = set()
        """Connections that became WebSockets."""
        self.date = b""
        """The line of the ``Date`` header; whoever owns the port keeps it fresh."""


class Taken:
    """A connection that is no longer HTTP: what its port can do with it."""

    task: asyncio.Task[None]

    def abort(self) -> None:
        """Drop the client."""
        raise NotImplementedError


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop) -> None:
        self.shared = shared
        self.loop = loop
        self.transport: asyncio.Transport = _NOT_CONNECTED
        self.task: asyncio.Task[None] | None = None
        """The request that is being answered."""
        self.idle_since: float | None = loop.time()
        """None while a request is on its way or being answered."""
        self._parser = httptools.HttpRequestParser(self)
        self._scheme = "http"
        self._addresses: tuple[object, object] = (None, None)
        self._reading_paused = False
        self._writable: asyncio.Future[None] | None = None
        self._incoming: Exchange | None = None
        """Whose body is being read."""
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._closing = False
        # Of the request whose head is being read:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._upgrade = False
        self._head_size = 0
        """Bytes that came of a head that is not complete."""
        self._heads = 0
        """How many were complete."""

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's do not say that they are
        self.transport = transport
        self.shared.connections.add(self)
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._addresses = (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.connections.discard(self)
        self.resume_writing()
        if self._answering is not None:
            self._answering.lose()
        self._waiting.clear()

    def eof_received(self) -> None:
        """Nothing: the transport closes itself."""

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    def data_received(self, data: bytes) -> None:
        if self._closing and self._incoming is None:
            return
        self.idle_since = None
        heads, in_head = self._heads, self._incoming is None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._upgrade:
                self._become_web_socket(data[upgrade.args[0] :])
        except httptools.HttpParserError as problem:
            self._refuse(400, f"The request is not HTTP: {problem}.")
        else:
            if self._heads != heads:
                self._head_size = 0
            elif in_head:
                self._head_size += len(data)
                if self._head_size > _LONGEST_HEAD:
                    self._refuse(431, f"The head of the request is longer than {_LONGEST_HEAD} bytes.")

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._heads += 1
        if self._closing:
            return
        parser = self._parser
        keep_alive = parser.should_keep_alive()
        expects = False
        upgrade = b""
        for name, value in self._headers:
            if name == b"expect":
                expects = value.lower() == b"100-continue"
            elif name == b"upgrade":
                upgrade = value.lower()
        scope = self._scope()
        if parser.should_upgrade():
            if upgrade == b"websocket":
                self._upgrade = True
                return
            keep_alive = False  # to a protocol that is not spoken here: HTTP goes on, for this one request
        exchange = Exchange(self, scope, keep_alive=keep_alive, expects=expects)
        if self.task is None:
            self._incoming = exchange
            self._begin(exchange)
        else:
            # The client did not wait for an answer: this one's turn comes, and no more is read until then.
            self._incoming = exchange
            self._waiting.append(exchange)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed(body)

    def on_message_complete(self) -> None:
        exchange, self._incoming = self._incoming, None
        if exchange is not None:
            exchange.end()
            if self._closing and exchange.answered:
                self.transport.close()

    # For exchanges

    def pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._waiting and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    async def drained(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self._writable is not None:
            await self._writable

    def answered(self, exchange: Exchange) -> None:
        """An answer is complete."""
        if exchange.keep_alive:
            return
        self._closing = True
        if self._incoming is exchange:
            # Closing now would reset the connection, and the client might never see the answer.
            self.resume_reading()
            self.loop.call_later(_LINGER_S, self.transport.close)
        else:
            self.transport.close()

    def close_soon(self) -> None:
        """Close when idle, else after the answer that is being given."""
        if self.task is None:
            self.transport.close()
        else:
            self._closing = True

    @property
    def closing(self) -> bool:
        """Whether this is the last answer."""
        return self._closing

    # Inside

    def _scope(self) -> Scope:
        url = self._url
        if url[:1] != b"/":  # with scheme and host, as to a proxy
            parsed = httptools.parse_url(url) if b"://" in url else None
            raw_path, query = (parsed.path or b"/", parsed.query or b"") if parsed else (url, b"")
        else:
            raw_path, _, query = url.partition(b"?")
        path = raw_path.decode("latin-1")
        client, server = self._addresses
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._parser.get_http_version(),
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self._scheme,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": client,
            "server": server,
            "state": {"abort": self.transport.abort},
        }

    def _begin(self, exchange: Exchange) -> None:
        self._answering = exchange
        self.task = self.loop.create_task(exchange.run(self.shared.app))

    def over(self) -> None:
        """An exchange has ended; the next one's turn."""
        self.task = self._answering = None
        if self._waiting and not self.transport.is_closing():
            self._begin(self._waiting.popleft())
            return
        self.resume_reading()
        self.idle_since = self.loop.time()

    def _refuse(self, status: int, why: str) -> None:
        """Answer what is no request that an application could answer, and close."""
        if self._closing:
            return
        self._closing = True
        if self.task is not None:
            self.transport.close()
        else:
            body = why.encode("ascii", "replace")
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(_STATUS_LINES[status] + self.shared.date + head % len(body) + body)
            # What still comes is dropped: closing now would reset the connection, and the answer might not be seen.
            self.loop.call_later(_REFUSED_S, self.transport.close)

    def _become_web_socket(self, rest: bytes) -> None:
        from windtunnel_emulators.websocket import WebSocket

        self.shared.connections.discard(self)
        WebSocket(self.shared, self.loop, self.transport, self._scope(), rest)


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_body",
        "_chunked",
        "_connection",
        "_delivered",
        "_expects",
        "_head",
        "_lost",
        "_more",
        "_remaining",
        "_waiter",
        "answered",
        "keep_alive",
        "scope",
        "started",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, expects: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.started = False
        """Whether an answer has begun."""
        self.answered = False
        self._connection = connection
        self._expects = expects
        self._body = bytearray()
        self._more = True
        self._delivered = False
        self._waiter: asyncio.Future[None] | None = None
        self._lost = False
        self._head = b""
        self._chunked = False
        self._remaining = 0

    # The connection tells

    def feed(self, body: bytes) -> None:
        """More of the request's body."""
        if self.answered or self._lost:
            return
        self._body += body
        if len(self._body) > _HIGH_WATER:
            self._connection.pause_reading()
        self._wake()

    def end(self) -> None:
        """The request is whole."""
        self._more = False
        self._wake()

    def lose(self) -> None:
        """The client is gone."""
        self._lost = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The application's side

    async def run(self, app: ASGI) -> None:
        """Have the request answered, whatever the application does."""
        connection = self._connection
        try:
            await app(self.scope, self.receive, self.send)
            if not self.answered and not self._lost:
                _log.error("%s %s was not answered to the end", self.scope["method"], self.scope["path"])
                await self._give_up()
        except asyncio.CancelledError:
            connection.transport.abort()
            raise
        except Exception:
            _log.exception("%s %s failed", self.scope["method"], self.scope["path"])
            await self._give_up()
        finally:
            connection.over()

    async def _give_up(self) -> None:
        if self.started:
            self._connection.transport.abort()  # a client must not take a part for the whole
            return
        body = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def receive(self) -> Message:
        """ASGI's ``receive``."""
        if self._expects:
            self._expects = False
            if not self._lost and not self.started:
                self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._lost and (self._delivered or (self._more and not self._body)):
            if self._delivered and self.answered:
                return {"type": "http.disconnect"}
            self._connection.resume_reading()
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._lost:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        self._connection.resume_reading()
        self._delivered = not self._more
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """ASGI's ``send``: the head is written with the first part of the body."""
        if self._lost:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.started:
            self._start(message)
        elif kind == "http.response.body" and self.started and not self.answered:
            self._continue(message.get("body", b""), bool(message.get("more_body", False)))
            await self._connection.drained()
        else:
            raise RuntimeError(f"{kind} is not to be sent now")

    def _start(self, message: Message) -> None:
        status: int = message["status"]
        self.started = True
        self._expects = False
        length: int | None = None
        lines = [_STATUS_LINES[status], self._connection.shared.date]
        for name, value in message.get("headers", ()):
            lines += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
        count = (len(lines) - 2) // 4 + 1 + bool(lines[1])
        if status in (204, 304) or status < 200 or self.scope["method"] == "HEAD":
            length = 0
        elif length is None and self.scope["http_version"] == "1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
            count += 1
        elif length is None:
            self.keep_alive = False  # HTTP/1.0: the end of the connection is the end of the body
        if self._connection.closing:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
            count += 1
        head = b"".join(lines)
        if head.count(b"\n") != count or b"\x00" in head:
            self.started = False
            raise ValueError("a header of the answer has a line end in it")
        self._remaining = -1 if length is None else length
        self._head = head + b"\r\n"

    def _continue(self, body: bytes, more: bool) -> None:
        connection = self._connection
        if self._chunked:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not more:
                body += b"0\r\n\r\n"
        elif self.scope["method"] == "HEAD":
            body = b""
        elif self._remaining >= 0:
            self._remaining -= len(body)
            if self._remaining < 0 or (self._remaining and not more):
                raise RuntimeError("the body of the answer is not as long as its content-length says")
        if self._head:
            body, self._head = self._head + body, b""
        if body:
            connection.transport.write(body)
        if not more:
            self.answered = True
            self._wake()
            connection.answered(self)


class _NotConnected(asyncio.Transport):
    """Stands where a transport will be."""


_NOT_CONNECTED = _NotConnected()
