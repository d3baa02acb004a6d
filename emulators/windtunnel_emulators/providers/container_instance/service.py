"""What Microsoft.ContainerInstance keeps beside the store: the deployments that run, quotas, and open sessions.

What runs is taken up again from the store at the start: a group that was running runs again, with its restart counts
and its address; one that had ended or was stopped stays so.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.status import GroupState

from . import views
from .deployment import Deployment, events_of, owner_of, status_of, uid_of
from .images import Images
from .ledger import Ledger
from .quotas import Quotas
from .rates import Rate
from .sessions import Sessions
from .stored import PROVISIONING_TIMEOUT_S
from .streams import Streams
from .volumes import VolumeProblem

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.group import ContainerGroup
    from windtunnel_emulators.runtime.status import Event, GroupStatus
    from windtunnel_emulators.world import World

TYPE = "Microsoft.ContainerInstance/containerGroups"
_GRACE_S = 30.0
_FAST_GRACE_S = 5.0
_log = logging.getLogger(__name__)


class ContainerInstances:
    """The service."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.quotas = Quotas(world.folder)
        self.ledger = Ledger(self.quotas, lambda: world.resources.list(TYPE), world.tenant)
        self.creations = Rate(world.clock, world.pace)
        self.deletions = Rate(world.clock, world.pace)
        self.images = Images(world)
        self.sessions = Sessions(world.clock)
        self._streams = Streams(self)
        self._folder = world.folder / "container_instance"
        # Azure gives containers 30 s to end; a local round trip should not wait that long for one that does not listen.
        self._grace_s = _GRACE_S if world.pace.factor == 1 else _FAST_GRACE_S
        self._deployments: dict[str, Deployment] = {}
        self._deploying: set[str] = set()
        self._changing: set[str] = set()
        self._views: dict[str, tuple[object, JsonObject]] = {}

    @property
    def routes(self) -> Mapping[str, ASGI]:
        """Paths of the front door that are not ARM's: the WebSockets of exec and attach."""
        return {"/execstream/": self._streams}

    async def start(self) -> None:
        """Take up what the store says is running. Work in progress is run again by ARM, and left to it here."""
        groups = self.world.resources.list(TYPE)
        await asyncio.to_thread(self._sweep, {uid_of(group) for group in groups})
        self.ledger.refresh()
        for group in groups:
            status = status_of(group)
            failed = group.properties.get("provisioningState") == views.FAILED
            if group.busy is None and not failed and status is not None and not status.finished:
                await self._take_up(group)

    async def stop(self) -> None:
        """End all containers; the store says what is to run again."""
        await self._streams.close()
        await asyncio.gather(*(deployment.close() for deployment in self._deployments.values()))
        self._deployments.clear()

    def with_address(self, resource: Resource) -> JsonObject:
        """The state of a group that is being created, with an address from now on."""
        owner = owner_of(uid_of(resource), resource.id.name)
        return {**resource.state, "ip": self.world.runtime.allocate_address(owner)}

    # Works

    async def deploy(self, resource: Resource) -> None:
        """Run a group as it is stored now, and wait until it has been provisioned. Raises ``ArmError``."""
        uid = uid_of(resource)
        deployment = self._deployment(resource)
        self._deploying.add(uid)
        try:
            group = await deployment.deploy(resource)
            await self._provisioned(group, resource)
            deployment.provisioned()
        except ArmError:
            await deployment.give_up()
            raise
        except VolumeProblem as problem:
            raise ArmError(400, "FailedMount", f"{_named(resource)} cannot be started: {problem}.") from problem
        finally:
            self._deploying.discard(uid)

    async def remove(self, resource: Resource) -> None:
        """Free all that a group holds; it is gone from the store, or will be."""
        uid = uid_of(resource)
        await self._deployment(resource).remove()
        self._deployments.pop(uid, None)
        self._views.pop(uid, None)
        self.sessions.forget(uid)
        if self.world.resources.get(resource.id) is None:
            self.ledger.forget(resource.id.key)

    async def _provisioned(self, group: ContainerGroup, resource: Resource) -> None:
        started = asyncio.ensure_future(group.wait(lambda status: status.state is not GroupState.PENDING))
        limit = asyncio.ensure_future(self.world.clock.sleep(PROVISIONING_TIMEOUT_S))
        try:
            await asyncio.wait({started, limit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            if not started.done():
                started.cancel()
            await asyncio.wait({started, limit})
        if started.cancelled():
            raise ArmError(
                408,
                "ContainerGroupProvisioningTimeout",
                f"{_named(resource)} did not start within {PROVISIONING_TIMEOUT_S} seconds: {_waiting(group.status)}.",
            )
        status = started.result()
        if status.refused is not None:
            raise _cannot_run(resource, status)

    # What actions need

    async def running(self, resource: Resource) -> Deployment:
        """The deployment of a group, made from the store when this process has none."""
        uid = uid_of(resource)
        if uid not in self._deployments:
            await self._take_up(resource)
        return self._deployments[uid]

    def deployed(self, uid: str) -> Deployment | None:
        """A deployment that this process has."""
        return self._deployments.get(uid)

    @contextmanager
    def changing(self, resource: Resource) -> Generator[None]:
        """While an action stops or restarts a group, nothing else may change it. Raises ``ArmError`` 409."""
        self.refuse_transitioning(resource)
        uid = uid_of(resource)
        self._changing.add(uid)
        try:
            yield
        finally:
            self._changing.discard(uid)

    def refuse_transitioning(self, resource: Resource) -> None:
        """Raises ``ArmError`` 409 while an action changes the group."""
        if uid_of(resource) in self._changing:
            raise transitioning(resource)

    def status(self, resource: Resource) -> GroupStatus | None:
        """What is known of a group's containers."""
        deployment = self._deployments.get(uid_of(resource))
        return status_of(resource) if deployment is None else deployment.status

    def events(self, resource: Resource) -> tuple[Event, ...]:
        """What happened to the group itself."""
        deployment = self._deployments.get(uid_of(resource))
        return events_of(resource) if deployment is None else deployment.events

    def shown(self, resource: Resource) -> JsonObject:
        """The answer to a GET. Kept as long as nothing changes, as clients ask again and again."""
        uid = uid_of(resource)
        status, provisioning = self.status(resource), self.provisioning(resource)
        deployment = self._deployments.get(uid)
        if deployment is None:
            return views.shown(resource, provisioning, self.world.tenant, status, self.events(resource))
        version = (resource.etag, provisioning, deployment.ip, status, deployment.events)
        kept = self._views.get(uid)
        if kept is None or kept[0] != version:
            body = views.shown(resource, provisioning, self.world.tenant, status, deployment.events)
            kept = self._views[uid] = (version, body)
        return kept[1]

    def provisioning(self, resource: Resource) -> str:
        """The ``provisioningState``."""
        if uid_of(resource) in self._deploying:
            return views.CREATING
        return as_str(resource.properties.get("provisioningState"), views.SUCCEEDED)

    def _deployment(self, resource: Resource) -> Deployment:
        uid = uid_of(resource)
        if uid not in self._deployments:
            self._deployments[uid] = Deployment(
                resource, self.world, images=self.images, folder=self._folder, grace_s=self._grace_s
            )
        return self._deployments[uid]

    async def _take_up(self, resource: Resource) -> None:
        try:
            await self._deployment(resource).restore(resource)
        except VolumeProblem as problem:
            _log.warning("%s cannot be taken up again: %s", _named(resource), problem)

    def _sweep(self, known: set[str]) -> None:
        """Delete what groups that are gone have left behind."""
        if self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in known:
                    shutil.rmtree(folder, ignore_errors=True)


def transitioning(resource: Resource) -> ArmError:
    """The refusal of anything that comes while a group is being changed."""
    return ArmError(
        409,
        "ContainerGroupTransitioning",
        f"The container group '{resource.id.name}' is still transitioning, please retry later.",
    )


def _named(resource: Resource) -> str:
    return f"The container group '{resource.id.name}'"


def _cannot_run(resource: Resource, status: GroupStatus) -> ArmError:
    return ArmError(
        400,
        "InaccessibleImage",
        f"The image of container group '{resource.id.name}' is not accessible or cannot run here. Please check the"
        f" image and registry credential: {status.refused}",
    )


def _waiting(status: GroupStatus) -> str:
    waiting = [
        f"container '{c.name}' is {c.state.phase} ({c.state.detail})"
        for c in (*status.init_containers, *status.containers)
        if not c.over
    ]
    return "; ".join(waiting) or f"it is {status.state}"
