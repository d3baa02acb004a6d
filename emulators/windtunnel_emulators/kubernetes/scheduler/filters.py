"""Why a node cannot take a pod, in kube-scheduler 1.34's words. The first reason of a node is the one that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import entries, text
from windtunnel_emulators.kubernetes.scheduler.affinity import PodAffinity, node_matches, untolerated
from windtunnel_emulators.kubernetes.scheduler.nodes import NodeInfo, PodInfo, ports_clash
from windtunnel_emulators.kubernetes.scheduler.spread import Fit, Spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_NO_SCHEDULE = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reasons of one node. ``resolvable``: it might do once other pods are gone from it."""

    reasons: tuple[str, ...]
    resolvable: bool = False


class Filters:
    """The filters for one pod over one state of the cluster."""

    def __init__(self, pod: PodInfo, nodes: Sequence[NodeInfo], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self._pod = pod
        self._tolerations = entries(pod.pod, "spec", "tolerations")
        self._affinity = PodAffinity(pod, nodes, namespaces)
        self._spread = Spread(pod, nodes)

    def refusal(self, node: NodeInfo, nominated: Iterable[PodInfo] = ()) -> Refusal | None:
        """Why not on this node; None where it can be. ``nominated`` pods are counted as if they were there."""
        pod = self._pod
        wanted = text(pod.pod, "spec", "nodeName")
        if node.unschedulable and untolerated(self._tolerations, [{**UNSCHEDULABLE_TAINT}], _NO_SCHEDULE):
            return Refusal(("node(s) were unschedulable",))
        if wanted and wanted != node.name:
            return Refusal(("node(s) didn't match the requested node name",))
        if untolerated(self._tolerations, node.taints, _NO_SCHEDULE) is not None:
            return Refusal(("node(s) had untolerated taint(s)",))
        if not node_matches(pod.pod, node.labels, node.name):
            return Refusal(("node(s) didn't match Pod's node affinity/selector",))
        if pod.ports and any(ports_clash(pod.ports, other.ports) for other in node.pods.values()):
            return Refusal(("node(s) didn't have free ports for the requested pod ports",), resolvable=True)
        return self._resources(node, list(nominated)) or self._neighbours(node)

    def _resources(self, node: NodeInfo, nominated: Sequence[PodInfo]) -> Refusal | None:
        reasons: list[str] = []
        resolvable = True
        if len(node.pods) + len(nominated) + 1 > node.allocatable.get("pods", 0) // 1000:
            reasons.append("Too many pods")
        for resource, asked in sorted(self._pod.requests.items(), key=lambda each: _order(each[0])):
            if asked <= 0:
                continue
            has = node.allocatable.get(resource, 0)
            used = node.requested.get(resource, 0) + sum(each.requests.get(resource, 0) for each in nominated)
            if asked > has - used:
                reasons.append(f"Insufficient {resource}")
                resolvable = resolvable and asked <= has
        return Refusal(tuple(reasons), resolvable) if reasons else None

    def _neighbours(self, node: NodeInfo) -> Refusal | None:
        match self._spread.fit(node):
            case Fit.UNLABELLED:
                return Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",))
            case Fit.SKEWED:
                return Refusal(("node(s) didn't match pod topology spread constraints",), resolvable=True)
            case Fit.FITS:
                pass
        if not self._affinity.satisfied(node):
            return Refusal(("node(s) didn't match pod affinity rules",))
        if not self._affinity.kept_apart(node):
            return Refusal(("node(s) didn't match pod anti-affinity rules",), resolvable=True)
        if self._affinity.refused(node):
            return Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), resolvable=True)
        return None


def _order(resource: str) -> tuple[int, str]:
    known = ("cpu", "memory", "ephemeral-storage")
    return (known.index(resource) if resource in known else len(known), resource)
