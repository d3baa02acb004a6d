"""The pods that wait for a node: those to try now, by priority, and those to try again when something changed."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock

FIRST_BACKOFF_S = 1.0
LAST_BACKOFF_S = 10.0
# A pod that nothing woke is tried again after this long, in case a change was missed.
LEFTOVER_S = 300.0


@dataclass(slots=True)
class _Waiting:
    priority: int
    order: int
    attempts: int = 0
    tried_at: float = 0.0


class Waiting:
    """Keys of pods. ``wake`` moves those that found no node back into the queue, not before their back-off is over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order = itertools.count()
        self._pods: dict[str, _Waiting] = {}
        self._active: list[tuple[int, int, str]] = []
        self._queued: set[str] = set()
        self._parked: set[str] = set()
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._changes = 0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._pods)

    def add(self, key: str, priority: int) -> None:
        """It wants a node; nothing new where that is known."""
        if key not in self._pods:
            self._pods[key] = _Waiting(priority, next(self._order))
            self._queue(key)

    def remove(self, key: str) -> None:
        """It has one, or is gone."""
        self._pods.pop(key, None)
        self._queued.discard(key)
        self._parked.discard(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    @property
    def changes(self) -> int:
        """How often ``wake`` was called: to tell whether something changed while a pod was tried."""
        return self._changes

    def park(self, key: str, *, seen: int) -> None:
        """It found none, with ``changes`` at ``seen`` when it was tried."""
        known = self._pods.get(key)
        if known is None:
            return
        known.attempts += 1
        known.tried_at = self._clock.monotonic()
        self._parked.add(key)
        if seen != self._changes:
            self._retry(key)
        else:
            self._later(key, LEFTOVER_S)

    def wake(self, key: str | None = None) -> None:
        """Something changed that may help all of them, or this one."""
        if key is None:
            self._changes += 1
        for each in list(self._parked) if key is None else [key] if key in self._parked else []:
            self._retry(each)

    def _retry(self, key: str) -> None:
        known = self._pods[key]
        backoff = min(FIRST_BACKOFF_S * 2 ** (known.attempts - 1), LAST_BACKOFF_S)
        left = known.tried_at + backoff - self._clock.monotonic()
        if left > 0:
            self._later(key, left)
        else:
            self._queue(key)

    def _later(self, key: str, seconds: float) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.create_task(self._after(key, seconds), name=f"again {key}")

    async def _after(self, key: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._timers.pop(key, None)
        if key in self._pods:
            self._queue(key)

    def _queue(self, key: str) -> None:
        self._parked.discard(key)
        if key not in self._queued:
            known = self._pods[key]
            self._queued.add(key)
            heapq.heappush(self._active, (-known.priority, known.order, key))
            self._arrived.set()

    async def get(self) -> str:
        """The next to try: the highest priority, then the first that came."""
        while True:
            while self._active:
                _, _, key = heapq.heappop(self._active)
                if key in self._queued:
                    self._queued.discard(key)
                    return key
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        timers = list(self._timers.values())
        self._timers.clear()
        for each in timers:
            each.cancel()
        for each in timers:
            with contextlib.suppress(asyncio.CancelledError):
                await each
