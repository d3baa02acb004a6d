"""What works behind a cluster's API, put together: which parts run depends on what the engine brings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.autoscaling import PoolAutoscaler
from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.interface import MERGE_PATCH, STRATEGIC_MERGE_PATCH
from windtunnel_emulators.kubernetes.client.kinds import NODE
from windtunnel_emulators.kubernetes.controllers.controller import Settings
from windtunnel_emulators.kubernetes.controllers.manager import Controllers
from windtunnel_emulators.kubernetes.engines.kind import RunningKind
from windtunnel_emulators.kubernetes.engines.kind_images import KindImages
from windtunnel_emulators.kubernetes.metrics.server import GROUP, VERSION, MetricsServer
from windtunnel_emulators.kubernetes.network.network import ClusterNetwork
from windtunnel_emulators.kubernetes.network.proxy import ServiceProxy
from windtunnel_emulators.kubernetes.node.agent import NodeAgent
from windtunnel_emulators.kubernetes.node.definition import NodeDefinition, Taint, allocatable, node_labels
from windtunnel_emulators.kubernetes.roster import Entry
from windtunnel_emulators.kubernetes.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client, Component
    from windtunnel_emulators.kubernetes.cluster import Cluster, Surroundings
    from windtunnel_emulators.kubernetes.engines.interface import RunningCluster
    from windtunnel_emulators.kubernetes.plan import ClusterPlan, PoolPlan

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Started in order, the network first; stopped the other way round."""

    network: ClusterNetwork
    components: tuple[Component, ...]
    proxy: ServiceProxy
    metrics: MetricsServer | None


def behind(cluster: Cluster, running: RunningCluster, around: Surroundings) -> Behind:
    """Controllers and scheduler where the engine has none, and the network."""
    clock = around.clock
    host, port = urlsplit(running.server).hostname or "", urlsplit(running.server).port or 443
    network = ClusterNetwork(cluster.client("admin"), clock, cluster=cluster.plan.uid, api_server=(host, port))
    running.connect(network.pods.loopback)
    found: list[Component] = []
    if not running.parts.controllers:
        found.append(Controllers(cluster.client("controllers"), clock, settings=Settings(root_ca=running.ca)))
    if not running.parts.scheduler:
        found.append(Scheduler(cluster.client("scheduler"), clock))
    elsewhere: Addresses | None = None
    if running.parts.nodes:
        elsewhere = Addresses(cluster.client("admin"), clock)
        found.append(elsewhere)
    if isinstance(running, RunningKind):
        found.append(
            KindImages(
                cluster.client("admin"),
                clock,
                running,
                runtime=around.runtime,
                local_name=around.local_name,
                credentials=lambda: around.credentials(cluster.plan),
            )
        )
    proxy = ServiceProxy(
        cluster.client("admin"),
        clock,
        network,
        runtime=around.runtime,
        owner=f"k8s-{cluster.plan.uid}",
        nodes=lambda: [agent.definition.address for agent in cluster.agents],
        elsewhere=None if elsewhere is None else elsewhere.internal,
    )
    found.append(proxy)
    metrics = None
    if running.parts.aggregation:
        metrics = MetricsServer(cluster.client("admin"), clock, cluster.kubelet_context())
        found.append(metrics)
    return Behind(network=network, components=tuple(found), proxy=proxy, metrics=metrics)


class Addresses:
    """A ``Component``: the addresses of nodes that are not of this process."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._nodes = Informer(client, NODE, clock)

    async def start(self) -> None:
        await self._nodes.start()
        await self._nodes.synced.wait()

    async def stop(self) -> None:
        await self._nodes.stop()

    def internal(self) -> list[str]:
        """InternalIP of each."""
        return [
            as_str(as_object(one).get("address"))
            for node in self._nodes.objects()
            for one in as_list(as_object(node.get("status")).get("addresses"))
            if as_object(one).get("type") == "InternalIP"
        ]


async def aggregate(running: RunningCluster, metrics: MetricsServer) -> None:
    """The API of this process behind the cluster's: metrics of nodes and pods."""
    await running.aggregate(GROUP, VERSION, metrics.app)


