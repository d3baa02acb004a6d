"""The queues of an edge device: what was taken is delivered at least once, in order per endpoint and priority.

A message is acknowledged once it is on the disk, and kept until every endpoint that wants it is done with it: it was
delivered, its sink has dropped it, or it grew too old. What is done with is written a little later, with other changes:
after a crash some messages are delivered again; after an orderly end, none. Endpoints without a sink keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.clock import Pace
from windtunnel_emulators.edge.interface import Outcome
from windtunnel_emulators.edge.queues.pump import Pump
from windtunnel_emulators.edge.queues.store import QueueStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.interface import Message, Sink, Target
    from windtunnel_emulators.edge.queues.store import Entry, Queue

CLEANUP_INTERVAL = 1800.0
"""Seconds between two clean-ups (edge-hub's ``MessageCleanupIntervalSecs``)."""
_LAZILY = 0.05
"""Seconds until what is done with is written, where no new message comes before; not Azure's, and not at a pace."""
_PATIENCE = 5.0
"""Seconds that a batch has to come back from its sink when the queues are closed."""
_CLEANED_AT_ONCE = 500
_FAILURE_INTERVAL = 10.0
"""Seconds between two lines of the log about a disk that is full: every message would be one."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of one endpoint's messages since the queues were opened."""

    waiting: int = 0
    delivered: int = 0
    dropped: int = 0
    expired: int = 0


class _Counts:
    __slots__ = ("delivered", "dropped", "expired")

    def __init__(self) -> None:
        self.delivered = self.dropped = self.expired = 0


class DurableQueues:
    """All queues of a device, in one file. Implements ``Queues``."""

    def __init__(self, file: Path, clock: Clock, pace: Pace | None = None) -> None:
        """Opens or makes the file. Raises ``sqlite3.Error``."""
        self._clock = clock
        self._pace = pace or Pace.parse("azure")
        self._pumps: dict[str, Pump] = {}
        self._counts: dict[str, _Counts] = {}
        self._default_ttl: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._last_failure: float | None = None
        self._store = QueueStore(file, self._wake)
        self._store.commits.on_failure(self._not_stored)
        for queue in self._store.queues.values():
            self._pump(queue.endpoint).add(queue)

    @property
    def lost(self) -> int:
        """Messages that could not be stored since the file was opened; nobody was told that they were."""
        return self._store.lost

    def on_failure(self, call: Callable[[str], None]) -> None:
        """``call`` is told why messages could not be stored; they are not acknowledged. Else it is logged."""
        self._store.commits.on_failure(call)

    def set_default_ttl(self, seconds: float | None) -> None:
        """How long messages live whose target says nothing, those in the queues too; None and less than 0: for ever."""
        self._default_ttl = None if seconds is None or seconds < 0 else seconds

    def append(self, message: Message, targets: Sequence[Target], taken: Callable[[], None]) -> None:
        """Store a message soon; ``taken`` is called once it is safe on disk, or at once where there is no target.

        It is not called for a message that could not be stored.
        """
        if not targets:
            taken()
            return
        if len(targets) > 1:
            # Of two for one endpoint the last one counts; twice the same would be refused by the file.
            targets = tuple({target.endpoint: target for target in targets}.values())
        for target in targets:
            if (target.endpoint, target.priority) not in self._store.queues:
                self._pump(target.endpoint).add(self._store.queue(target.endpoint, target.priority))
        self._store.append(message, targets, taken)

    def attach(self, endpoint: str, sink: Sink) -> None:
        """Begin to deliver what an endpoint has, and will have, to ``sink``; a second call replaces the sink."""
        self._pump(endpoint).attach(sink)

    def depths(self) -> dict[str, int]:
        """How many messages wait, by endpoint; those that are with a sink count too."""
        return {endpoint: sum(queue.depth for queue in pump.queues) for endpoint, pump in self._pumps.items()}

    def tallies(self) -> dict[str, Tally]:
        """What became of the messages, by endpoint."""
        return {
            endpoint: Tally(
                waiting=waiting,
                delivered=self._counts[endpoint].delivered,
                dropped=self._counts[endpoint].dropped,
                expired=self._counts[endpoint].expired,
            )
            for endpoint, waiting in self.depths().items()
        }

    async def run(self) -> None:
        """Remove what is too old, at once and from time to time. Returns when the queues are closed."""
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            while not self._closed.is_set():
                await self.clean()
                pause = asyncio.ensure_future(self._clock.sleep(CLEANUP_INTERVAL))
                await asyncio.wait((pause, closed), return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
        finally:
            closed.cancel()

    async def clean(self) -> int:
        """Remove messages that are too old, from the head of each queue to the first that is not; returns how many."""
        gone = 0
        for queue in tuple(self._store.queues.values()):
            # What is with a sink now is not ours to remove.
            while not self._closed.is_set() and self._pump(queue.endpoint).busy is not queue:
                entries = self._store.read(queue, _CLEANED_AT_ONCE)
                old = next((at for at, entry in enumerate(entries) if not self.is_expired(entry)), len(entries))
                self.settle(queue, entries[:old], {})
                gone += old
                if old < _CLEANED_AT_ONCE:
                    break
                await asyncio.sleep(0)
        if gone:
            _log.info("%d messages on the device were too old and have been removed", gone)
        return gone

    async def close(self) -> None:
        """Wait for what sinks have in their hands, write everything, and let go of the file; safe to call twice."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._closed.set()
        await asyncio.gather(*(pump.stop(_PATIENCE) for pump in self._pumps.values()))
        if self._timer is not None:
            self._timer.cancel()
        await self._store.close()

    def read(self, queue: Queue, most: int) -> Sequence[Entry]:
        """Of ``pump.Source``."""
        return self._store.read(queue, most)

    def is_expired(self, entry: Entry) -> bool:
        """Of ``pump.Source``: ages are counted by the wall clock, so that time without power counts too."""
        expires = entry.expires
        if expires is None:
            if self._default_ttl is None:
                return False
            expires = entry.message.enqueued + self._default_ttl
        return expires <= self._clock.now().timestamp()

    def settle(self, queue: Queue, entries: Sequence[Entry], outcomes: Mapping[int, Outcome]) -> None:
        """Of ``pump.Source``."""
        if not entries:
            return
        counts = self._counts[queue.endpoint]
        for entry in entries:
            outcome = outcomes.get(entry.id)
            if outcome is Outcome.DONE:
                counts.delivered += 1
            elif outcome is Outcome.DROP:
                counts.dropped += 1
                _log.warning(
                    "a message of %s to %s cannot be delivered and is dropped", entry.message.sender, queue.endpoint
                )
            else:
                counts.expired += 1
        self._store.done(queue, [entry.id for entry in entries])
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LAZILY, self._write_done)

    def _not_stored(self, why: str) -> None:
        now = self._clock.monotonic()
        if self._last_failure is None or now - self._last_failure >= _FAILURE_INTERVAL:
            self._last_failure = now
            _log.error("%s; their senders are not told that they were taken", why)

    def _write_done(self) -> None:
        self._timer = None
        self._store.write_done()

    def _pump(self, endpoint: str) -> Pump:
        known = self._pumps.get(endpoint)
        if known is None:
            known = self._pumps[endpoint] = Pump(endpoint, self, self._clock, self._pace)
            self._counts[endpoint] = _Counts()
        return known

    def _wake(self, queues: Iterable[Queue]) -> None:
        for queue in queues:
            self._pumps[queue.endpoint].wake()
