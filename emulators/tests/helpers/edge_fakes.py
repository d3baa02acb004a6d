"""What stands around an edge device's hub in tests: a cloud that can be taken away, queues in memory, identities."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mqtt_peers import KEY, OTHER
from windtunnel_emulators.edge.interface import EdgeProblem, Message, Outcome, Target, Unreachable
from windtunnel_emulators.iot.hub.identity import EDGE_HUB, Identity, Keys, Who
from windtunnel_emulators.iot.hub.twins import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.edge.interface import CloudListener, Sink
    from windtunnel_emulators.iot.hub.topics import Feed
    from windtunnel_emulators.jsontypes import JsonObject

NOBODY = Keys("", "")
DEVICE = "edge"
OWN = Who(DEVICE, EDGE_HUB)
ADDRESS = "127.0.1.9"


class FakeIdentities:
    """Whom an edge device knows. ``newer`` is what only the cloud knows until it is asked."""

    def __init__(self) -> None:
        self.known: dict[Who, tuple[Identity, Keys]] = {}
        self.newer: dict[Who, tuple[Identity, Keys]] = {}
        self.asked: list[Who] = []

    def add(self, who: Who, *, key: str = KEY, enabled: bool = True, newer: bool = False) -> Who:
        identity = Identity(device=who.device, module=who.module, generation="1", etag="e", enabled=enabled)
        (self.newer if newer else self.known)[who] = (identity, Keys(key, OTHER))
        return who

    def get(self, who: Who) -> Identity | None:
        found = self.known.get(who)
        return None if found is None else found[0]

    def keys(self, who: Who) -> Keys:
        found = self.known.get(who)
        return NOBODY if found is None else found[1]

    async def refresh(self, who: Who) -> None:
        self.asked.append(who)
        if who in self.newer:
            self.known[who] = self.newer[who]


@dataclass
class FakeCloud:
    """The hub in the cloud, as an edge device reaches it."""

    is_reachable: bool = True
    twins: dict[Who, JsonObject] = field(default_factory=dict["Who", "JsonObject"])
    reports: list[tuple[Who, JsonObject]] = field(default_factory=list["tuple[Who, JsonObject]"])
    refuse: EdgeProblem | None = None
    """What every request meets."""

    def __post_init__(self) -> None:
        self.attended: dict[Who, frozenset[Feed]] = {}
        self.reads: list[Who] = []
        self.sent: list[Message] = []
        self.listener: CloudListener | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def listen(self, listener: CloudListener) -> None:
        self.listener = listener

    def cut(self) -> None:
        self.is_reachable = False
        assert self.listener is not None
        self.listener.unreachable()

    def restore(self) -> None:
        self.is_reachable = True
        assert self.listener is not None
        self.listener.reachable()

    def attend(self, who: Who, feeds: frozenset[Feed]) -> None:
        self.attended[who] = feeds

    def leave(self, who: Who) -> None:
        del self.attended[who]

    def desire(self, who: Who, patch: JsonObject, *, told: bool = True) -> int:
        """A service changes desired properties."""
        twin = self._twin(who)
        before = twin["desired"]
        assert isinstance(before, dict)
        version = before["$version"]
        assert isinstance(version, int)
        twin["desired"] = {**merged(before, patch), "$version": version + 1}
        if told and self.is_reachable and self.listener is not None:
            self.listener.desired(who, {**patch, "$version": version + 1})
        return version + 1

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        if not self.is_reachable:
            return [Outcome.RETRY] * len(messages)
        self.sent += messages
        return [Outcome.DONE] * len(messages)

    async def twin(self, who: Who) -> JsonObject:
        await self._request()
        self.reads.append(who)
        twin = self._twin(who)
        return dict(twin)

    async def report(self, who: Who, patch: JsonObject) -> int:
        await self._request()
        self.reports.append((who, patch))
        twin = self._twin(who)
        before = twin["reported"]
        assert isinstance(before, dict)
        version = before["$version"]
        assert isinstance(version, int)
        twin["reported"] = {**merged(before, patch), "$version": version + 1}
        return version + 1

    def reported(self, who: Who) -> JsonObject:
        """Without the version."""
        found = self._twin(who)["reported"]
        assert isinstance(found, dict)
        return {name: value for name, value in found.items() if name != "$version"}

    async def _request(self) -> None:
        await self.gate.wait()
        if not self.is_reachable:
            raise Unreachable("the link is cut")
        if self.refuse is not None:
            raise self.refuse

    def _twin(self, who: Who) -> JsonObject:
        return self.twins.setdefault(who, {"desired": {"$version": 1}, "reported": {"$version": 1}})


class MemoryQueues:
    """Queues that outlive a hub, not a process: every endpoint has a list and, once attached, a pump."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Message]] = defaultdict(list)
        self._there: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._pumps: dict[str, asyncio.Task[None]] = {}
        self.outcomes: list[Outcome] = []

    def append(self, message: Message, targets: Sequence[Target], taken: Callable[[], None]) -> None:
        for target in targets:
            self.waiting[target.endpoint].append(message)
            self._there[target.endpoint].set()
        asyncio.get_running_loop().call_soon(taken)

    def attach(self, endpoint: str, sink: Sink) -> None:
        former = self._pumps.pop(endpoint, None)
        if former is not None:
            former.cancel()
        self._pumps[endpoint] = asyncio.get_running_loop().create_task(self._pump(endpoint, sink))

    def depths(self) -> dict[str, int]:
        return {endpoint: len(waiting) for endpoint, waiting in self.waiting.items() if waiting}

    async def close(self) -> None:
        for pump in self._pumps.values():
            pump.cancel()
        await asyncio.gather(*self._pumps.values(), return_exceptions=True)
        self._pumps.clear()

    async def _pump(self, endpoint: str, sink: Sink) -> None:
        waiting, there = self.waiting[endpoint], self._there[endpoint]
        while True:
            if not waiting:
                there.clear()
                await there.wait()
            await sink.ready()
            batch = waiting[: sink.batch]
            outcomes = await sink.send(batch)
            self.outcomes += outcomes
            for outcome in outcomes:
                if outcome is Outcome.RETRY:
                    break
                waiting.pop(0)
            await asyncio.sleep(0)
