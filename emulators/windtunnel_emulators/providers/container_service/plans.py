"""What a stored cluster asks of the machine: its resource as the plan that ``kubernetes.cluster`` follows."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.plan import ClusterPlan, PoolPlan

from . import pools, sizes

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.jsontypes import JsonObject


def uid_of(resource: Resource) -> str:
    """Of the cluster: another one when a cluster of the same name is made again."""
    return as_str(resource.properties.get("resourceUID"))


def plan_of(resource: Resource) -> ClusterPlan:
    """The cluster as it is stored."""
    properties = resource.properties
    network = as_object(properties.get("networkProfile"))
    group = as_str(properties.get("nodeResourceGroup"))
    return ClusterPlan(
        uid=uid_of(resource),
        name=resource.id.name,
        version=as_str(properties.get("currentKubernetesVersion")),
        region=resource.location or "",
        pools=tuple(_pool(as_object(pool), group) for pool in as_list(properties.get("agentPoolProfiles"))),
        host=as_str(properties.get("fqdn")),
        service_cidr=as_str(network.get("serviceCidr")),
        pod_cidr=as_str(network.get("podCidr")),
        provider=f"azure:///subscriptions/{resource.id.subscription}/resourceGroups/{group.lower()}/providers/"
        "Microsoft.Compute",
        autoscaler={k: as_str(v) for k, v in as_object(properties.get("autoScalerProfile")).items()},
        identity=as_str(as_object(as_object(properties.get("identityProfile")).get("kubeletidentity")).get("clientId")),
    )


def sweep(folder: Path, known: frozenset[str]) -> None:
    """Delete what clusters that are gone have left behind."""
    if folder.is_dir():
        for one in folder.iterdir():
            if one.name not in known:
                shutil.rmtree(one, ignore_errors=True)


def _pool(pool: JsonObject, group: str) -> PoolPlan:
    name = as_str(pool.get("name"))
    mode = as_str(pool.get("mode")).lower()
    size = sizes.sizes()[as_str(pool.get("vmSize")).lower()]
    spot = as_str(pool.get("scaleSetPriority")).lower() == "spot"
    labels = {
        "agentpool": name,
        "kubernetes.azure.com/agentpool": name,
        "kubernetes.azure.com/cluster": group,
        "kubernetes.azure.com/mode": mode,
        "kubernetes.azure.com/node-image-version": as_str(pool.get("nodeImageVersion")),
        "kubernetes.azure.com/nodepool-type": as_str(pool.get("type")),
        "kubernetes.azure.com/os-sku": as_str(pool.get("osSKU")),
        **({"kubernetes.azure.com/scalesetpriority": "spot"} if spot else {}),
        **{key: as_str(value) for key, value in as_object(pool.get("nodeLabels")).items()},
    }
    taints = pools.taints(pool)
    if spot:
        taints.append(("kubernetes.azure.com/scalesetpriority", "spot", "NoSchedule"))
    max_pods, disk = pool.get("maxPods"), pool.get("osDiskSizeGB")
    low, high = pool.get("minCount"), pool.get("maxCount")
    autoscaled = pool.get("enableAutoScaling") is True and isinstance(low, int) and isinstance(high, int)
    return PoolPlan(
        name=name,
        count=pools.nodes(pool),
        cpu=size.cores,
        memory_bytes=size.memory_bytes,
        version=as_str(pool.get("currentOrchestratorVersion")),
        instance_type=size.name,
        image=as_str(pool.get("nodeImageVersion")),
        pods=max_pods if isinstance(max_pods, int) else 110,
        disk_gb=disk if isinstance(disk, int) and disk > 0 else 128,
        extended=size.extended,
        labels=labels,
        taints=tuple(taints),
        bounds=(low, high) if autoscaled and isinstance(low, int) and isinstance(high, int) else None,
    )
