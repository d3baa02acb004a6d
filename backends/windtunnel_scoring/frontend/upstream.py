"""Connections to the scoring container: HTTP/1.1, kept alive, streamed both ways.

A request is never sent twice. So that a kept connection is not used in the moment in which the server closes it, it is
given up before the server would (see ``serving.KEEP_ALIVE_S``).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

IDLE_S = 60.0
_CHUNK = 64 * 1024
_MOST_IDLE = 64


class UpstreamError(Exception):
    """The container did not answer; the message is a sentence."""


class NotReady(UpstreamError):
    """Nothing listens."""


class ClosedEarly(UpstreamError):
    """The connection ended, or made no sense, before the answer was there."""


class Connection:
    """One connection, used by one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answer = _Answer(head=False)
        self.idle_since = 0.0
        self.status = 0
        self.headers: Sequence[tuple[bytes, bytes]] = ()

    @property
    def usable(self) -> bool:
        """Whether the server still holds it open."""
        return not (self._writer.is_closing() or self._reader.at_eof())

    def send_head(self, method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The first bytes of a request."""
        self._answer = _Answer(head=method == "HEAD")
        lines = [method.encode() + b" " + target + b" HTTP/1.1\r\n"]
        lines += [name + b": " + value + b"\r\n" for name, value in headers]
        lines.append(b"\r\n")
        self._writer.write(b"".join(lines))

    async def send_body(self, body: bytes, *, chunked: bool) -> None:
        """A piece of the body; waits while the container reads slower than the client sends.

        A container that reads no more may still have answered: that shows when the answer is read, not here.
        """
        if body and self.usable:
            self._writer.write(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
            with contextlib.suppress(OSError):
                await self._writer.drain()

    def end_body(self, *, chunked: bool) -> None:
        """The end of the body."""
        if chunked:
            self._writer.write(b"0\r\n\r\n")

    async def read_head(self) -> None:
        """``status`` and ``headers`` of the answer; raises ``ClosedEarly``."""
        answer = self._answer
        while not answer.head_complete:
            await self._feed()
        self.status, self.headers = answer.status, answer.headers

    async def body(self) -> AsyncIterator[bytes]:
        """The answer's body as it comes; raises ``ClosedEarly`` when it ends too early."""
        answer = self._answer
        while True:
            while answer.pieces:
                yield answer.pieces.popleft()
            if answer.complete:
                return
            await self._feed()

    @property
    def whole_body(self) -> bytes | None:
        """The body, when all of it came with the head."""
        return b"".join(self._answer.pieces) if self._answer.complete else None

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self._answer.complete and self._answer.keep_alive and self.usable

    def close(self) -> None:
        """At once; what was not sent is dropped."""
        self._writer.transport.abort()

    async def _feed(self) -> None:
        try:
            data = await self._reader.read(_CHUNK)
        except OSError as error:
            raise ClosedEarly(str(error)) from error
        try:
            self._answer.feed(data)
        except httptools.HttpParserError as error:
            raise ClosedEarly(f"the container's answer is no HTTP: {error}") from error


class _Answer:
    """The parser's callbacks for one answer; interim answers (1xx) are skipped."""

    def __init__(self, *, head: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._to_head = head
        self._headers: list[tuple[bytes, bytes]] = []
        self._until_close = False
        self.pieces: deque[bytes] = deque()
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.status = 0
        self.head_complete = False
        self.complete = False
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        """Raises ``HttpParserError``; ``ClosedEarly`` for an end that comes too early."""
        if data:
            self._parser.feed_data(data)
        elif self._until_close and self.head_complete:
            self.complete = True
        else:
            raise ClosedEarly("the container closed the connection")

    def on_message_begin(self) -> None:
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self.status, self.headers, self.head_complete = status, self._headers, True
        self.keep_alive = self._parser.should_keep_alive()
        names = {name for name, _ in self._headers}
        self._until_close = not names & {b"content-length", b"transfer-encoding"}
        if self._to_head:
            # It has the length of a body that does not follow, which the parser cannot know.
            self.complete = True

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        if self.head_complete:
            self.complete = True


class Upstream:
    """The container, and the connections to it that wait for their next request."""

    def __init__(self, address: str, port: int, *, connect_timeout_s: float = 5.0) -> None:
        self._address = address
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[Connection] = []

    async def connect(self) -> Connection:
        """A connection for one request; raises ``NotReady``."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_S:
                return connection
            connection.close()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                reader, writer = await asyncio.open_connection(self._address, self._port, limit=_CHUNK)
        except (OSError, TimeoutError) as error:
            raise NotReady("the scoring container does not accept connections") from error
        raw = cast("socket.socket | None", writer.get_extra_info("socket"))
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(reader, writer)

    def give_back(self, connection: Connection) -> None:
        """After a request: kept for the next one when it can be."""
        if connection.reusable and len(self._idle) < _MOST_IDLE:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Give up the connections that wait."""
        while self._idle:
            self._idle.pop().close()
