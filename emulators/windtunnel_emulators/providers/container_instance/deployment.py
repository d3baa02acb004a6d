"""One container group as it is deployed: its containers, its folder, and what is kept of them in the store.

A deployment is known by a ``uid`` that a group is given when it is created. A group that is deleted and created again
under its old name is another deployment: the end of the first one cannot touch the second.
"""

from __future__ import annotations

import asyncio
import shutil
import uuid
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_str
from windtunnel_emulators.runtime.group import ContainerGroup
from windtunnel_emulators.runtime.status import Event, from_json, to_json

from . import volumes
from .plans import group_plan
from .stored import load, load_secrets

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.status import GroupStatus
    from windtunnel_emulators.world import World

    from .bodies import GroupProperties
    from .images import Images
    from .stored import Secrets


def new_state() -> JsonObject:
    """The state of a group that is being created."""
    return {"uid": uuid.uuid4().hex}


def uid_of(resource: Resource) -> str:
    """Which deployment a stored group is."""
    return as_str(resource.state.get("uid"))


def owner_of(uid: str, name: str) -> str:
    """What the runtime knows a deployment by."""
    return f"{uid}/{name}"


def status_of(resource: Resource) -> GroupStatus | None:
    """What was last kept of a group's containers; None before they were started."""
    kept = resource.state.get("status")
    return from_json(kept) if isinstance(kept, dict) else None


def events_of(resource: Resource) -> tuple[Event, ...]:
    """What was last kept of the group's own events."""
    return tuple(msgspec.convert(entry, Event) for entry in as_list(resource.state.get("events")))


class Deployment:
    """Made for a stored group; nothing runs before ``deploy`` or ``restore``."""

    def __init__(self, resource: Resource, world: World, *, images: Images, folder: Path, grace_s: float) -> None:
        self.uid = uid_of(resource)
        self.id: ResourceId = resource.id
        self.group: ContainerGroup | None = None
        self._before = status_of(resource)
        self.events = events_of(resource)
        self.ip: str | None = as_str(resource.state.get("ip")) or None
        self._world = world
        self._images = images
        self._folder = folder / self.uid
        self._grace_s = grace_s
        self._kept: object = None

    async def deploy(self, resource: Resource) -> ContainerGroup:
        """End what runs, and start the group as it is stored now. Raises ``volumes.VolumeProblem``."""
        if self.group is not None:
            await self.group.close(self._grace_s)
        self.group, self._before, self.events = None, None, ()
        properties, secrets = load(resource.properties), load_secrets(resource.secrets)
        try:
            folders = await volumes.prepare(self._folder / "volumes", properties, secrets)
        except volumes.VolumeProblem as problem:
            self._happened("FailedMount", str(problem))
            raise
        self.group = self._container_group(properties, secrets, folders)
        await self.group.start()
        return self.group

    async def restore(self, resource: Resource) -> None:
        """Carry on where the process before this one ended; a group that had ended only gets its logs back."""
        properties, secrets = load(resource.properties), load_secrets(resource.secrets)
        folders = volumes.existing(self._folder / "volumes", properties)
        if not await asyncio.to_thread(lambda: all(folder.is_dir() for folder in folders.values())):
            folders = await volumes.prepare(self._folder / "volumes", properties, secrets)
        self.group = self._container_group(properties, secrets, folders)
        if self._before is not None:
            self.group.restore(self._before)

    async def stop(self) -> None:
        """End the containers, give up the address, and keep that."""
        if self.group is not None:
            await self.group.stop(self._grace_s)
            self.ip = None
            self.keep(self.group.status)

    async def restart(self) -> None:
        """End the containers and start them again in place."""
        if self.group is not None:
            await self.group.restart(self._grace_s)

    async def close(self) -> None:
        """End the containers as the emulators end; ``restore`` carries on from what is kept here."""
        if self.group is not None:
            self.keep(self.group.status)
            await self.group.close()

    async def remove(self) -> None:
        """End the containers and delete the folder; safe to call twice."""
        if self.group is not None:
            await self.group.remove(self._grace_s)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def give_up(self) -> None:
        """End what has not come to run in time; its last states are kept."""
        if self.group is not None:
            await self.group.close(self._grace_s)
            self.keep(self.group.status)

    def provisioned(self) -> None:
        """The group has its address from now on."""
        if self.group is not None:
            self.ip = self.group.status.address
        self._save()

    def keep(self, status: GroupStatus) -> None:
        """Write down what a restart must not forget; what is only told waits for the next time."""
        told = (
            status.state,
            status.address,
            status.refused,
            [
                (c.state.phase, c.state.exit_code, c.restarts, c.over)
                for c in (*status.init_containers, *status.containers)
            ],
        )
        if told != self._kept:
            self._kept = told
            self._save()

    @property
    def status(self) -> GroupStatus | None:
        """What is known of the containers now; None before they were started."""
        return self._before if self.group is None else self.group.status

    @property
    def _owner(self) -> str:
        return owner_of(self.uid, self.id.name)

    def _container_group(
        self, properties: GroupProperties, secrets: Secrets, folders: dict[str, Path]
    ) -> ContainerGroup:
        world = self._world
        plan = group_plan(
            properties,
            secrets,
            owner=self._owner,
            folders=folders,
            pull_with=self._images.credentials(properties, secrets),
            grace_s=self._grace_s,
        )
        return ContainerGroup(
            plan,
            runtime=world.runtime,
            clock=world.clock,
            pace=world.pace,
            folder=self._folder / "containers",
            on_change=self.keep,
        )

    def _happened(self, name: str, message: str) -> None:
        now = self._world.clock.now()
        self.events = (*self.events, Event(name=name, message=message, type="Warning", count=1, first=now, last=now))
        self._save()

    def _save(self) -> None:
        """Nothing is written when the group is gone, or is another deployment by now."""
        current = self._world.resources.get(self.id)
        if current is None or uid_of(current) != self.uid:
            return
        state: JsonObject = {"uid": self.uid, "events": msgspec.to_builtins(self.events)}
        status = self.status
        if status is not None:
            state["status"] = to_json(status)
        if self.ip is not None:
            state["ip"] = self.ip
        self._world.resources.save_state(self.id, state)
