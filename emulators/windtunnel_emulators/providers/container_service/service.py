"""What Microsoft.ContainerService keeps beside the store: the clusters that run.

What runs is taken up again from the store at the start, each cluster for itself: the emulators are ready before a
cluster is that takes seconds.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import clusters, plans
from .commands import Commands
from .node_groups import NodeGroups
from .pull_identity import PullIdentity
from .quotas import Quotas
from .versions import Versions, published

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.cluster import Cluster, Surroundings
    from windtunnel_emulators.kubernetes.engines.interface import Engine
    from windtunnel_emulators.kubernetes.plan import ClusterPlan
    from windtunnel_emulators.world import World

TYPE = "Microsoft.ContainerService/managedClusters"
_FIRST_S = 2.0
"""How long the start waits for clusters: embedded ones are there by then."""
_log = logging.getLogger(__name__)


def _make_cluster(plan: ClusterPlan, around: Surroundings) -> Cluster:
    """Imported with the first cluster: all that works behind an API is not needed before."""
    from windtunnel_emulators.kubernetes.cluster import Cluster

    return Cluster(plan, around)


class ContainerService:
    """The service."""

    def __init__(
        self, world: World, *, make_cluster: Callable[[ClusterPlan, Surroundings], Cluster] = _make_cluster
    ) -> None:
        self.world = world
        self._make_cluster = make_cluster
        self.node_groups = NodeGroups(world.resources)
        self.quotas = Quotas(world.folder, lambda: world.resources.list(TYPE))
        self.commands = Commands(world)
        self._pull_identity = PullIdentity(world)
        self._folder = world.folder / "kubernetes"
        self._clusters: dict[str, Cluster] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._taking_up: set[asyncio.Task[None]] = set()
        self._engine: Engine | None = world.engine
        self._around: Surroundings | None = None

    @property
    def engine(self) -> Engine:
        """What serves the clusters; made when the first one needs it."""
        if self._engine is None:
            from windtunnel_emulators.kubernetes.engines.embedded import EmbeddedEngine

            world = self.world
            self._engine = EmbeddedEngine(store=world.store, clock=world.clock, listeners=world.listeners)
        return self._engine

    @property
    def versions(self) -> Versions:
        """The releases that clusters can have here."""
        offered = None if self._engine is None else self._engine.versions()
        return published() if offered is None else Versions.only(offered)

    async def start(self) -> None:
        """Take up what the store says is running. Work in progress is run again by ARM, and left to it here."""
        resources = self.world.resources.list(TYPE)
        self.commands.sweep()
        if not resources and not self._folder.exists():
            return
        known = frozenset(plans.uid_of(resource) for resource in resources)
        await self.engine.sweep(known)
        await asyncio.to_thread(plans.sweep, self._folder, known)
        for resource in resources:
            if resource.busy is None and not clusters.stopped(resource):
                task = asyncio.create_task(self._take_up(resource), name=f"cluster {resource.id.name}")
                self._taking_up.add(task)
                task.add_done_callback(self._taking_up.discard)
        if self._taking_up:
            await asyncio.wait(self._taking_up, timeout=_FIRST_S)

    async def stop(self) -> None:
        """End all that runs; the store says what is to run again."""
        for task in list(self._taking_up):
            task.cancel()
        await asyncio.gather(*self._taking_up, return_exceptions=True)
        await self.commands.close()
        await asyncio.gather(*(cluster.stop() for cluster in self._clusters.values()))
        self._clusters.clear()

    # Works

    async def apply(self, resource: Resource) -> None:
        """Bring a cluster in line with what is stored. Raises ``ArmError``."""
        from windtunnel_emulators.kubernetes.engines.interface import EngineProblem

        async with self._lock(resource):
            try:
                await self._cluster(resource).apply(plans.plan_of(resource))
            except EngineProblem as problem:
                raise _failed(resource, str(problem)) from problem

    async def stop_cluster(self, resource: Resource) -> None:
        async with self._lock(resource):
            await self._cluster(resource).stop()

    async def rotate(self, resource: Resource) -> None:
        """Raises ``ArmError``."""
        from windtunnel_emulators.kubernetes.engines.interface import EngineProblem

        async with self._lock(resource):
            try:
                await self._cluster(resource).rotate()
            except EngineProblem as problem:
                raise _failed(resource, str(problem)) from problem

    async def remove(self, resource: Resource) -> None:
        """Free all that a cluster holds."""
        async with self._lock(resource):
            await self._cluster(resource).delete()
        uid = plans.uid_of(resource)
        self._clusters.pop(uid, None)
        self._locks.pop(uid, None)
        self.commands.forget(uid)

    # What others need

    def running(self, resource: Resource) -> Cluster:
        """A cluster that can be spoken to. Raises ``ArmError`` 400 for one that is stopped, or not up yet."""
        cluster = self._clusters.get(plans.uid_of(resource))
        if cluster is None or cluster.running is None:
            why = "is stopped. Start it first (az aks start)." if clusters.stopped(resource) else "is not running yet."
            raise ArmError(400, "OperationNotAllowed", f"Managed cluster '{resource.id.name}' {why}")
        return cluster

    def with_counts(self, resource: Resource, properties: JsonObject) -> JsonObject:
        """The properties with the nodes that an autoscaled pool has now."""
        cluster = self._clusters.get(plans.uid_of(resource))
        counts = {} if cluster is None or cluster.running is None else cluster.autoscaled
        if not counts:
            return properties
        pools: list[Json] = []
        for item in as_list(properties.get("agentPoolProfiles")):
            pool = as_object(item)
            count = counts.get(as_str(pool.get("name")))
            pools.append(item if count is None else {**pool, "count": count})
        return {**properties, "agentPoolProfiles": pools}

    def check_upgrade(self, wanted: JsonObject) -> None:
        """Raises ``ArmError`` 501 where the engine has one release only."""
        offered = self.engine.versions()
        if offered is not None and as_str(wanted.get("currentKubernetesVersion")) not in offered:
            raise not_implemented(
                f"An upgrade with the engine '{self.engine.name}', which has Kubernetes {', '.join(offered)} alone,",
                "Start the emulators with --kubernetes embedded.",
            )

    def _cluster(self, resource: Resource) -> Cluster:
        from windtunnel_emulators.kubernetes.cluster import Surroundings

        uid = plans.uid_of(resource)
        if uid not in self._clusters:
            world = self.world
            if self._around is None:
                self._around = Surroundings(
                    engine=self.engine,
                    runtime=world.runtime,
                    clock=world.clock,
                    pace=world.pace,
                    folder=self._folder,
                    credentials=self._pull_identity.credentials,
                    local_name=self._pull_identity.local_name,
                )
            self._clusters[uid] = self._make_cluster(plans.plan_of(resource), self._around)
        return self._clusters[uid]

    def _lock(self, resource: Resource) -> asyncio.Lock:
        return self._locks.setdefault(plans.uid_of(resource), asyncio.Lock())

    async def _take_up(self, resource: Resource) -> None:
        try:
            async with self._lock(resource):
                await self._cluster(resource).start()
        except Exception:
            _log.exception("cluster %s cannot be taken up again", resource.id.name)


def _failed(resource: Resource, why: str) -> ArmError:
    return ArmError(400, "ControlPlaneOperationFailed", f"Managed cluster '{resource.id.name}': {why}")
