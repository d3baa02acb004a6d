"""A real hub behind real TLS on loopback, and what an edge device has to reach it."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.certificates import make_authority, make_server
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.edge.upstream.client import CloudClient
from windtunnel_emulators.edge.upstream.cloud import UpstreamCloud
from windtunnel_emulators.edge.upstream.link import Link
from windtunnel_emulators.edge.upstream.place import Place, Signer
from windtunnel_emulators.edge.upstream.registry import Registry
from windtunnel_emulators.edge.upstream.rest import Rest
from windtunnel_emulators.edge.upstream.scope import Scope
from windtunnel_emulators.iot.hub import bags, schema
from windtunnel_emulators.iot.hub.certificates import Chains
from windtunnel_emulators.iot.hub.definition import Definition
from windtunnel_emulators.iot.hub.hub import LONGEST_KEEP_ALIVE_S, Hub
from windtunnel_emulators.iot.hub.identity import Identity, Keys, Who, new_key
from windtunnel_emulators.iot.hub.policies import Policies
from windtunnel_emulators.iot.hub.twins import new_twin
from windtunnel_emulators.iot.mqtt.connection import Connection
from windtunnel_emulators.iot.service.app import ServiceApi
from windtunnel_emulators.iot.service.identities import SCOPE
from windtunnel_emulators.jsontypes import JsonObject
from windtunnel_emulators.server import Listener, bound
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.interface import Refused
    from windtunnel_emulators.iot.hub.topics import Feed

HUB = "hub1.azure-devices.net"
ADDRESS = "127.0.0.1"
DEADLINE_S = 20.0


async def until(what: Callable[[], object], why: str = "") -> None:
    """Wait until something holds."""
    end = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < end, why or "it did not come to hold"
        await asyncio.sleep(0.002)


@dataclass(frozen=True)
class Tls:
    """Both sides of TLS for the address."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def make_tls(folder: Path) -> Tls:
    """An authority, and a server's certificate of it for the address."""
    now = datetime.now(UTC)
    authority = make_authority(now=now, domains=("azure-devices.net",))
    server = make_server(authority, now=now, names=(HUB,), addresses=(ADDRESS,))
    (folder / "server.pem").write_bytes(server.certificate)
    (folder / "key.pem").write_bytes(server.key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "server.pem", folder / "key.pem")
    return Tls(serving, ssl.create_default_context(cadata=authority.certificate.decode()))


@dataclass
class Cloud:
    """A hub that listens, and may be stopped and started again on the same state and ports."""

    folder: Path
    tls: Tls
    clock: RealClock = field(default_factory=RealClock)
    keys: dict[Who, str] = field(default_factory=dict[Who, str])
    port: int = 0
    service_port: int = 0

    async def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.store = Store(self.folder / "state.db")
        schema.define(self.store)
        definition = Definition(
            key="k",
            name="hub1",
            address=ADDRESS,
            folder=self.folder,
            partitions=4,
            policies=Policies(dict),
            chains=Chains(list),
            most_deliveries=lambda: 10,
            command_lifetime=lambda: timedelta(hours=1),
        )
        self.hub = hub = Hub(definition, store=self.store, clock=self.clock)
        loop = asyncio.get_running_loop()
        socket = bound(self.port, ADDRESS)
        self.port = socket.getsockname()[1]
        self._server = await loop.create_server(
            lambda: Connection(hub, LONGEST_KEEP_ALIVE_S), sock=socket, ssl=self.tls.server
        )
        self._listener = Listener(ServiceApi(hub, _no_entra), bound(self.service_port, ADDRESS))
        self.service_port = self._listener.port
        await self._listener.start(self.tls.server)
        self._care = loop.create_task(hub.run())

    async def stop(self) -> None:
        self._server.close()
        self._care.cancel()
        await asyncio.gather(self._care, return_exceptions=True)
        await self._listener.stop()
        await self.hub.stop()
        self.store.close()

    def add(self, device: str, module: str = "", *, key: str = "", **fields: object) -> Who:
        """A new identity with its twin."""
        who = Who(device, module)
        self.keys[who] = key or new_key()
        identity = Identity(device=device, module=module, generation="1", etag="e", **fields)  # type: ignore[arg-type]  # of several types
        self.hub.identities.save(identity, Keys(self.keys[who], new_key()))
        self.hub.twins.save(who, new_twin(self.clock.now()))
        return who

    def add_edge(self, device: str = "edge1", *modules: str) -> str:
        """An edge device with its system modules and others; returns its scope."""
        scope = f"{SCOPE}{device}-1"
        self.add(device, edge=True, scope=scope)
        for module in ("$edgeAgent", "$edgeHub", *modules):
            self.add(device, module)
        return scope

    def add_module(self) -> Who:
        """A module of a new edge device."""
        self.add_edge("edge1", "m")
        return Who("edge1", "m")

    def bodies(self, who: Who) -> list[bytes]:
        """The bodies of the messages of a sender that the hub has stored, in order."""
        found: list[bytes] = []
        partition = self.hub.partition_of(who.device)
        sequence = 0
        while True:
            batch = self.hub.messages.read(partition, sequence, 1000)
            if not batch:
                return found
            for stored in batch:
                if (stored.sender.device, stored.sender.module) == who:
                    found.append(stored.body)
                sequence = stored.sequence + 1


