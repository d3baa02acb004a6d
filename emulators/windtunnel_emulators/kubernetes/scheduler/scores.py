"""Which of the nodes that can take a pod is best: each score 0 to 100, with kube-scheduler's weights. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import controller_of, entries, mapping, number, text
from windtunnel_emulators.kubernetes.scheduler.affinity import (
    PREFERRED,
    node_term_matches,
    preferred_pods,
    tolerates,
)
from windtunnel_emulators.kubernetes.scheduler.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.kubernetes.scheduler.nodes import NodeInfo, PodInfo

_BEST = 100.0


def best(
    pod: PodInfo,
    fitting: Sequence[NodeInfo],
    every: Sequence[NodeInfo],
    namespaces: Mapping[str, Mapping[str, str]],
) -> NodeInfo:
    """The node with the highest score; of equals the one with fewer pods, then the first by name."""
    if len(fitting) == 1:
        return fitting[0]
    totals = {node.name: _resources(pod, node) for node in fitting}
    taints = {node.name: float(_avoided(pod, node)) for node in fitting}
    _weigh(totals, taints, 3, reverse=True)
    _weigh(totals, {node.name: float(_preferred(pod, node)) for node in fitting}, 2)
    near = preferred_pods(pod, every, namespaces)
    _weigh(totals, {node.name: float(near[node.name]) for node in fitting}, 2, span=True)
    spread = Spread(pod, every, hard=False)
    crowds = {node.name: float(spread.crowd(node) if spread.any else _siblings(pod, node)) for node in fitting}
    _weigh(totals, crowds, 2, reverse=True, span=True)
    return min(fitting, key=lambda node: (-round(totals[node.name], 6), len(node.pods), node.name))


def _weigh(
    totals: dict[str, float], values: Mapping[str, float], weight: int, *, reverse: bool = False, span: bool = False
) -> None:
    """Add the values, brought to 0..100: by their largest, or by the span between smallest and largest."""
    high = max(values.values())
    low = min(values.values()) if span else 0.0
    if high == low:
        return
    for name, value in values.items():
        share = (value - low) / (high - low) * _BEST
        totals[name] += weight * (_BEST - share if reverse else share)


def _resources(pod: PodInfo, node: NodeInfo) -> float:
    """Least allocated and balanced allocation of processor and memory."""
    shares: list[float] = []
    free = 0.0
    for resource in ("cpu", "memory"):
        has = node.allocatable.get(resource, 0)
        if has <= 0:
            continue
        used = node.scored.get(resource, 0) + pod.scored.get(resource, 0)
        free += max(has - used, 0) / has * _BEST
        asked = node.requested.get(resource, 0) + pod.requests.get(resource, 0)
        shares.append(min(asked / has, 1.0))
    if not shares:
        return 0.0
    balance = (1 - abs(shares[0] - shares[1]) / 2) * _BEST if len(shares) == 2 else _BEST
    return free / len(shares) + balance


def _avoided(pod: PodInfo, node: NodeInfo) -> int:
    tolerations = entries(pod.pod, "spec", "tolerations")
    return sum(
        1
        for taint in node.taints
        if text(taint, "effect") == "PreferNoSchedule" and not any(tolerates(each, taint) for each in tolerations)
    )


def _preferred(pod: PodInfo, node: NodeInfo) -> int:
    return sum(
        number(each, "weight")
        for each in entries(pod.pod, "spec", "affinity", "nodeAffinity", PREFERRED)
        if node_term_matches(mapping(each, "preference"), node.labels, node.name)
    )


def _siblings(pod: PodInfo, node: NodeInfo) -> int:
    """Pods of the same controller there."""
    owner = controller_of(pod.pod)
    if owner is None:
        return 0
    uid = text(owner, "uid")
    return sum(
        1
        for other in node.pods.values()
        if (theirs := controller_of(other.pod)) is not None and text(theirs, "uid") == uid
    )
