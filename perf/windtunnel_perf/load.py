"""An open-loop load generator: requests leave on a schedule, whatever the server does.

A closed loop waits for one answer before it sends the next request, and so stops measuring exactly while the server is
slow. Here each request has an intended time, and its latency counts from there: what it waited for a connection, or for
this program, is in it. Whether this program itself fell behind is measured too, and said.

Bounded: a plan has a rate, a duration and a number of connections, and a request that is not answered in time is given
up, its connection closed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_perf.connection import Answered, Connection
from windtunnel_perf.latency import Latency

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

MOST_REQUESTS = 5_000_000
LAG_LIMIT_S = 0.010
"""Sent later than this after its time, a request is late because of this program."""
LATE_SHARE = 0.01
BUSY_SHARE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much load, for how long. Raises ``ValueError`` for a plan that has no sense or no end."""

    rate: float
    """Requests per second."""
    duration_s: float
    """What is counted."""
    warm_up_s: float = 1.0
    """Before that; sent, but not counted."""
    connections: int = 32
    """At most, at a time."""
    timeout_s: float = 10.0
    """From the intended time."""
    poisson: bool = False
    """Random arrivals with that rate, rather than evenly spaced ones."""
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("duration_s", self.duration_s), ("timeout_s", self.timeout_s)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; it must be a positive number")
        if not 0 <= self.warm_up_s < float("inf"):
            raise ValueError(f"warm_up_s is {self.warm_up_s}; it must be zero or a positive number")
        if self.connections < 1:
            raise ValueError(f"connections is {self.connections}; at least 1 is needed")
        if (count := self.rate * (self.warm_up_s + self.duration_s)) > MOST_REQUESTS:
            raise ValueError(f"{count:,.0f} requests are too many; at most {MOST_REQUESTS:,}")

    def arrivals(self) -> Iterator[float]:
        """The intended times, in seconds from the start."""
        end = self.warm_up_s + self.duration_s
        if not self.poisson:
            yield from (i / self.rate for i in range(int(self.rate * end)))
            return
        # Not for secrets: a schedule that can be repeated.
        source = random.Random(self.seed)
        at = source.expovariate(self.rate)
        while at < end:
            yield at
            at += source.expovariate(self.rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What is loaded: one request, sent again and again."""

    host: str
    port: int
    request: bytes
    """Complete, head and body."""
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it."""

    latency: Latency = field(default_factory=Latency)
    """Of the answers with a status below 400, from the intended time."""
    lag: Latency = field(default_factory=Latency)
    """From the intended time to when this program sent the request or queued it for a connection."""
    answered: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])
    late: int = 0
    queued: int = 0
    """How many had to wait for a connection, since all were busy."""
    seconds: float = 0.0
    """From the first counted request to the last answer."""
    cpu_share: float = 0.0
    """Of one core, used by this program."""

    @property
    def requests(self) -> int:
        """How many were counted."""
        return self.answered + sum(self.errors.values())

    def warnings(self, plan: Plan) -> list[str]:
        """Why the figures may say more about this program than about the server."""
        found: list[str] = []
        if self.requests and self.late / self.requests > LATE_SHARE:
            found.append(
                f"the generator fell behind: {self.late} of {self.requests} requests were sent more than"
                f" {LAG_LIMIT_S * 1000:.0f} ms late (at most {self.lag.maximum_ms:.1f} ms); lower the rate"
            )
        elif self.cpu_share > BUSY_SHARE:
            found.append(f"the generator itself used {self.cpu_share:.0%} of a core; latencies may be its own")
        if self.requests and self.queued / self.requests > LATE_SHARE:
            found.append(
                f"{self.queued} of {self.requests} requests waited for one of {plan.connections} connections;"
                " that wait is part of their latency"
            )
        return found


async def run(where: Where, plan: Plan) -> Outcome:
    """Load it as planned. Raises nothing of the server's: what goes wrong is counted by kind."""
    generator = _Generator(where, plan)
    await generator.run()
    return generator.outcome


