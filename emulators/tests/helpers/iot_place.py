"""A hub without sockets or TLS, and devices that speak MQTT to it through transports in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mqtt_peers import KEY, OTHER, Peer
from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.iot.hub import schema
from windtunnel_emulators.iot.hub.certificates import Chains
from windtunnel_emulators.iot.hub.definition import Definition
from windtunnel_emulators.iot.hub.hub import Hub
from windtunnel_emulators.iot.hub.identity import Identity, Keys, Who
from windtunnel_emulators.iot.hub.policies import Policies, Policy
from windtunnel_emulators.iot.hub.twins import new_twin
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Place:
    """A hub that may be ended and started again on the same state."""

    folder: Path
    clock: ManualClock = field(default_factory=ManualClock)
    policies: dict[str, Policy] = field(default_factory=dict[str, Policy])
    most_deliveries: int = 10
    most_configurations: int = 100
    trusted: list[bytes] = field(default_factory=list[bytes])

    def __post_init__(self) -> None:
        self.peers: list[Peer] = []
        self.start()

    def start(self) -> None:
        self.store = Store(self.folder / "state.db")
        schema.define(self.store)
        definition = Definition(
            key="k",
            name="Hub1",
            address="127.0.0.9",
            folder=self.folder,
            partitions=4,
            policies=Policies(lambda: self.policies),
            chains=Chains(lambda: self.trusted),
            most_deliveries=lambda: self.most_deliveries,
            most_configurations=lambda: self.most_configurations,
            command_lifetime=lambda: timedelta(hours=1),
        )
        self.hub = Hub(definition, store=self.store, clock=self.clock)

    async def stop(self) -> None:
        await self.hub.stop()
        for peer in self.peers:
            peer.leave()
        await self.hub.messages.close()
        self.store.close()

    async def restart(self) -> None:
        await self.stop()
        self.peers.clear()
        self.start()

    def add(self, device: str, module: str = "", *, key: str = KEY, **fields: Any) -> Who:
        """A new identity with its twin."""
        who = Who(device, module)
        identity = Identity(device=device, module=module, generation="1", etag="e", **fields)
        self.hub.identities.save(identity, Keys(key, OTHER))
        self.hub.twins.save(who, new_twin(self.clock.now()))
        return who

    def peer(self, who: Who) -> Peer:
        made = Peer(self.hub, who)
        self.peers.append(made)
        return made

    async def connected(self, device: str = "d", module: str = "", **options: Any) -> Peer:
        """A connected client of an identity, which is made when it is not there."""
        who = Who(device, module)
        if self.hub.identities.get(who) is None:
            self.add(device, module)
        peer = self.peer(who)
        answer = await peer.connect(**options)
        assert answer.code == 0
        return peer
