"""What Microsoft.Devices keeps beside the store: the hubs that run. What they are made of is imported for the first."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import settings
from .certificates import trusted
from .consumer_groups import names as consumer_groups
from .names import TYPE
from .policies import SECRET
from .skus import edition_of
from .times import read_rfc1123, rfc1123

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Caller, Resource
    from windtunnel_emulators.iot.hub.addresses import Place
    from windtunnel_emulators.iot.hub.definition import Definition
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.listening import Listening
    from windtunnel_emulators.iot.hub.policies import Policy
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.world import World

    from .fleet import Fleet

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One hub that listens."""

    hub: Hub
    listening: Listening


class IotHubs:
    """One per process."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder: Path = world.folder / "iot"
        self._running: dict[str, Running] = {}
        self._fleet: Fleet | None = None
        """Made for the first hub."""

    async def start(self) -> None:
        """Open every hub that is whole, where it was."""
        for hub in self.world.resources.list(TYPE):
            if hub.properties.get("state") == "Active":
                try:
                    opened = await self._opened(hub)
                except (ArmError, sqlite3.Error) as problem:
                    _log.error("hub %s does not listen: %s", hub.id.name, problem)
                    continue
                if opened.properties != hub.properties:
                    self.world.resources.save(opened)

    async def stop(self) -> None:
        # First: while the hubs are there, devices tell them that they end.
        if self._fleet is not None:
            await self._fleet.stop()
        for key in list(self._running):
            await self._close(key, forget=False)

    def running(self, id: ResourceId) -> Running | None:
        """A hub that listens; None for one that does not (yet)."""
        return self._running.get(id.key)

    async def create(self, hub: Resource) -> Resource:
        """The work ``create``: the hub gets its address and listens. Safe to repeat."""
        opened = await self._opened(hub)
        state = {"created": rfc1123(self.world.clock.now()), **opened.state}
        return replace(opened, state=state, properties={**opened.properties, **_DONE})

    async def update(self, hub: Resource) -> Resource:
        """The work ``update``: what runs reads its settings from the resource."""
        return replace(hub, properties={**hub.properties, **_DONE})

    async def remove(self, hub: Resource) -> Resource:
        """The work ``delete``: connections end, and everything that was kept is gone. Safe to repeat."""
        from windtunnel_emulators.iot.hub import schema
        from windtunnel_emulators.tls import CertificateAuthority

        instance = as_str(hub.state.get("instance"))
        await self._close(hub.id.key, forget=True)
        if self._fleet is not None:
            await self._fleet.remove(instance)
        schema.define(self.world.store)
        schema.drop(self.world.store, instance)
        shutil.rmtree(self.folder / instance, ignore_errors=True)
        CertificateAuthority(self.world.folder / "tls").forget(_certificate(instance))
        return hub

    @property
    def fleet(self) -> Fleet:
        """The processes of edge devices."""
        if self._fleet is None:
            from .fleet import Fleet

            self._fleet = Fleet(self.world)
        return self._fleet

    def edge_devices(self) -> list[Json]:
        """Every edge device with its process, for the control API."""
        return [] if self._fleet is None else self._fleet.shown()

    def device_counts(self, hub: Resource) -> tuple[int, int]:
        """How many devices there are, and how many are enabled."""
        running = self.running(hub.id)
        if running is None:
            return 0, 0
        devices = [one for one in running.hub.identities.each() if not one.module]
        return len(devices), sum(one.enabled for one in devices)

    def messages_today(self, hub: Resource) -> int:
        """How many messages devices have sent since midnight (UTC)."""
        running = self.running(hub.id)
        if running is None:
            return 0
        midnight = self.world.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        messages = running.hub.messages
        return sum(
            messages.state(partition).last_sequence + 1 - messages.sequence_since(partition, midnight)
            for partition in range(messages.partitions)
        )

    async def _opened(self, resource: Resource) -> Resource:
        """A hub that listens, with where it does."""
        from windtunnel_emulators.files import private_folder
        from windtunnel_emulators.iot.amqp.door import Door
        from windtunnel_emulators.iot.hub import addresses, schema
        from windtunnel_emulators.iot.hub.hub import Hub
        from windtunnel_emulators.iot.hub.listening import Listening
        from windtunnel_emulators.iot.service.access import Access
        from windtunnel_emulators.iot.service.app import ServiceApi
        from windtunnel_emulators.tls import CertificateAuthority

        world, key = self.world, resource.id.key
        await self._close(key, forget=False)
        instance = as_str(resource.state.get("instance"))
        schema.define(world.store)
        try:
            place = addresses.take(world.store, instance, resource.id.name)
        except addresses.NoAddress as problem:
            raise ArmError(409, "NoAddressAvailable", str(problem)) from problem
        private_folder(self.folder)
        private_folder(self.folder / instance)
        definition = self._definition(resource, instance, place)
        hub = Hub(definition, store=world.store, clock=world.clock)
        context = CertificateAuthority(world.folder / "tls").own_context(
            _certificate(instance),
            names=("localhost", definition.host_name),
            addresses=(place.address,),
            now=world.clock.now(),
        )
        listening = Listening(hub, world.listeners)
        await listening.open(place, ServiceApi(hub, self._verify), context, amqp=Door(hub, Access(hub, self._verify)))
        self._running[key] = Running(hub=hub, listening=listening)
        self.fleet.add(hub, listening)
        _log.info("hub %s listens at %s", resource.id.name, listening.service_host)
        return replace(resource, properties={**resource.properties, **_reached(resource, definition, listening)})

    def _definition(self, resource: Resource, instance: str, place: Place) -> Definition:
        from windtunnel_emulators.iot.hub.certificates import Chains
        from windtunnel_emulators.iot.hub.definition import Definition
        from windtunnel_emulators.iot.hub.policies import Policies

        id = resource.id

        def now() -> Resource:
            return self.world.resources.get(id) or resource

        def retention() -> int:
            days = settings.events_of(now().properties).get("retentionTimeInDays")
            return days if isinstance(days, int) else 1

        partitions = settings.events_of(resource.properties)["partitionCount"]
        assert isinstance(partitions, int)
        return Definition(
            key=instance,
            name=id.name,
            address=place.address,
            folder=self.folder / instance,
            partitions=partitions,
            policies=Policies(lambda: _policies(now())),
            chains=Chains(lambda: trusted(self, now())),
            consumer_groups=lambda: consumer_groups(now()),
            retention_days=retention,
            most_deliveries=lambda: settings.commands_of(now().properties)[0],
            command_lifetime=lambda: settings.commands_of(now().properties)[1],
            most_configurations=lambda: edition_of(as_object(now().envelope.get("sku"))).configurations,
            events_path=as_str(settings.events_of(resource.properties).get("path")),
            created=lambda: read_rfc1123(as_str(now().state.get("created"))),
        )

    def _verify(self, authorization: str, audiences: frozenset[str]) -> Caller:
        return self.world.tokens.verify(authorization, audiences=audiences)

    async def _close(self, key: str, *, forget: bool) -> None:
        running = self._running.pop(key, None)
        if running is not None:
            if self._fleet is not None:
                self._fleet.leave(running.hub.definition.key)
            await running.listening.close(forget=forget)


_DONE = {"state": "Active", "provisioningState": "Succeeded"}


def _certificate(instance: str) -> str:
    return f"iot-{instance}"


def _policies(hub: Resource) -> Mapping[str, Policy]:
    from windtunnel_emulators.iot.hub.policies import Policy

    if hub.properties.get("disableLocalAuth") is True:
        return {}
    found: dict[str, Policy] = {}
    for one in map(as_object, as_list(hub.secrets.get(SECRET))):
        name = as_str(one.get("keyName"))
        found[name.lower()] = Policy(
            name=name,
            keys=(as_str(one.get("primaryKey")), as_str(one.get("secondaryKey"))),
            rights=frozenset(right.strip() for right in as_str(one.get("rights")).split(",")),
        )
    return found


def _reached(resource: Resource, definition: Definition, listening: Listening) -> JsonObject:
    """Where clients find the hub."""
    events = {**settings.events_of(resource.properties), "endpoint": f"sb://{definition.address}/"}
    return {
        "hostName": listening.service_host,
        "locations": _locations(resource),
        "eventHubEndpoints": {"events": events},
        "windtunnel": {
            "address": definition.address,
            "service": f"{definition.address}:{listening.port}",
            "deviceConnectionString": (
                f"HostName={definition.host_name};DeviceId=DEVICE;SharedAccessKey=KEY;GatewayHostName={definition.address}"
            ),
            "webSockets": listening.has_https,
            **_amqp(listening),
        },
    }


def _amqp(listening: Listening) -> JsonObject:
    """Whether clients of AMQP find anybody; if not, why."""
    problem = listening.amqp.problem if listening.amqp is not None else None
    return {"amqp": problem is None} if problem is None else {"amqp": False, "amqpProblem": problem}


def _locations(resource: Resource) -> list[Json]:
    from windtunnel_emulators.arm.locations import region, regions

    home = region(resource.location or "")
    if home is None:
        return [{"location": resource.location or "", "role": "primary"}]
    found: list[Json] = [{"location": home.display_name, "role": "primary"}]
    paired = regions().get(home.paired)
    if paired is not None:
        found.append({"location": paired.display_name, "role": "secondary"})
    return found