class _Generator:
    def __init__(self, where: Where, plan: Plan) -> None:
        self.outcome = Outcome()
        self._where = where
        self._plan = plan
        self._idle: list[Connection] = []
        self._open = 0
        self._queue: deque[float] = deque()
        self._unfinished = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._first = 0.0
        self._drained = asyncio.Event()

    async def run(self) -> None:
        start = time.perf_counter()
        self._first = start + self._plan.warm_up_s
        cpu = time.process_time()
        for offset in self._plan.arrivals():
            due = start + offset
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._dispatch(due)
        await self._drain()
        end = time.perf_counter()
        self.outcome.seconds = end - self._first
        self.outcome.cpu_share = (time.process_time() - cpu) / (end - start)
        await self._close()

    def _dispatch(self, due: float) -> None:
        lag = time.perf_counter() - due
        if self._counts(due):
            self.outcome.lag.add(lag)
            self.outcome.late += lag > LAG_LIMIT_S
        self._unfinished += 1
        idle = self._take_idle()
        if idle is not None:
            self._send(idle, due)
        elif self._open < self._plan.connections:
            self._open_for(due)
        else:
            self.outcome.queued += self._counts(due)
            self._queue.append(due)

    def _take_idle(self) -> Connection | None:
        """A connection that the server closed while it was idle is no failure of any request."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
            self._open -= 1
        return None

    def _open_for(self, due: float) -> None:
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._connect(due), name="connect")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        where = self._where
        left = due + self._plan.timeout_s - time.perf_counter()
        try:
            async with asyncio.timeout(max(0.0, left)):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._answered),
                    where.host,
                    where.port,
                    ssl=where.tls,
                    server_hostname=where.server_name if where.tls is not None else None,
                )
        except TimeoutError:
            self._open -= 1
            self._fail(due, "connect timeout")
            self._pump()
            return
        except OSError as error:
            self._open -= 1
            self._fail(due, f"connect: {_reason(error)}")
            self._pump()
            return
        self._send(connection, due)

    def _send(self, connection: Connection, due: float) -> None:
        left = due + self._plan.timeout_s - time.perf_counter()
        if left > 0:
            connection.send(self._where.request, due, left)
        else:
            self._fail(due, "timeout, not sent")
            self._reuse(connection)

    def _answered(self, connection: Connection, answered: Answered) -> None:
        """Called by a connection for every request that it was given, once."""
        if answered.error is not None:
            self._open -= 1
            self._fail(answered.due, answered.error)
            self._pump()
            return
        if answered.status >= 400:
            self._fail(answered.due, f"status {answered.status}")
        else:
            self._succeed(answered.due)
        if answered.reusable:
            self._reuse(connection)
        else:
            connection.close()
            self._open -= 1
            self._pump()

    def _reuse(self, connection: Connection) -> None:
        """For the first of those that wait whose limit has not passed."""
        while self._queue:
            due = self._queue.popleft()
            left = due + self._plan.timeout_s - time.perf_counter()
            if left > 0:
                connection.send(self._where.request, due, left)
                return
            self._fail(due, "timeout, not sent")
        self._idle.append(connection)

    def _pump(self) -> None:
        """A connection is gone: whoever waits for one may open another."""
        if self._queue and self._open < self._plan.connections:
            self._open_for(self._queue.popleft())

    def _succeed(self, due: float) -> None:
        if self._counts(due):
            self.outcome.latency.add(time.perf_counter() - due)
            self.outcome.answered += 1
        self._finish()

    def _fail(self, due: float, kind: str) -> None:
        if self._counts(due):
            self.outcome.errors[kind] += 1
        self._finish()

    def _finish(self) -> None:
        self._unfinished -= 1
        if self._unfinished == 0:
            self._drained.set()

    def _counts(self, due: float) -> bool:
        return due >= self._first

    async def _drain(self) -> None:
        """Every request has a limit of its own, so this ends."""
        while self._unfinished:
            self._drained.clear()
            await self._drained.wait()

    async def _close(self) -> None:
        for connection in self._idle:
            connection.close()
        await asyncio.sleep(0)


def _reason(error: OSError) -> str:
    """Without addresses, so that the same failure counts as the same kind."""
    return type(error).__name__ if error.errno is None else type(error).__name__.removesuffix("Error")
