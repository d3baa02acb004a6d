"""What a node is, as its pool defines it, and the Node object it registers."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

KUBELET_PORT = 10250
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Keeps pods away that do not tolerate it."""

    key: str
    effect: str
    value: str = ""

    def to_json(self) -> JsonObject:
        return {"key": self.key, "effect": self.effect, **({"value": self.value} if self.value else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDefinition:
    """One node of a pool."""

    name: str
    address: str
    """Its loopback address: InternalIP, and where its kubelet API and node ports are."""
    cpu: int
    memory_bytes: int
    pods: int = 110
    ephemeral_storage_bytes: int = 128 * 1024**3
    extended: Mapping[str, int] = field(default_factory=dict[str, int])
    """Extended resources: ``{"microsoft.com/fpga_catapult": 1}``."""
    reserved_cpu_m: int | None = None
    """Millicores that are not for pods; None for what AKS reserves of that many cores."""
    reserved_memory_bytes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the pool; those that every node has are added."""
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    kubelet_port: int = KUBELET_PORT
    pod_cidr: str = "10.244.0.0/24"
    version: str = "v1.34.4"
    instance_type: str = "Standard_DS3_v2"
    region: str = "eastus"
    zone: str = "0"
    provider_id: str | None = None


def node_labels(definition: NodeDefinition) -> dict[str, str]:
    """Those of the pool and those that AKS puts on every node."""
    arch = architecture()
    labels = {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": definition.name,
        "node.kubernetes.io/instance-type": definition.instance_type,
        "beta.kubernetes.io/instance-type": definition.instance_type,
        "topology.kubernetes.io/region": definition.region,
        "failure-domain.beta.kubernetes.io/region": definition.region,
        "topology.kubernetes.io/zone": definition.zone,
        "failure-domain.beta.kubernetes.io/zone": definition.zone,
        "kubernetes.azure.com/role": "agent",
    }
    return {**labels, **definition.labels}


def capacity(definition: NodeDefinition) -> JsonObject:
    """What the node has."""
    resources: JsonObject = {
        "cpu": str(definition.cpu),
        "memory": f"{definition.memory_bytes // 1024}Ki",
        "ephemeral-storage": f"{definition.ephemeral_storage_bytes // 1024}Ki",
        "pods": str(definition.pods),
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }
    return {**resources, **{name: str(count) for name, count in definition.extended.items()}}


def allocatable(definition: NodeDefinition) -> JsonObject:
    """What of it is for pods."""
    reserved_m = definition.reserved_cpu_m
    reserved_m = reserved_cpu_m(definition.cpu) if reserved_m is None else reserved_m
    reserved = definition.reserved_memory_bytes
    reserved = reserved_memory_bytes(definition.memory_bytes, definition.pods) if reserved is None else reserved
    return {
        **capacity(definition),
        "cpu": f"{max(0, definition.cpu * 1000 - reserved_m)}m",
        "memory": f"{max(0, definition.memory_bytes - reserved) // 1024}Ki",
        # The kubelet's eviction threshold of nodefs: 10 %.
        "ephemeral-storage": str(definition.ephemeral_storage_bytes * 9 // 10),
    }


def reserved_cpu_m(cores: int) -> int:
    """Microsoft Learn, "Resource reservations in AKS": millicores by cores; the table's steps are lines between."""
    known = ((1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420), (64, 740))
    below = known[0]
    for count, reserved in known:
        if cores == count:
            return reserved
        if cores < count:
            share = (cores - below[0]) / (count - below[0])
            return round(below[1] + share * (reserved - below[1]))
        below = (count, reserved)
    return below[1] + (cores - below[0]) * 10


def reserved_memory_bytes(memory: int, pods: int) -> int:
    """The same page, Kubernetes 1.29 and later: 20 MB a pod and 50 MB, at most 25 %; eviction below 100 MB."""
    return min((20 * pods + 50) * _MIB, memory // 4) + 100 * _MIB


def architecture() -> str:
    """As Kubernetes calls this machine's processor."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def node_info(definition: NodeDefinition, machine_id: str, boot_id: str, runtime: str) -> JsonObject:
    """Of the machine that runs it, said honestly."""
    system = platform.uname()
    image = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if _has_release() else "Linux"
    return {
        "machineID": machine_id,
        "systemUUID": machine_id,
        "bootID": boot_id,
        "kernelVersion": system.release,
        "osImage": f"{image} (emulated by Windtunnel)",
        "containerRuntimeVersion": runtime,
        "kubeletVersion": definition.version,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def _has_release() -> bool:
    try:
        platform.freedesktop_os_release()
    except OSError:
        return False
    return True


def addresses(definition: NodeDefinition) -> list[Json]:
    """InternalIP and Hostname."""
    return [
        {"type": "InternalIP", "address": definition.address},
        {"type": "Hostname", "address": definition.name},
    ]
