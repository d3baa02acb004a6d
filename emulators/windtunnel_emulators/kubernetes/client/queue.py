"""A queue of keys to work on: each at most once in it, never worked on twice at a time, failures slower each time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock

FIRST_DELAY_S = 0.005
LAST_DELAY_S = 60.0


class WorkQueue:
    """Keys in order of arrival. A key that is added while it is worked on comes again afterwards."""

    def __init__(
        self, clock: Clock, *, first_delay_s: float = FIRST_DELAY_S, last_delay_s: float = LAST_DELAY_S
    ) -> None:
        self._clock = clock
        self._first_delay_s = first_delay_s
        self._last_delay_s = last_delay_s
        self._ready: deque[str] = deque()
        self._wanted: set[str] = set()
        self._in_work: set[str] = set()
        self._failures: dict[str, int] = {}
        self._later: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._arrived = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: str) -> None:
        """Have it worked on, as soon as its turn comes."""
        if self._closed or key in self._wanted:
            return
        self._wanted.add(key)
        if key not in self._in_work:
            self._ready.append(key)
            self._arrived.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Have it worked on in that time; of several such wishes the earliest holds."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        earlier = self._later.get(key)
        if earlier is not None:
            if earlier[0] <= due:
                return
            earlier[1].cancel()
        self._later[key] = (due, asyncio.create_task(self._add_later(key, seconds), name=f"later {key}"))

    async def _add_later(self, key: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        del self._later[key]
        self.add(key)

    def add_rate_limited(self, key: str) -> None:
        """Have it worked on again after a failure: the wait doubles with each, until ``forget``."""
        failed = self._failures.get(key, 0)
        self._failures[key] = failed + 1
        self.add_after(key, min(self._first_delay_s * 2 ** min(failed, 40), self._last_delay_s))

    def forget(self, key: str) -> None:
        """It succeeded: the next failure waits the first delay again."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often it failed since it last succeeded."""
        return self._failures.get(key, 0)

    async def get(self) -> str | None:
        """The next key, which the caller ends with ``done``; None once the queue is closed."""
        while not self._ready:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        key = self._ready.popleft()
        self._wanted.discard(key)
        self._in_work.add(key)
        return key

    def done(self, key: str) -> None:
        """The work on it ended."""
        self._in_work.discard(key)
        if key in self._wanted and not self._closed:
            self._ready.append(key)
            self._arrived.set()

    async def close(self) -> None:
        """Nothing more is accepted or handed out."""
        self._closed = True
        self._ready.clear()
        self._arrived.set()
        waiting = [task for _, task in self._later.values()]
        self._later.clear()
        for task in waiting:
            task.cancel()
        for task in waiting:
            with contextlib.suppress(asyncio.CancelledError):
                await task
