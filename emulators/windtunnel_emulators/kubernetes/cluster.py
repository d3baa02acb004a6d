"""One cluster: an engine that serves its API, and all that works behind it as clients of that API.

``apply`` brings it in line with a plan and is safe to run again: nodes are added, or drained and taken away; nodes of
an older release are drained and made anew. What was there before a restart, killed or not, is there again: objects,
addresses, certificates, ports.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.files import private_folder
from windtunnel_emulators.kubernetes import draining, kubeconfig
from windtunnel_emulators.kubernetes.certificates import ClusterAuthority
from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition, EngineProblem
from windtunnel_emulators.kubernetes.plan import node_name
from windtunnel_emulators.kubernetes.roster import Entry, Roster

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.kubernetes.autoscaling import PoolAutoscaler
    from windtunnel_emulators.kubernetes.client.interface import Client, Component
    from windtunnel_emulators.kubernetes.engines.interface import Engine, RunningCluster
    from windtunnel_emulators.kubernetes.network.network import ClusterNetwork
    from windtunnel_emulators.kubernetes.network.proxy import ServiceProxy
    from windtunnel_emulators.kubernetes.node.agent import NodeAgent
    from windtunnel_emulators.kubernetes.plan import ClusterPlan, PoolPlan
    from windtunnel_emulators.runtime.interface import Credentials, Runtime

_DRAIN_S = 1800.0
"""AKS's own limit; at the pace ``fast`` it is a hundredth."""
_TOGETHER = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a cluster is given of the process."""

    engine: Engine
    runtime: Runtime
    clock: Clock
    pace: Pace
    folder: Path
    """For all clusters; each has a folder of its own below it."""
    credentials: Callable[[ClusterPlan], tuple[Credentials, ...]]
    """What nodes pull images with besides pull secrets; asked at every pull."""
    local_name: Callable[[str], str | None]
    """What an image of an emulated registry is called at its own port; None for images from elsewhere."""


@dataclass(slots=True)
class _Node:
    agent: NodeAgent
    client: Client


class Cluster:
    """Started, changed, stopped and deleted by one task at a time."""

    def __init__(self, plan: ClusterPlan, around: Surroundings) -> None:
        self.plan = plan
        self._around = around
        self.folder = around.folder / plan.uid
        self._roster = Roster(self.folder / "nodes.json", plan.pod_cidr)
        self._authority: ClusterAuthority | None = None
        self._running: RunningCluster | None = None
        self._clients: list[Client] = []
        self._network: ClusterNetwork | None = None
        self._proxy: ServiceProxy | None = None
        self._components: list[Component] = []
        self._nodes: dict[str, _Node] = {}
        self._admin: Client | None = None
        self._scaler: PoolAutoscaler | None = None
        self._changing = asyncio.Lock()
        """Held while nodes come and go: by a change of the plan, or by the autoscaler."""

    @property
    def running(self) -> RunningCluster | None:
        """The API; None while the cluster is stopped."""
        return self._running

    @property
    def agents(self) -> list[NodeAgent]:
        """Of the nodes that run here."""
        return [node.agent for node in self._nodes.values()]

    @property
    def node_count(self) -> dict[str, int]:
        """By pool."""
        return {pool: len(self._roster.of(pool)) for pool in self._roster.pools()}

    @property
    def autoscaled(self) -> dict[str, int]:
        """How many nodes each pool has that scales itself."""
        return {pool.name: len(self._roster.of(pool.name)) for pool in self.plan.pools if pool.bounds is not None}

    async def start(self) -> None:
        """The API, what works behind it, and the nodes. Raises ``EngineProblem``."""
        if self._running is not None:
            return
        try:
            self._running = await self._around.engine.start(self._definition())
            await self._start_components(self._running)
            await self._align()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Containers end, the API is gone; objects stay."""
        if self._scaler is not None:
            await self._scaler.stop()
            self._scaler = None
        await asyncio.gather(*(self._stop_node(name) for name in list(self._nodes)))
        components, self._components = self._components, []
        for component in reversed(components):
            await component.stop()
        if self._network is not None:
            await self._network.stop()
            self._network = None
        clients, self._clients, self._admin = self._clients, [], None
        for client in clients:
            await client.close()
        running, self._running = self._running, None
        if running is not None:
            await running.stop()

    async def delete(self) -> None:
        """Nothing is left."""
        await self.stop()
        for entry in self._roster.all():
            self._around.runtime.release_address(self._owner(entry.name))
        await self._around.engine.delete(self._definition())
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def apply(self, plan: ClusterPlan) -> None:
        """Bring a running cluster in line with a plan. Raises ``EngineProblem``."""
        former, self.plan = self.plan, plan
        if self._running is None:
            await self.start()
            return
        if plan.version != self._running.version:
            await self._running.upgrade(plan.version)
        await self._align()
        if former.pools != plan.pools:
            await self._align_objects()

    async def rotate(self) -> None:
        """New authority, certificates and tokens; old kubeconfigs do not work any more."""
        running = self._running is not None
        await self.stop()
        (self.folder / "keys.json").unlink(missing_ok=True)
        self._authority = None
        if running:
            await self.start()

    def kubeconfig(self, role: str, *, user: str) -> str:
        """For ``admin`` or ``user``. Raises ``EngineProblem`` while the cluster is stopped."""
        running = self._required()
        return kubeconfig.as_yaml(
            kubeconfig.document(
                cluster=self.plan.name,
                user=user,
                server=running.server,
                ca=running.ca,
                credential=running.credential(role),
            )
        )

    def client(self, role: str) -> Client:
        """A client that is closed with the cluster. Raises ``EngineProblem`` while it is stopped."""
        found = self._required().client(role)
        self._clients.append(found)
        return found

    def administrator(self) -> Client:
        """The one client that the cluster itself uses. Raises ``EngineProblem`` while it is stopped."""
        if self._admin is None:
            self._admin = self.client("admin")
        return self._admin

    def kubelet_context(self) -> ssl.SSLContext:
        """TLS of a client of the nodes' own APIs."""
        keys = self._keys()
        return keys.client_context(keys.kubelet_client)

    # The parts

    def _required(self) -> RunningCluster:
        if self._running is None:
            raise EngineProblem(f"cluster {self.plan.name!r} is stopped; start it first")
        return self._running

    def _definition(self) -> ClusterDefinition:
        plan = self.plan
        return ClusterDefinition(
            uid=plan.uid,
            name=plan.name,
            version=plan.version,
            folder=private_folder(self.folder),
            authority=self._keys(),
            nodes=sum(pool.count for pool in plan.pools),
            service_cidr=plan.service_cidr,
            pod_cidr=plan.pod_cidr,
        )

    def _keys(self) -> ClusterAuthority:
        if self._authority is None:
            file = self.folder / "keys.json"
            try:
                self._authority = ClusterAuthority.load(file)
            except ValueError as problem:
                raise EngineProblem(str(problem)) from problem
            if self._authority is None:
                import ipaddress

                first = str(ipaddress.ip_network(self.plan.service_cidr)[1])
                self._authority = ClusterAuthority.create(
                    file, now=self._around.clock.now(), names=(self.plan.host,), addresses=(first,)
                )
        return self._authority

    async def _start_components(self, running: RunningCluster) -> None:
        from windtunnel_emulators.kubernetes import components

        started = components.behind(self, running, self._around)
        self._network = started.network
        self._proxy = started.proxy
        await self._network.start()
        for component in started.components:
            await component.start()
            self._components.append(component)
        if started.metrics is not None:
            await components.aggregate(running, started.metrics)

    async def _align(self) -> None:
        """The nodes that should be there, and what scales them."""
        if self._required().parts.nodes:
            await self._align_given_nodes()
            return
        async with self._changing:
            await self._align_nodes()
        if self._scaler is None and any(pool.bounds for pool in self.plan.pools):
            from windtunnel_emulators.kubernetes import components

            self._scaler = components.autoscaler(self, self._around)
            await self._scaler.start()

    def present(self) -> dict[str, list[str]]:
        """The names of the nodes of each pool, oldest first."""
        return {pool.name: [entry.name for entry in self._roster.of(pool.name)] for pool in self.plan.pools}

    async def add_nodes(self, pool: str, count: int) -> None:
        """More nodes of a pool that scales itself, within its bounds. Raises ``EngineProblem``."""
        async with self._changing:
            for wanted in self.plan.pools:
                if wanted.name == pool and wanted.bounds is not None:
                    for _ in range(min(count, wanted.bounds[1] - len(self._roster.of(pool)))):
                        self._roster.put(self._new_entry(wanted))
            await self._align_nodes()

    async def remove_node(self, name: str) -> None:
        """Drain a node and take it away."""
        async with self._changing:
            entry = next((entry for entry in self._roster.all() if entry.name == name), None)
            if entry is not None:
                await self._remove_node(entry)
                if self._proxy is not None:
                    self._proxy.nodes_changed()

    async def _align_nodes(self) -> None:
        """Start the nodes that should be there, and drain and remove the others."""
        pools = {pool.name: pool for pool in self.plan.pools}
        leaving: list[Entry] = []
        for name in self._roster.pools() | pools.keys():
            pool = pools.get(name)
            present = self._roster.of(name)
            wanted = 0 if pool is None else _wanted(pool, len(present))
            leaving += present[wanted:]
            for _ in range(wanted - len(present)):
                assert pool is not None
                self._roster.put(self._new_entry(pool))
        gone = {entry.name for entry in leaving}
        starting = [e for e in self._roster.all() if e.name not in self._nodes and e.name not in gone]
        gate = asyncio.Semaphore(_TOGETHER)
        await asyncio.gather(*(self._start_node(entry, pools[entry.pool], gate) for entry in starting))
        await asyncio.gather(*(self._remove_node(entry) for entry in leaving))
        if self._proxy is not None and (starting or leaving):
            self._proxy.nodes_changed()
        for entry in self._roster.all():
            pool = pools[entry.pool]
            if (entry.version, entry.image) != (pool.version, pool.image):
                await self._renew_node(entry, pool)

    async def _align_given_nodes(self) -> None:
        """Name the pool of each node that the engine has. Raises ``EngineProblem`` for another number of them."""
        from windtunnel_emulators.kubernetes import components

        client = self.administrator()
        names = await components.node_names(client)
        wanted = [pool for pool in self.plan.pools for _ in range(pool.count)]
        if any(pool.bounds for pool in self.plan.pools):
            raise EngineProblem(
                f"pools of cluster {self.plan.name!r} are to scale themselves, and the nodes of the engine"
                f" '{self._around.engine.name}' do not change in number; turn enableAutoScaling off"
            )
        if len(names) != len(wanted):
            raise EngineProblem(
                f"cluster {self.plan.name!r} has {len(names)} nodes of the engine '{self._around.engine.name}', whose"
                f" number does not change, and its pools have {len(wanted)}; make a cluster of that size, or use"
                " --kubernetes embedded"
            )
        for name, pool in zip(names, wanted, strict=True):
            await components.label_given(client, name, pool)

    def _new_entry(self, pool: PoolPlan) -> Entry:
        index = self._roster.next_index(pool.name)
        name = node_name(self.plan, pool.name, index)
        try:
            block = self._roster.next_block()
        except ValueError as problem:
            raise EngineProblem(str(problem)) from problem
        address = self._around.runtime.allocate_address(self._owner(name))
        return Entry(
            name=name,
            pool=pool.name,
            index=index,
            block=block,
            address=address,
            version=pool.version,
            image=pool.image,
        )

    def _owner(self, node: str) -> str:
        return f"k8s-{self.plan.uid}-{node}"

    async def _start_node(self, entry: Entry, pool: PoolPlan, gate: asyncio.Semaphore) -> None:
        from windtunnel_emulators.kubernetes import components

        async with gate:
            running = self._required()
            owner = self._owner(entry.name)
            address = self._around.runtime.allocate_address(owner, entry.address)
            if address != entry.address:
                entry = Entry(
                    name=entry.name,
                    pool=entry.pool,
                    index=entry.index,
                    block=entry.block,
                    address=address,
                    version=entry.version,
                    image=entry.image,
                )
                self._roster.put(entry)
            keys = self._keys()
            keys.node(entry.name, addresses=(entry.address,), now=self._around.clock.now())
            client = running.node_client(entry.name)
            assert self._network is not None
            agent = components.node(
                self.plan,
                pool,
                entry,
                client=client,
                tls=keys.node_server_context(entry.name),
                pod_cidr=self._roster.range_of(entry),
                folder=self.folder / "nodes" / entry.name,
                owner=owner,
                network=self._network,
                around=self._around,
            )
            self._nodes[entry.name] = _Node(agent, client)
            await agent.start()

    async def _stop_node(self, name: str) -> None:
        node = self._nodes.pop(name, None)
        if node is not None:
            await node.agent.stop()
            await node.client.close()

    async def _remove_node(self, entry: Entry) -> None:
        client = self.administrator()
        left = await draining.drain(client, self._around.clock, entry.name, limit_s=self._drain_s())
        if left:
            _log.warning("node %s goes with pods that could not be evicted: %s", entry.name, ", ".join(left))
        await self._stop_node(entry.name)
        await draining.remove(client, entry.name)
        self._forget(entry)

    async def _renew_node(self, entry: Entry, pool: PoolPlan) -> None:
        """Drain a node and start it as its pool is now. Raises ``EngineProblem`` when budgets do not let it drain."""
        client = self.administrator()
        left = await draining.drain(client, self._around.clock, entry.name, limit_s=self._drain_s())
        if left:
            await draining.cordon(client, entry.name, on=False)
            raise EngineProblem(
                f"node {entry.name} could not be drained: {', '.join(left)} cannot be evicted (a PodDisruptionBudget"
                " may forbid it); change the budget or scale the workload, and upgrade again"
            )
        await self._stop_node(entry.name)
        entry = Entry(
            name=entry.name,
            pool=entry.pool,
            index=entry.index,
            block=entry.block,
            address=entry.address,
            version=pool.version,
            image=pool.image,
        )
        self._roster.put(entry)
        await self._start_node(entry, pool, asyncio.Semaphore(1))
        await draining.cordon(client, entry.name, on=False)

    async def _align_objects(self) -> None:
        """Labels and taints of nodes that stay, as their pools have them now."""
        from windtunnel_emulators.kubernetes import components

        client = self.administrator()
        pools = {pool.name: pool for pool in self.plan.pools}
        for entry in self._roster.all():
            await components.relabel(client, self.plan, pools[entry.pool], entry)

    def _forget(self, entry: Entry) -> None:
        self._roster.remove(entry.name)
        self._keys().forget_node(entry.name)
        self._around.runtime.release_address(self._owner(entry.name))
        shutil.rmtree(self.folder / "nodes" / entry.name, ignore_errors=True)

    def _drain_s(self) -> float:
        return self._around.pace.backoff(_DRAIN_S)


def _wanted(pool: PoolPlan, present: int) -> int:
    """How many nodes a pool is to have: those it has, where it scales itself and is within its bounds."""
    if pool.bounds is None or pool.count == 0:
        return pool.count
    low, high = pool.bounds
    return min(max(present or pool.count, low), high)
