"""Copies of requests for a version that is tried out: its answers are thrown away, and nobody waits for them.

A copy is made only when the whole body is small enough to be held, a place at a replica is free, and not too many
copies are on their way; else it is counted as not made.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from windtunnel_scoring.frontend.upstream import UpstreamError

if TYPE_CHECKING:
    from windtunnel_scoring.router.service import Version
    from windtunnel_scoring.router.slots import Replica

LARGEST: Final = 1024 * 1024
_MOST: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A whole request."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Mirror:
    """Copies on their way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, version: Version, copy: Copy | None) -> None:
        """At once, or not at all; ``None`` is one that is too large."""
        replica = version.slots.take_free() if copy is not None and len(self._tasks) < _MOST else None
        if copy is None or replica is None:
            version.not_mirrored += 1
            return
        version.mirrored += 1
        task = asyncio.create_task(_send(version, replica, copy), name="mirror")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is on its way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))


async def _send(version: Version, replica: Replica, copy: Copy) -> None:
    try:
        with contextlib.suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(version.definition.scoring_timeout_ms / 1000):
                connection = await replica.upstream.connect()
                try:
                    connection.send_head(copy.method, copy.target, copy.headers)
                    await connection.send_body(copy.body, chunked=False)
                    await connection.read_head()
                    async for _ in connection.body():
                        pass
                except BaseException:
                    connection.close()
                    raise
                replica.give_back(connection)
    finally:
        version.slots.release(replica)
