"""Time limits for calls on any thread: one thread that waits for the next deadline and then calls back."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _Limit:
    """One deadline."""

    __slots__ = ("callback", "lifted")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.lifted = False


class Watchdog:
    """Cheap for calls that stay within their limit: a lock and a heap, no thread each."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._changed = threading.Condition()
        self._order = itertools.count()
        self._limits: list[tuple[float, int, _Limit]] = []
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, seconds: float, callback: Callable[[], None]) -> Generator[None]:
        """Calls back, on the watchdog's thread, when the block takes longer; never after the block has ended."""
        limit = _Limit(callback)
        with self._changed:
            heapq.heappush(self._limits, (self._now() + seconds, next(self._order), limit))
            if self._limits[0][2] is limit:
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="scoring-watchdog", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                limit.lifted = True
                # Limits are of one length, so the oldest are the first to end: the heap stays as small as the work.
                while self._limits and self._limits[0][2].lifted:
                    heapq.heappop(self._limits)

    def _watch(self) -> None:
        with self._changed:
            while True:
                if not self._limits:
                    self._changed.wait()
                    continue
                wait = self._limits[0][0] - self._now()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                limit = heapq.heappop(self._limits)[2]
                if not limit.lifted:
                    limit.callback()
