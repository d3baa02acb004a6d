"""``Replicas``: so many devices, each of which runs one request after the other, in the order in which they came.

A request waits where it would be served first. Its simulated wait is the simulated time of those that really were
before it there.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from windtunnel_emulators.brainwave.service.refusals import Refused, Status

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MOST_WAITING = 512


@dataclass(frozen=True, slots=True)
class Ticket(Generic[T]):
    """A request that waits, or runs."""

    result: Future[T]
    replica: int
    ahead: int
    """Runs of the device that were before it."""


class Replicas:
    """Raises ``Refused`` when too many wait."""

    def __init__(self, count: int) -> None:
        self._workers = [ThreadPoolExecutor(1, thread_name_prefix=f"replica-{i}") for i in range(count)]
        self._pending = [0] * count
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._workers)

    def submit(self, work: Callable[[], T], runs: int) -> Ticket[T]:
        """``runs`` is how often the device runs for it: it takes no batches."""
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise Refused(
                    f"{self._waiting} requests wait already",
                    status=Status.RESOURCE_EXHAUSTED,
                    way_out="Send fewer at a time, or ask for more replicas.",
                )
            replica = min(range(self.count), key=self._pending.__getitem__)
            ahead = self._pending[replica]
            self._pending[replica] += runs
            self._waiting += 1
            # Inside the lock, so that the order is the one that the tickets say.
            future = self._workers[replica].submit(self._run, work, replica, runs)
        return Ticket(result=future, replica=replica, ahead=ahead)

    def _run(self, work: Callable[[], T], replica: int, runs: int) -> T:
        try:
            return work()
        finally:
            with self._lock:
                self._pending[replica] -= runs
                self._waiting -= 1

    def close(self) -> None:
        """What runs is finished, what waits is not."""
        for worker in self._workers:
            worker.shutdown(wait=True, cancel_futures=True)
