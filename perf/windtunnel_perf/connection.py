"""One HTTP/1.1 connection of the load generator: a request out, an answer in, with a limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How a request ended."""

    due: float
    status: int = 0
    reusable: bool = False
    error: str | None = None
    """Why there was no answer; the connection is closed then."""


class Connection(asyncio.Protocol):
    """Reports every request's end exactly once."""

    def __init__(self, report: Callable[[Connection, Answered], None]) -> None:
        self._report = report
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._due: float | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server, or a limit, ended it."""
        return self._closed

    def send(self, request: bytes, due: float, limit_s: float) -> None:
        """The next request; only when the last one has ended."""
        self._due = due
        if self._closed or self._transport is None:
            # The server closed it while it was idle: on the next turn, since the caller is not finished yet.
            asyncio.get_running_loop().call_soon(self._end, Answered(due=due, error="connection closed"))
            return
        self._limit = asyncio.get_running_loop().call_later(limit_s, self._give_up)
        self._transport.write(request)

    def close(self) -> None:
        """Nothing more will be sent."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("broken answer")

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._due is None:
            self.close()  # an answer that nobody asked for
            return
        reusable = self._parser.should_keep_alive() and not self._closed
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        self._end(Answered(due=self._due, status=status, reusable=reusable))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._fail("connection closed" if exc is None else f"connection lost: {type(exc).__name__}")

    def _give_up(self) -> None:
        self._fail("timeout")

    def _fail(self, reason: str) -> None:
        self.close()
        if self._due is not None:
            self._end(Answered(due=self._due, error=reason))

    def _end(self, answered: Answered) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        self._due = None
        self._report(self, answered)