def node(
    plan: ClusterPlan,
    pool: PoolPlan,
    entry: Entry,
    *,
    client: Client,
    tls: ssl.SSLContext,
    pod_cidr: str,
    folder: Path,
    owner: str,
    network: ClusterNetwork,
    around: Surroundings,
) -> NodeAgent:
    """The agent of one node."""
    return NodeAgent(
        definition(plan, pool, entry, pod_cidr),
        client=client,
        runtime=around.runtime,
        clock=around.clock,
        pace=around.pace,
        folder=folder,
        tls=tls,
        network=network,
        owner=owner,
        registry_credentials=lambda: around.credentials(plan),
    )


def definition(plan: ClusterPlan, pool: PoolPlan, entry: Entry, pod_cidr: str) -> NodeDefinition:
    """What a node is, by its pool."""
    return NodeDefinition(
        name=entry.name,
        address=entry.address,
        cpu=pool.cpu,
        memory_bytes=pool.memory_bytes,
        pods=pool.pods,
        ephemeral_storage_bytes=pool.disk_gb * 1024**3,
        extended=pool.extended,
        labels=pool.labels,
        taints=tuple(Taint(key=key, value=value, effect=effect) for key, value, effect in pool.taints),
        pod_cidr=pod_cidr,
        version=f"v{entry.version}",
        instance_type=pool.instance_type,
        region=plan.region,
        provider_id=f"{plan.provider}/virtualMachineScaleSets/{entry.name[:-6]}/virtualMachines/{entry.index}",
    )


def autoscaler(cluster: Cluster, around: Surroundings) -> PoolAutoscaler:
    """What scales the pools that have bounds."""

    def pools() -> dict[str, tuple[JsonObject, tuple[int, int]]]:
        return {
            pool.name: (_template(cluster.plan, pool), pool.bounds)
            for pool in cluster.plan.pools
            if pool.bounds is not None
        }

    return PoolAutoscaler(
        cluster.administrator(),
        around.clock,
        around.pace,
        settings=cluster.plan.autoscaler,
        pools=pools,
        present=cluster.present,
        add=cluster.add_nodes,
        remove=cluster.remove_node,
    )


def _template(plan: ClusterPlan, pool: PoolPlan) -> JsonObject:
    """A node as the pool would make one."""
    entry = Entry(name=f"aks-{pool.name}-template", pool=pool.name, index=0, block=0, address="", version=pool.version)
    made = definition(plan, pool, entry, "")
    labels: JsonObject = dict(node_labels(made))
    taints: list[Json] = [taint.to_json() for taint in made.taints]
    return {
        "metadata": {"name": made.name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"allocatable": allocatable(made)},
    }


async def relabel(client: Client, plan: ClusterPlan, pool: PoolPlan, entry: Entry) -> None:
    """Write a pool's labels and taints to a node that is there."""
    wanted = definition(plan, pool, entry, "")
    labels = node_labels(wanted)
    found = await client.request("GET", NODE.path(None, entry.name))
    metadata = found.get("metadata")
    assert isinstance(metadata, dict)
    present = metadata.get("labels")
    pool_labels = {key for key in (present if isinstance(present, dict) else {}) if _of_user(key)}
    gone = {key: None for key in pool_labels - labels.keys()}
    await client.request(
        "PATCH",
        NODE.path(None, entry.name),
        body={
            "metadata": {"labels": {**gone, **labels}},
            "spec": {"taints": [taint.to_json() for taint in wanted.taints] or None},
        },
        content_type=STRATEGIC_MERGE_PATCH,
    )


async def node_names(client: Client) -> list[str]:
    """Of all nodes, in order."""
    found = await client.request("GET", NODE.path())
    return sorted(as_str(as_object(as_object(n).get("metadata")).get("name")) for n in as_list(found.get("items")))


async def label_given(client: Client, name: str, pool: PoolPlan) -> None:
    """Write a pool's labels and taints to a node that an engine made, and take away what keeps pods from it."""
    taints = [Taint(key=key, value=value, effect=effect).to_json() for key, value, effect in pool.taints]
    await client.request(
        "PATCH",
        NODE.path(None, name),
        body={"metadata": {"labels": dict(pool.labels)}, "spec": {"taints": [*taints] or None}},
        content_type=MERGE_PATCH,
    )


def _of_user(key: str) -> bool:
    return "kubernetes.io/" not in key and "kubernetes.azure.com/" not in key
