"""Topology spread constraints: how evenly pods alike lie over zones or nodes. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import deleting, entries, labels_of, number, text, words
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.scheduler.affinity import node_matches, untolerated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.scheduler.nodes import NodeInfo, PodInfo

_HARD = "DoNotSchedule"
_NO_SCHEDULE = frozenset({"NoSchedule", "NoExecute"})


class Fit(StrEnum):
    """What a node is to the constraints."""

    FITS = "fits"
    SKEWED = "skewed"
    UNLABELLED = "unlabelled"


class Spread:
    """The constraints of one pod of the given severity, counted over all nodes once."""

    def __init__(self, pod: PodInfo, nodes: Sequence[NodeInfo], *, hard: bool = True) -> None:
        self._constraints = [
            each
            for each in entries(pod.pod, "spec", "topologySpreadConstraints")
            if (text(each, "whenUnsatisfiable", default=_HARD) == _HARD) is hard
        ]
        self._own = [self._selects(each, pod, pod) for each in self._constraints]
        keys = [text(each, "topologyKey") for each in self._constraints]
        self._counts: list[dict[str, int]] = [{} for _ in self._constraints]
        if not self._constraints:
            return
        for node in nodes:
            if any(key not in node.labels for key in keys):
                continue
            for counts, constraint, key in zip(self._counts, self._constraints, keys, strict=True):
                if not _counted(constraint, pod.pod, node):
                    continue
                matching = sum(
                    1
                    for other in node.pods.values()
                    if self._selects(constraint, pod, other) and not deleting(other.pod)
                )
                counts[node.labels[key]] = counts.get(node.labels[key], 0) + matching

    @staticmethod
    def _selects(constraint: JsonObject, pod: PodInfo, other: PodInfo) -> bool:
        if other.namespace != pod.namespace or not matches(constraint.get("labelSelector"), other.labels):
            return False
        mine: Mapping[str, str] = labels_of(pod.pod)
        return all(other.labels.get(key) == mine[key] for key in words(constraint, "matchLabelKeys") if key in mine)

    def fit(self, node: NodeInfo) -> Fit:
        for own, counts, constraint in zip(self._own, self._counts, self._constraints, strict=True):
            value = node.labels.get(text(constraint, "topologyKey"))
            if value is None:
                return Fit.UNLABELLED
            # With fewer domains than minDomains the emptiest counts as empty.
            few = len(counts) < number(constraint, "minDomains", default=1)
            least = 0 if few else min(counts.values(), default=0)
            if counts.get(value, 0) + own - least > number(constraint, "maxSkew", default=1):
                return Fit.SKEWED
        return Fit.FITS

    def crowd(self, node: NodeInfo) -> int:
        """How many pods alike share its domains: fewer is better."""
        total = 0
        for counts, constraint in zip(self._counts, self._constraints, strict=True):
            value = node.labels.get(text(constraint, "topologyKey"))
            total += counts.get(value, 0) if value is not None else max(counts.values(), default=0) + 1
        return total

    @property
    def any(self) -> bool:
        return bool(self._constraints)


def _counted(constraint: JsonObject, pod: JsonObject, node: NodeInfo) -> bool:
    """Whether the node's domain takes part: by affinity it does unless told otherwise, by taints the other way."""
    honours_affinity = text(constraint, "nodeAffinityPolicy", default="Honor") == "Honor"
    if honours_affinity and not node_matches(pod, node.labels, node.name):
        return False
    honours_taints = text(constraint, "nodeTaintsPolicy", default="Ignore") == "Honor"
    return not (
        honours_taints and untolerated(entries(pod, "spec", "tolerations"), node.taints, _NO_SCHEDULE) is not None
    )
