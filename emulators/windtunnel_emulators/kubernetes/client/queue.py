"""``WorkQueue``: keys to work on, each at most once at a time, with a growing delay after a failure."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem, StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from windtunnel_emulators.clock import Clock

FIRST_DELAY_S = 0.005
LONGEST_DELAY_S = 60.0
"""Of client-go's default rate limiter it is 1000 s; nobody waits that long on a laptop."""
_log = logging.getLogger(__name__)


class WorkQueue:
    """A key that is added while it is being worked on is worked on once more afterwards."""

    def __init__(self, name: str, clock: Clock, work: Callable[[str], Awaitable[None]], *, workers: int = 4) -> None:
        self._name = name
        self._clock = clock
        self._work = work
        self._workers = workers
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._later: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [
            asyncio.create_task(self._run(), name=f"{self._name} {number}") for number in range(self._workers)
        ]

    async def stop(self) -> None:
        """Let go of the work in progress."""
        tasks = [*self._tasks, *(task for _, task in self._later.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._later.clear()

    def add(self, key: str) -> None:
        """Work on it as soon as may be."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Work on it in a while; an earlier time that was said before holds."""
        if delay_s <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + delay_s
        known = self._later.get(key)
        if known is not None:
            if known[0] <= due:
                return
            known[1].cancel()
        task = asyncio.create_task(self._wait(key, delay_s), name=f"{self._name}: {key} later")
        self._later[key] = (due, task)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be worked on now, and nothing is."""
        return not self._waiting and not self._active

    async def _wait(self, key: str, delay_s: float) -> None:
        await self._clock.sleep(delay_s)
        self._later.pop(key, None)
        self.add(key)

    async def _run(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._active.add(key)
            try:
                await self._work(key)
            except KubernetesProblem as problem:
                self._retry(key, problem)
            except Exception:
                _log.exception("%s failed at %s", self._name, key)
                self._retry(key, None)
            else:
                self._failures.pop(key, None)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    def _retry(self, key: str, problem: KubernetesProblem | None) -> None:
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        # A conflict only says that the cache is behind; a namespace that goes takes what is in it along.
        usual = isinstance(problem, StatusError) and problem.code in (404, 409)
        if problem is not None and not usual:
            _log.log(logging.WARNING if count > 3 else logging.DEBUG, "%s at %s: %s", self._name, key, problem)
        self.add_after(key, min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(count, 20)))
