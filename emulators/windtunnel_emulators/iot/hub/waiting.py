"""Waiting for something that may not come, by a clock that is passed in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock

T = TypeVar("T")


async def within(clock: Clock, seconds: float, awaited: asyncio.Future[T]) -> T:
    """The result of a future. Raises ``TimeoutError``; the future is cancelled then."""
    limit = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((awaited, limit), return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            raise TimeoutError
        return awaited.result()
    finally:
        limit.cancel()
        if not awaited.done():
            awaited.cancel()
        elif not awaited.cancelled():
            awaited.exception()  # who waits may be cancelled in the same moment: then nobody else asks for it
