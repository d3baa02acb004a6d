"""Time as a value that is passed in: real, and manual for tests; and the pace at which Azure's waits pass.

Everything in the emulators that waits takes a ``Clock`` and never calls ``asyncio.sleep`` itself.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The time of day, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero and less only yields to other tasks."""
        ...


class RealClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until a test moves it; sleepers wake in order of their time."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), done))
        await done

    async def advance(self, seconds: float) -> None:
        """Move time on; each sleeper that falls due runs before time moves further."""
        end = self._elapsed + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, done = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not done.done():
                done.set_result(None)
            await _settle()
        self._elapsed = end
        await _settle()


async def _settle() -> None:
    """Let every task that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)


@cache
def _measured() -> dict[str, dict[str, float]]:
    text = resources.files("windtunnel_emulators").joinpath("paces.toml").read_text("utf-8")
    return {kind: {verb: float(s) for verb, s in verbs.items()} for kind, verbs in tomllib.loads(text).items()}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast Azure's own waits pass. ``factor`` 0 is no artificial wait, 1 Azure's time, 10 ten times faster."""

    name: str
    factor: float

    @classmethod
    def parse(cls, text: str) -> Pace:
        """``fast``, ``azure`` or a positive number; raises ``ValueError`` with a sentence otherwise."""
        if text == "fast":
            return cls("fast", 0.0)
        if text == "azure":
            return cls("azure", 1.0)
        try:
            factor = float(text)
        except ValueError:
            factor = -1.0
        if not 0 < factor < float("inf"):
            raise ValueError(
                f"pace {text!r} is none of: fast, azure, or a positive number (10: ten times Azure's speed)"
            )
        return cls(text, factor)

    def duration(self, kind: str, verb: str) -> float:
        """Seconds that Azure takes for ``verb`` on ``kind`` (paces.toml, with its source), at this pace."""
        if self.factor == 0:
            return 0.0
        return _measured().get(kind, {}).get(verb, 0.0) / self.factor

    def backoff(self, seconds: float) -> float:
        """A back-off of Azure's at this pace; ``fast`` keeps the order of growth at a hundredth of the time."""
        return seconds / (self.factor or 100.0)

    @property
    def retry_after_ms(self) -> int | None:
        """What clients are told to wait between polls; None tells them nothing, as Azure does (they then wait 30 s)."""
        return 50 if self.factor == 0 else None if self.factor == 1 else max(50, int(10_000 / self.factor))
