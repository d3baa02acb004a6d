"""The queue of one version: places at its replicas, and who waits for one.

Always true: a replica never works on more requests of this router than its limit; whoever waits longest gets the next
free place; a place is given back exactly once. Everything happens on the event loop, so there are no locks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_scoring.frontend.upstream import Connection, Upstream
    from windtunnel_scoring.router.objects import Pod

SUSPECT_S = 0.25
"""How long a replica that refused a connection is left out, unless its readiness says so earlier."""


class Overloaded(Exception):
    """No place came free in time."""


class NoReplicas(Exception):
    """No replica was ready in all that time."""


class Replica:
    """A pod, and what this router has in work there."""

    def __init__(self, pod: Pod, upstream: Upstream) -> None:
        self.pod = pod
        self.upstream = upstream
        self.busy = 0
        self.suspect = False
        self.gone = False

    @property
    def open(self) -> bool:
        """Whether it may get another request."""
        return self.pod.ready and not self.suspect and not self.gone

    @property
    def reusable(self) -> bool:
        """Whether connections to it may wait for their next request."""
        return self.pod.ready and not self.gone

    def give_back(self, connection: Connection) -> None:
        """After a whole exchange: kept for the next one unless the replica is on its way out."""
        if self.reusable:
            self.upstream.give_back(connection)
        else:
            connection.close()


class Slots:
    """The replicas of one version."""

    def __init__(self, limit: int, connect: Callable[[str, int], Upstream], now: Callable[[], float]) -> None:
        self._limit = limit
        self._connect = connect
        self._now = now
        self._replicas: dict[str, Replica] = {}
        self._waiting: deque[asyncio.Future[Replica]] = deque()
        self._turn = 0
        self._busy = 0
        self._area, self._since, self._began = 0.0, now(), now()

    @property
    def busy(self) -> int:
        """Requests in work, also at replicas that end."""
        return self._busy

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Replicas that are ready."""
        return sum(replica.pod.ready for replica in self._replicas.values())

    @property
    def replicas(self) -> Iterable[Replica]:
        """Those that are known."""
        return self._replicas.values()

    def set_limit(self, limit: int) -> None:
        """Requests that one replica works on at once."""
        self._limit = limit
        self._pump()

    def set_pods(self, pods: Iterable[Pod]) -> None:
        """All pods that there are now. A pod that restarted elsewhere is another replica."""
        given = {f"{pod.uid}@{pod.address}:{pod.port}": pod for pod in pods}
        for key in [key for key in self._replicas if key not in given]:
            replica = self._replicas.pop(key)
            replica.gone = True
            replica.upstream.close()
        for key, pod in given.items():
            known = self._replicas.get(key)
            if known is None:
                self._replicas[key] = Replica(pod, self._connect(pod.address, pod.port))
                continue
            if pod.ready and not known.pod.ready:
                known.suspect = False
            known.pod = pod
            if not known.reusable:
                known.upstream.close()
        self._pump()

    async def acquire(self, wait_s: float, *, again: bool = False) -> Replica:
        """A place. ``again`` is for a request that had one and could not use it: it goes to the head of the queue.

        Raises ``Overloaded`` and ``NoReplicas`` after the wait.
        """
        replica = None if self._waiting and not again else self._free()
        if replica is not None:
            self._take(replica)
            return replica
        place: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._measure()
        if again:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        try:
            await asyncio.wait((place,), timeout=wait_s)
        except asyncio.CancelledError:
            if place.done():
                self.release(place.result())
            raise
        finally:
            if not place.done():
                self._measure()
                self._waiting.remove(place)
        if place.done():
            return place.result()
        raise Overloaded if any(replica.open for replica in self._replicas.values()) else NoReplicas

    def take_free(self) -> Replica | None:
        """A place for a request that must not wait; None when somebody else does, or all are busy."""
        replica = None if self._waiting else self._free()
        if replica is not None:
            self._take(replica)
        return replica

    def release(self, replica: Replica) -> None:
        """The place is free."""
        self._measure()
        replica.busy -= 1
        self._busy -= 1
        self._pump()

    def refused(self, replica: Replica) -> None:
        """It did not accept a connection: others come first for a moment. The place is given back too."""
        replica.suspect = True
        asyncio.get_running_loop().call_later(SUSPECT_S, self._trust, replica)
        self.release(replica)

    def average_load(self) -> float:
        """Requests in work and waiting, averaged over the time since the last question."""
        self._measure()
        now = self._now()
        span = now - self._began
        average = self._area / span if span > 0 else float(self._busy + len(self._waiting))
        self._area, self._began = 0.0, now
        return average

    def close(self) -> None:
        """The version is gone: nobody waits any longer for it."""
        self.set_pods(())

    def _trust(self, replica: Replica) -> None:
        replica.suspect = False
        self._pump()

    def _free(self) -> Replica | None:
        """The replica with the fewest requests, in turn among equals; None when all are at their limit."""
        best: Replica | None = None
        candidates = list(self._replicas.values())
        self._turn += 1
        for index in range(len(candidates)):
            replica = candidates[(self._turn + index) % len(candidates)]
            if replica.open and replica.busy < self._limit and (best is None or replica.busy < best.busy):
                best = replica
                if best.busy == 0:
                    break
        return best

    def _take(self, replica: Replica) -> None:
        self._measure()
        replica.busy += 1
        self._busy += 1

    def _pump(self) -> None:
        while self._waiting:
            replica = self._free()
            if replica is None:
                return
            self._take(replica)
            self._waiting.popleft().set_result(replica)

    def _measure(self) -> None:
        now = self._now()
        self._area += (self._busy + len(self._waiting)) * (now - self._since)
        self._since = now
