"""Bytes from one connection to another, both ways, without a task for each: the proxies' and the bridge's core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class Half(asyncio.Protocol):
    """One of the two connections. What comes is written to the other; a full other pauses this one; an end is passed
    on, as an end where the other can be closed on one side, and when both have ended both are closed."""

    def __init__(self, on_lost: Callable[[], None] | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: Half | None = None
        self.ended = False
        self._on_lost = on_lost
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asked with isinstance: uvloop's are none of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def join(self, peer: Half) -> None:
        """From now on what comes goes to ``peer``, beginning with what came before."""
        self.peer = peer
        if peer.transport is not None:
            for data in self._early:
                peer.transport.write(data)
        self._early.clear()
        if self.ended:
            self._pass_on_end()

    def data_received(self, data: bytes) -> None:
        peer = self.peer
        if peer is None:
            self._early.append(data)
        elif peer.transport is not None:
            peer.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.peer is None:
            return True
        return self._pass_on_end()

    def _pass_on_end(self) -> bool:
        """Whether this connection stays open for what the other still says."""
        peer = self.peer
        if peer is None or peer.transport is None or peer.transport.is_closing():
            return False
        if peer.ended or not peer.transport.can_write_eof():
            peer.transport.close()
            return False
        peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        peer = self.peer
        if peer is not None and peer.transport is not None and not peer.transport.is_closing():
            peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        peer = self.peer
        if peer is not None and peer.transport is not None and not peer.transport.is_closing():
            # A broken connection must not look like a proper end to the other side.
            peer.transport.close() if exc is None else peer.transport.abort()
        self.transport = None
        if self._on_lost is not None:
            self._on_lost()


def join(one: Half, other: Half) -> None:
    """Splice them."""
    one.join(other)
    other.join(one)


async def splice(transport: asyncio.Transport, rest: bytes, to: asyncio.Transport, early: bytes = b"") -> None:
    """Until both are closed. ``rest`` was read of the first and not sent on, ``early`` of the second."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = 2

    def lost() -> None:
        nonlocal left
        left -= 1
        if left == 0 and not over.done():
            over.set_result(None)

    one, other = Half(lost), Half(lost)
    transport.set_protocol(one)
    to.set_protocol(other)
    one.connection_made(transport)
    other.connection_made(to)
    if rest:
        to.write(rest)
    if early:
        transport.write(early)
    join(one, other)
    transport.resume_reading()
    to.resume_reading()
    try:
        await over
    finally:
        transport.abort()
        to.abort()
