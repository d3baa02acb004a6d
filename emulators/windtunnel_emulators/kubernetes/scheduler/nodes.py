"""The nodes of a cluster as a scheduler sees them: what each has, what its pods ask for. Amounts are in thousandths."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    entries,
    flag,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.controllers.pods import finished
from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windtunnel_emulators.jsontypes import JsonObject

Amounts = dict[str, int]
PortUse = tuple[str, str, int]
"""(host address, protocol, port)"""

# What scores count for a container that asks for nothing (kube-scheduler, util.GetNonzeroRequests).
_DEFAULT_MILLI = {"cpu": 100, "memory": 200 * 1024 * 1024 * 1000}


def amounts(resources: Mapping[str, object]) -> Amounts:
    """Quantities by resource, in thousandths; what is none counts as nothing."""
    found: Amounts = {}
    for resource, value in resources.items():
        try:
            found[resource] = read(value).milli
        except QuantityError:
            continue
    return found


def requests_of(pod: JsonObject, *, for_scores: bool = False) -> Amounts:
    """What the pod asks for: its containers and sidecars together, or its largest init container if that is more;
    and the overhead of its runtime class. ``for_scores`` counts a little for containers that ask for nothing."""
    total: Amounts = {}
    sidecars: Amounts = {}
    largest: Amounts = {}
    for container in entries(pod, "spec", "containers"):
        _add(total, _container(container, for_scores))
    for container in entries(pod, "spec", "initContainers"):
        asked = _container(container, for_scores)
        if text(container, "restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = dict(sidecars)
        else:
            _add(asked, sidecars)
        _raise_to(largest, asked)
    _add(total, sidecars)
    _raise_to(total, largest)
    for resource, value in amounts(mapping(pod, "spec", "resources", "requests")).items():
        total[resource] = value
    _add(total, amounts(mapping(pod, "spec", "overhead")))
    return total


def _container(container: JsonObject, for_scores: bool) -> Amounts:
    asked = amounts(mapping(container, "resources", "requests"))
    if for_scores:
        for resource, value in _DEFAULT_MILLI.items():
            asked.setdefault(resource, value)
    return asked


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for resource, value in least.items():
        total[resource] = max(total.get(resource, 0), value)


def host_ports(pod: JsonObject) -> set[PortUse]:
    used: set[PortUse] = set()
    for container in entries(pod, "spec", "containers"):
        for port in entries(container, "ports"):
            if number(port, "hostPort"):
                address = text(port, "hostIP", default="0.0.0.0") or "0.0.0.0"  # noqa: S104  # compared, not bound
                used.add((address, text(port, "protocol", default="TCP"), number(port, "hostPort")))
    return used


def ports_clash(wanted: Iterable[PortUse], used: Iterable[PortUse]) -> bool:
    """The same port and protocol, at one address or at all of them."""
    taken: dict[tuple[str, int], set[str]] = {}
    for address, protocol, port in used:
        taken.setdefault((protocol, port), set()).add(address)
    for address, protocol, port in wanted:
        at = taken.get((protocol, port))
        if at and (address == "0.0.0.0" or address in at or "0.0.0.0" in at):  # noqa: S104  # compared, not bound
            return True
    return False


@dataclass(frozen=True, slots=True)
class PodInfo:
    """A pod, with what is asked of it again and again worked out once."""

    pod: JsonObject = field(repr=False)
    key: str
    uid: str
    namespace: str
    labels: dict[str, str]
    priority: int
    requests: Amounts
    scored: Amounts
    ports: frozenset[PortUse]
    anti_affinity: tuple[JsonObject, ...]

    @classmethod
    def of(cls, pod: JsonObject) -> PodInfo:
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        return cls(
            pod=pod,
            key=key_of(pod),
            uid=uid_of(pod),
            namespace=namespace_of(pod),
            labels=labels_of(pod),
            priority=number(pod, "spec", "priority"),
            requests=requests_of(pod),
            scored=requests_of(pod, for_scores=True),
            ports=frozenset(host_ports(pod)),
            anti_affinity=tuple(entries(pod, "spec", "affinity", "podAntiAffinity", required)),
        )


@dataclass(slots=True)
class NodeInfo:
    """A node and the pods on it, with their sums."""

    name: str
    node: JsonObject | None = field(default=None, repr=False)
    labels: dict[str, str] = field(default_factory=dict[str, str])
    taints: list[JsonObject] = field(default_factory=list["JsonObject"])
    unschedulable: bool = False
    allocatable: Amounts = field(default_factory=dict[str, int])
    pods: dict[str, PodInfo] = field(default_factory=dict[str, PodInfo])
    requested: Amounts = field(default_factory=dict[str, int])
    scored: Amounts = field(default_factory=dict[str, int])

    def describe(self, node: JsonObject) -> None:
        self.node = node
        self.labels = labels_of(node)
        self.taints = entries(node, "spec", "taints")
        self.unschedulable = flag(node, "spec", "unschedulable")
        self.allocatable = amounts(mapping(node, "status", "allocatable"))

    def add(self, info: PodInfo) -> None:
        self.remove(info.uid)
        self.pods[info.uid] = info
        _add(self.requested, info.requests)
        _add(self.scored, info.scored)

    def remove(self, uid: str) -> PodInfo | None:
        info = self.pods.pop(uid, None)
        if info is not None:
            _add(self.requested, {resource: -value for resource, value in info.requests.items()})
            _add(self.scored, {resource: -value for resource, value in info.scored.items()})
        return info

    def without(self, uids: Iterable[str]) -> NodeInfo:
        """The same node without these pods."""
        copy = NodeInfo(
            name=self.name,
            node=self.node,
            labels=self.labels,
            taints=self.taints,
            unschedulable=self.unschedulable,
            allocatable=self.allocatable,
            pods=dict(self.pods),
            requested=dict(self.requested),
            scored=dict(self.scored),
        )
        for uid in uids:
            copy.remove(uid)
        return copy


class Cluster:
    """All nodes, kept current pod by pod."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._places: dict[str, str] = {}

    def nodes(self) -> list[NodeInfo]:
        """The nodes that exist, in order of their names."""
        return [self._nodes[name] for name in sorted(self._nodes) if self._nodes[name].node is not None]

    def node(self, name: str) -> NodeInfo | None:
        return self._nodes.get(name)

    def put_node(self, node: JsonObject) -> None:
        self._nodes.setdefault(name_of(node), NodeInfo(name_of(node))).describe(node)

    def remove_node(self, name: str) -> None:
        found = self._nodes.get(name)
        if found is not None:
            found.node = None
            if not found.pods:
                del self._nodes[name]

    def place(self, pod: JsonObject, node: str) -> None:
        """The pod is on that node, or about to be."""
        uid = uid_of(pod)
        before = self._places.get(uid)
        if before is not None and before != node:
            self.remove_pod(uid)
        if finished(pod):
            self.remove_pod(uid)
            return
        self._nodes.setdefault(node, NodeInfo(node)).add(PodInfo.of(pod))
        self._places[uid] = node

    def remove_pod(self, uid: str) -> None:
        node = self._places.pop(uid, None)
        found = None if node is None else self._nodes.get(node)
        if found is not None:
            found.remove(uid)
            if found.node is None and not found.pods:
                del self._nodes[found.name]
