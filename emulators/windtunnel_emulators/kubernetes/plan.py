"""What a cluster is to be: its version and its pools. ``Cluster`` brings the world in line with these values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """Nodes that are alike."""

    name: str
    count: int
    cpu: int
    memory_bytes: int
    version: str
    """Of its kubelets: ``1.34.4``."""
    instance_type: str
    image: str = ""
    """Of the system that a node has, as it is named; nodes are made anew when it changes."""
    pods: int = 110
    disk_gb: int = 128
    extended: Mapping[str, int] = field(default_factory=dict[str, int])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[tuple[str, str, str], ...] = ()
    """Key, value, effect."""
    bounds: tuple[int, int] | None = None
    """The fewest and the most nodes of a pool that scales itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """One cluster."""

    uid: str
    name: str
    version: str
    region: str
    pools: tuple[PoolPlan, ...]
    host: str
    """Its name on the internet, which its certificate has too."""
    service_cidr: str
    pod_cidr: str
    identity: str = ""
    """Client id of what its nodes pull images as."""
    autoscaler: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings of the cluster autoscaler, as AKS names them (``scale-down-unneeded-time``)."""
    provider: str = ""
    """What node's ``providerID`` begins with: the group of its machines."""


def node_name(plan: ClusterPlan, pool: str, index: int) -> str:
    """As AKS calls the machines of a scale set: pool, eight digits of the cluster, six digits to the base of 36."""
    digits = int.from_bytes(hashlib.sha256(plan.uid.encode()).digest()[:8]) % 100_000_000
    return f"aks-{pool}-{digits:08d}-vmss{_base36(index):0>6}"


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return text or "0"
