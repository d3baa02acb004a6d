"""Where blocking work runs, so that the event loop always answers: a pool of threads, or the main thread.

A model runs in a bounded pool. A script runs on the main thread of its process, one request at a time, as under the
documented server: scripts need not be safe for threads, libraries that insist on the main thread work, and
``SCORING_TIMEOUT_MS`` can interrupt ``run()`` by a signal, which Python delivers to the main thread only.
"""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Executor(Protocol):
    """Runs blocking jobs for the event loop."""

    async def run(self, job: Callable[[], T]) -> T:
        """What the job returns, or raises."""
        ...


class PoolExecutor:
    """So many threads; further jobs wait in order."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")

    async def run(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, job)

    def close(self) -> None:
        """Waits for the job in work; those that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class MainThread:
    """The main thread as an executor: it calls ``work`` and stays there until ``finish``."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def run(self, job: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(set_outcome: Callable[[], None]) -> None:
            if not future.done():
                set_outcome()

        def perform() -> None:
            if future.cancelled():
                return
            try:
                result = job()
            except BaseException as error:
                caught = error
                loop.call_soon_threadsafe(settle, lambda: future.set_exception(caught))
            else:
                loop.call_soon_threadsafe(settle, lambda: future.set_result(result))

        self._jobs.put(perform)
        return await future

    def work(self) -> None:
        """Do jobs until ``finish``; those put before it are done."""
        while (job := self._jobs.get()) is not None:
            job()

    def finish(self) -> None:
        """Let ``work`` return; from any thread."""
        self._jobs.put(None)
