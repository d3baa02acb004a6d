"""Agent pools as sub-resources: reads and changes of what their cluster keeps, so that both always agree.

A change of a pool is work on its cluster, of which there is one at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Action, Reply
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import bodies, clusters, pools
from .versions import older

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .service import ContainerService


async def listed(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """All pools of a cluster."""
    found = _there(cluster)
    shown: list[Json] = [_view(found, pool) for pool in _pools(found, service)]
    return Reply(status=200, body={"value": shown})


async def get(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """One pool, or a refusal in the service's own shape."""
    found = _there(cluster)
    pool = _find(_pools(found, service), call.parameters["pool"])
    return _absent(call, found) if pool is None else Reply(status=200, body=_view(found, pool))


async def put(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Add a pool, or change one. Raises ``ArmError``."""
    found = _there(cluster)
    _refuse_stopped(found)
    all_pools = _pools(found, service)
    name = call.parameters["pool"]
    current = _find(all_pools, name)
    given: JsonObject = {k: v for k, v in as_object(as_object(call.body).get("properties")).items() if v is not None}
    around = bodies.around_of(found.properties, found.location or "", service.versions)
    made = pools.make(given, name if current is None else as_str(current.get("name")), current, around)
    state = "Creating" if current is None else _changing(current, made)
    made["provisioningState"] = state
    others = [pool for pool in all_pools if pool is not current]
    changed = [*all_pools, made] if current is None else [made if p is current else p for p in all_pools]
    if made.get("mode") != pools.SYSTEM and not any(pool.get("mode") == pools.SYSTEM for pool in others):
        raise _last_system_pool()
    resource = _with(found, changed)
    service.quotas.check(call.subscription, found.location or "", found.id.key, resource.properties)
    return Reply(
        status=201 if current is None else 200,
        body=_view(resource, made),
        resource=resource,
        work="newpool" if current is None else "pool",
        announce=True,
    )


async def delete(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Take a pool away: its nodes are drained first. Raises ``ArmError``."""
    found = _there(cluster)
    all_pools = _pools(found, service)
    current = _find(all_pools, call.parameters["pool"])
    if current is None:
        return Reply(status=204)
    _refuse_stopped(found)
    others: list[JsonObject] = [pool for pool in all_pools if pool is not current]
    if not any(pool.get("mode") == pools.SYSTEM for pool in others):
        raise _last_system_pool()
    return Reply(status=202, resource=_with(found, others), work="pool", announce=True)


async def upgrade_profile(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Which releases a pool may get next: those up to its cluster's."""
    found = _there(cluster)
    pool = _find(_pools(found, service), call.parameters["pool"])
    if pool is None:
        return _absent(call, found)
    current = as_str(pool.get("currentOrchestratorVersion"))
    control_plane = as_str(found.properties.get("currentKubernetesVersion"))
    later = [v for v in service.versions.upgrades(current) if not older(control_plane, v)]
    upgrades: list[Json] = [{"kubernetesVersion": version} for version in later]
    id = f"{clusters.service_id(str(found.id))}/agentPools/{as_str(pool.get('name'))}/upgradeProfiles/default"
    return Reply(
        status=200,
        body={
            "id": id,
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
            "properties": {
                "kubernetesVersion": current,
                "osType": "Linux",
                "latestNodeImageVersion": pools.NODE_IMAGE,
                **({"upgrades": upgrades} if upgrades else {}),
            },
        },
    )


async def upgrade_image(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Bring a pool's nodes to the latest image: each is drained and made anew where it has an older one."""
    found = _there(cluster)
    _refuse_stopped(found)
    all_pools = _pools(found, service)
    current = _find(all_pools, call.parameters["pool"])
    if current is None:
        return _absent(call, found)
    made: JsonObject = {
        **current,
        "nodeImageVersion": pools.NODE_IMAGE,
        "provisioningState": "UpgradingNodeImageVersion",
    }
    resource = _with(found, [made if pool is current else pool for pool in all_pools])
    return Reply(status=202, body=_view(resource, made), resource=resource, work="pool", announce=True)


async def available_versions(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Which releases a new pool may have."""
    found = _there(cluster)
    control_plane = as_str(found.properties.get("currentKubernetesVersion"))
    offered = [v for patches in service.versions.minors.values() for v in patches]
    listing: list[Json] = [
        {"kubernetesVersion": version, **({"default": True} if version == control_plane else {})}
        for version in offered
        if not older(control_plane, version)
    ]
    return Reply(
        status=200,
        body={
            "id": f"{clusters.service_id(str(found.id))}/availableAgentPoolVersions",
            "name": "default",
            "type": "Microsoft.ContainerService/managedClusters/availableAgentPoolVersions",
            "properties": {"agentPoolVersions": listing},
        },
    )


ACTIONS: tuple[Action[ContainerService], ...] = (
    Action(method="GET", path="agentPools", act=listed),
    Action(method="GET", path="agentPools/{pool}", act=get),
    Action(method="PUT", path="agentPools/{pool}", act=put, refuse_busy=True),
    Action(method="DELETE", path="agentPools/{pool}", act=delete, refuse_busy=True),
    Action(method="GET", path="agentPools/{pool}/upgradeProfiles/default", act=upgrade_profile),
    Action(method="POST", path="agentPools/{pool}/upgradeNodeImageVersion", act=upgrade_image, refuse_busy=True),
    Action(method="GET", path="availableAgentPoolVersions", act=available_versions),
)


def _there(cluster: Resource | None) -> Resource:
    if cluster is None:
        raise TypeError("ARM calls an action with the resource there is")
    return cluster


def _pools(cluster: Resource, service: ContainerService) -> list[JsonObject]:
    shown = service.with_counts(cluster, cluster.properties)
    return [as_object(pool) for pool in as_list(shown.get("agentPoolProfiles"))]


def _find(all_pools: list[JsonObject], name: str) -> JsonObject | None:
    return next((pool for pool in all_pools if as_str(pool.get("name")).lower() == name.lower()), None)


def _with(cluster: Resource, all_pools: list[JsonObject]) -> Resource:
    kept: list[Json] = [*all_pools]
    properties: JsonObject = {
        **cluster.properties,
        "provisioningState": clusters.STATES["pool"],
        "agentPoolProfiles": kept,
    }
    return replace(cluster, properties=properties)


def _view(cluster: Resource, pool: JsonObject) -> JsonObject:
    name = as_str(pool.get("name"))
    shown = {key: value for key, value in pool.items() if key != "name" and value not in ({}, [])}
    return {
        "id": f"{clusters.service_id(str(cluster.id))}/agentPools/{name}",
        "name": name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "properties": {"provisioningState": clusters.SUCCEEDED, **shown},
    }


def _changing(before: JsonObject, after: JsonObject) -> str:
    if before.get("currentOrchestratorVersion") != after.get("currentOrchestratorVersion"):
        return "Upgrading"
    power = as_object(after.get("powerState")).get("code")
    if power != as_object(before.get("powerState")).get("code"):
        return "Stopping" if power == "Stopped" else "Starting"
    return "Scaling" if before.get("count") != after.get("count") else "Updating"


def _absent(call: Call, cluster: Resource) -> Reply:
    """Recorded: the service's own shape, not ARM's."""
    return Reply(
        status=404,
        body={
            "code": "NotFound",
            "details": [{"code": "Unspecified", "message": "rpc error: code = NotFound desc = Agent Pool not found"}],
            "message": f"Could not find the agentpool: {call.parameters['pool']} in subscription:"
            f" {cluster.id.subscription}, resourceGroup: {cluster.id.group}, resourceName: {cluster.id.name}.",
            "subcode": "GetAgentPool_NotFound_HCPServerError",
        },
    )


def _last_system_pool() -> ArmError:
    return ArmError(
        400,
        "OperationNotAllowed",
        "There has to be at least one system agent pool. See https://aka.ms/aks/system-pools for more details.",
    )


def _refuse_stopped(cluster: Resource) -> None:
    if clusters.stopped(cluster):
        raise ArmError(
            400,
            "OperationNotAllowed",
            f"Managed cluster '{cluster.id.name}' is stopped, and its pools cannot be changed. Start it first"
            " (az aks start).",
        )
