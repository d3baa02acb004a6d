"""An edge device's hub without sockets or TLS, on a fake cloud; clients speak MQTT to it in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from edge_fakes import ADDRESS, DEVICE, OWN, FakeCloud, FakeIdentities, MemoryQueues
from mqtt_peers import HOST, Peer
from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.edge.hub.definition import EdgeDefinition
from windtunnel_emulators.edge.hub.hub import LONGEST_KEEP_ALIVE_S, EdgeHub
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Edge:
    """A hub that may be ended and started again on the same state."""

    folder: Path
    most_clients: int = 100
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.cloud = FakeCloud()
        self.identities = FakeIdentities()
        self.queues = MemoryQueues()
        self.peers: list[Peer] = []
        self.identities.add(Who(DEVICE))
        self.start()

    def start(self, *, begin: bool = True) -> None:
        self.store = Store(self.folder / "edge.db")
        self.hub = EdgeHub(
            EdgeDefinition(device=DEVICE, hub=HOST, address=ADDRESS, most_clients=self.most_clients),
            cloud=self.cloud,
            queues=self.queues,
            identities=self.identities,
            store=self.store,
            clock=self.clock,
        )
        if begin:
            self.hub.start()

    async def stop(self) -> None:
        await self.hub.stop()
        for peer in self.peers:
            peer.leave()
        await self.queues.close()
        self.store.close()

    async def restart(self, *, begin: bool = True) -> None:
        await self.stop()
        self.peers.clear()
        self.start(begin=begin)

    async def settle(self) -> None:
        """Let whatever can go on, go on."""
        await self.clock.advance(0)

    async def deploy(self, routes: JsonObject, **more: Any) -> int:
        """New routes from the cloud; a name with null is removed."""
        version = self.cloud.desire(OWN, {"schemaVersion": "1.1", "routes": routes, **more})
        await self.settle()
        return version

    def peer(self, who: Who) -> Peer:
        made = Peer(self.hub, who, longest_keep_alive=LONGEST_KEEP_ALIVE_S)
        self.peers.append(made)
        return made

    async def connected(self, device: str = DEVICE, module: str = "", **options: Any) -> Peer:
        """A connected client of an identity, which is made when it is not there."""
        who = Who(device, module)
        for needed in (Who(device), who):
            if self.identities.get(needed) is None:
                self.identities.add(needed)
        peer = self.peer(who)
        answer = await peer.connect(**options)
        assert answer.code == 0
        return peer

    async def module(self, name: str, *feeds: str, **options: Any) -> Peer:
        """A connected module that has subscribed to its inputs, and to more."""
        peer = await self.connected(DEVICE, name, **options)
        peer.subscribe(f"devices/{DEVICE}/modules/{name}/inputs/#", *feeds)
        return peer


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    made = Edge(folder=tmp_path)
    await made.settle()
    yield made
    await made.stop()