def _no_entra(_: str, __: frozenset[str]) -> object:
    raise ArmError(401, "InvalidAuthenticationToken", "There are no Entra identities here.")


@dataclass
class Told:
    """A client's listener that remembers what it was told."""

    events: list[str] = field(default_factory=list[str])
    patches: list[JsonObject] = field(default_factory=list[JsonObject])
    calls: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    commands: list[tuple[dict[str, str], bytes]] = field(default_factory=list[tuple[dict[str, str], bytes]])
    problem: Exception | None = None
    """What methods and commands raise."""

    def connected(self) -> None:
        self.events.append("connected")

    def disconnected(self) -> None:
        self.events.append("disconnected")

    def refused(self, problem: Refused) -> None:
        self.events.append(f"refused {problem.status}")

    def desired(self, patch: JsonObject) -> None:
        self.patches.append(patch)

    async def method(self, name: str, payload: bytes) -> tuple[int, bytes]:
        if self.problem is not None:
            raise self.problem
        self.calls.append((name, payload))
        return 200, b'{"echo":' + (payload or b"null") + b"}"

    async def command(self, bag: str, body: bytes) -> None:
        if self.problem is not None:
            raise self.problem
        self.commands.append((bags.decode(bag), body))


@dataclass
class Edge:
    """The device's side: one link, and clients over it."""

    cloud: Cloud
    folder: Path
    clock: Clock = field(default_factory=RealClock)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.clients: list[CloudClient] = []
        self.clouds: list[UpstreamCloud] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.start()

    def start(self) -> None:
        self.link = Link(self.folder / "link.json", self.clock)
        self.place = Place(
            hub=HUB,
            address=ADDRESS,
            service=f"{ADDRESS}:{self.cloud.service_port}",
            tls=self.cloud.tls.client,
            link=self.link,
            clock=self.clock,
            port=self.cloud.port,
        )

    def client(
        self, who: Who, told: Told, *feeds: Feed, signer: Callable[[], Signer | None] | None = None
    ) -> CloudClient:
        own = Signer(who=who, key=self.cloud.keys.get(who, new_key()))
        made = CloudClient(who, self.place, signer or (lambda: own), told, feeds=frozenset(feeds))
        self.clients.append(made)
        made.open()
        return made

    async def connected(self, who: Who, told: Told | None = None, *feeds: Feed) -> CloudClient:
        made = self.client(who, told or Told(), *feeds)
        await until(lambda: made.is_connected, f"{who} did not connect")
        return made

    def upstream(self, device: str = "edge1") -> UpstreamCloud:
        """The cloud for everybody behind an edge device; its parts run until the end."""
        own = Signer(who=Who(device), key=self.cloud.keys[Who(device)])
        self.rest = Rest(self.place)
        self.scope = Scope(self.folder / "scope.json", own, self.rest, self.clock)
        self.registry = Registry(self.rest, own, self.scope)
        made = UpstreamCloud(self.place, self.scope)
        made.start()
        loop = asyncio.get_running_loop()
        self.tasks += [loop.create_task(work) for work in (self.scope.run(), made.run(), self.link.run())]
        self.clouds.append(made)
        return made

    async def reached(self, device: str = "edge1") -> UpstreamCloud:
        made = self.upstream(device)
        await until(lambda: made.is_reachable, "the cloud was not reached")
        return made

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for cloud in self.clouds:
            await cloud.close()
        for client in self.clients:
            await client.close()
        for each in (self.tasks, self.clouds, self.clients):
            each.clear()


@dataclass
class LocalHub:
    """A listener of the cloud that remembers what it was told."""

    events: list[str] = field(default_factory=list[str])
    patches: list[tuple[Who, JsonObject]] = field(default_factory=list[tuple[Who, JsonObject]])
    commands: list[tuple[Who, bytes]] = field(default_factory=list[tuple[Who, bytes]])

    def reachable(self) -> None:
        self.events.append("reachable")

    def unreachable(self) -> None:
        self.events.append("unreachable")

    def identities_changed(self) -> None:
        self.events.append("identities")

    def desired(self, who: Who, patch: JsonObject) -> None:
        self.patches.append((who, patch))

    async def method(self, who: Who, name: str, payload: bytes) -> tuple[int, bytes]:
        return 200, msgspec.json.encode([str(who), name, payload.decode()])

    async def command(self, who: Who, bag: str, body: bytes) -> None:
        assert "%24.to=" in bag
        self.commands.append((who, body))


def numbered(start: int, count: int) -> Sequence[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def firsts(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """Without what came again."""
    return iter(dict.fromkeys(bodies))
