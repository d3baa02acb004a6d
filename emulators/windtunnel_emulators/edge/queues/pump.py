"""What brings an endpoint's messages to its sink: a task of its own, so that no endpoint waits for another.

The most urgent priority goes first, and is looked at again after every batch; a batch is of one priority. What has to
be sent again waits, twice as long each time: 1 s to 60 s, and 1 s again after a success.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.edge.interface import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.edge.interface import Sink
    from windtunnel_emulators.edge.queues.store import Entry, Queue

_FIRST, _LONGEST = 1.0, 60.0
_MANY = 1000
"""How many messages are looked at in a row once all of a batch were too old."""
_log = logging.getLogger(__name__)


class Source(Protocol):
    """Where a pump has its messages from."""

    def read(self, queue: Queue, most: int) -> Sequence[Entry]:
        """The first messages that are not done with."""
        ...

    def is_expired(self, entry: Entry) -> bool: ...
    def settle(self, queue: Queue, entries: Sequence[Entry], outcomes: Mapping[int, Outcome]) -> None:
        """The first messages of a queue, these, are done with; those without an outcome were too old."""
        ...


class Pump:
    """One endpoint's. It runs from its first sink on until it is stopped."""

    def __init__(self, endpoint: str, source: Source, clock: Clock, pace: Pace) -> None:
        self.endpoint = endpoint
        self.queues: list[Queue] = []
        """The endpoint's queues, the most urgent first."""
        self.busy: Queue | None = None
        """The queue whose first messages are with the sink now."""
        self._source = source
        self._clock = clock
        self._pace = pace
        self._filled = asyncio.Event()
        self._sink: Sink | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._back_off = _FIRST
        self._all_expired = False

    def add(self, queue: Queue) -> None:
        """One more of the endpoint's queues."""
        self.queues.append(queue)
        self.queues.sort(key=lambda one: one.priority)
        if queue.depth:
            self._filled.set()

    def wake(self) -> None:
        """There are more messages."""
        self._filled.set()

    def attach(self, sink: Sink) -> None:
        """Deliver to this sink from now on; what the one before has in its hands, it keeps."""
        self._sink = sink
        self._back_off = _FIRST
        if self._stopping:
            return
        if self._task is not None and self.busy is None:
            self._task.cancel()
            self._task = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"edge pump {self.endpoint}")

    async def stop(self, patience: float) -> None:
        """End; a batch that is with the sink has ``patience`` seconds to come back."""
        self._stopping = True
        task = self._task
        if task is None:
            return
        if self.busy is not None:
            await asyncio.wait((task,), timeout=patience)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _run(self) -> None:
        while not self._stopping:
            queue = next((one for one in self.queues if one.depth), None)
            if queue is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            try:
                again = await self._deliver(queue)
            except Exception:
                _log.exception("messages to %s: the delivery failed, and is tried again", self.endpoint)
                again = True
            finally:
                self.busy = None
            if self._stopping:
                return
            if again:
                await self._clock.sleep(self._pace.backoff(self._back_off))
                self._back_off = min(self._back_off * 2, _LONGEST)
            else:
                # A sink that never waits must not keep everybody else waiting.
                await asyncio.sleep(0)

    async def _deliver(self, queue: Queue) -> bool:
        """One batch; whether something of it has to be sent again."""
        sink = self._sink
        if sink is None:
            raise AssertionError("a pump without a sink does not run")
        await sink.ready()
        # While that took time, something more urgent may have come.
        queue = next((one for one in self.queues if one.depth), queue)
        batch = max(1, sink.batch)
        entries = self._read(queue, batch)
        fresh = [entry for entry in entries if not self._source.is_expired(entry)]
        self._all_expired = not fresh
        if not fresh:
            self._source.settle(queue, entries, {})
            return False
        self.busy = queue
        outcomes = await sink.send([entry.message for entry in fresh])
        if len(outcomes) != len(fresh):
            _log.error("messages to %s: %d outcomes of %d messages", self.endpoint, len(outcomes), len(fresh))
        known = {entry.id: outcome for entry, outcome in zip(fresh, outcomes, strict=False)}
        again = next((entry.id for entry in fresh if known.get(entry.id, Outcome.RETRY) is Outcome.RETRY), None)
        until = len(entries) if again is None else next(at for at, entry in enumerate(entries) if entry.id == again)
        self._source.settle(queue, entries[:until], known)
        if again != fresh[0].id:
            self._back_off = _FIRST
        return again is not None

    def _read(self, queue: Queue, batch: int) -> Sequence[Entry]:
        """The next messages; many where all of the last ones were too old, but at most a batch that is not."""
        if not self._all_expired:
            return self._source.read(queue, batch)
        entries = self._source.read(queue, _MANY)
        fresh = 0
        for at, entry in enumerate(entries):
            fresh += not self._source.is_expired(entry)
            if fresh == batch:
                return entries[: at + 1]
        return entries
