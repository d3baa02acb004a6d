"""One pod's turn: the node it gets, or why none, and what preemption could do. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, parse_time, text
from windtunnel_emulators.kubernetes.scheduler.affinity import named_nodes
from windtunnel_emulators.kubernetes.scheduler.filters import Filters, Refusal
from windtunnel_emulators.kubernetes.scheduler.scores import best

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windtunnel_emulators.kubernetes.scheduler.nodes import NodeInfo, PodInfo

NO_NODES = "no nodes available to schedule pods"
_NO_CLAIMS = "no new claims to deallocate"
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Placed:
    """The pod's node."""

    node: str


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Why it has none."""

    message: str
    nominated: str = ""
    """The node that will have room once the victims are gone."""
    victims: tuple[PodInfo, ...] = ()


def place(
    pod: PodInfo,
    nodes: Sequence[NodeInfo],
    namespaces: Mapping[str, Mapping[str, str]],
    nominated: Mapping[str, Sequence[PodInfo]],
    *,
    problem: str = "",
) -> Placed | Unplaced:
    """Find it a node. ``nominated`` are the pods that others are being removed for, by node; those of no less
    priority count as being there. ``problem`` is what keeps it from any node (a claim that is not there)."""
    if not nodes:
        return Unplaced(NO_NODES)
    if problem:
        return Unplaced(f"0/{len(nodes)} nodes are available: {problem}. not found")
    filters = Filters(pod, nodes, namespaces)
    named = named_nodes(pod.pod)
    if named is not None and not any(node.name in named for node in nodes):
        count = len(nodes)
        said = f"0/{count} nodes are available: {count} node(s) didn't satisfy plugin(s) [NodeAffinity]."
        refused = {node.name: Refusal(()) for node in nodes}
        return Unplaced(f"{said} {_preemption_said(nodes, refused)}")
    refusals: dict[str, Refusal] = {}
    fitting: list[NodeInfo] = []
    for node in nodes:
        others = [
            each for each in nominated.get(node.name, ()) if each.uid != pod.uid and each.priority >= pod.priority
        ]
        refusal = filters.refusal(node, others)
        if refusal is None:
            fitting.append(node)
        else:
            refusals[node.name] = refusal
    if fitting:
        return Placed(best(pod, fitting, nodes, namespaces).name)
    said = f"0/{len(nodes)} nodes are available: {_histogram(r for each in refusals.values() for r in each.reasons)}."
    if text(pod.pod, "spec", "preemptionPolicy") == "Never":
        return Unplaced(f"{said} {_NO_CLAIMS}, preemption: not eligible due to preemptionPolicy=Never.")
    chosen = _preempt(pod, nodes, namespaces, refusals)
    if chosen is not None:
        return Unplaced(said, nominated=chosen[0], victims=chosen[1])
    return Unplaced(f"{said} {_preemption_said(nodes, refusals)}")


def _histogram(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in Counter(reasons).items()))


def _preemption_said(nodes: Sequence[NodeInfo], refusals: Mapping[str, Refusal]) -> str:
    said = _histogram(_NO_VICTIMS if each.resolvable else _NOT_HELPFUL for each in refusals.values())
    return f"{_NO_CLAIMS}, preemption: 0/{len(nodes)} nodes are available: {said}."


def _preempt(
    pod: PodInfo,
    nodes: Sequence[NodeInfo],
    namespaces: Mapping[str, Mapping[str, str]],
    refusals: Mapping[str, Refusal],
) -> tuple[str, tuple[PodInfo, ...]] | None:
    """The node and the pods to remove from it: those of the least priority, and as few as will do."""
    candidates: list[tuple[tuple[object, ...], str, tuple[PodInfo, ...]]] = []
    for node in nodes:
        if not refusals[node.name].resolvable:
            continue
        victims = _victims(pod, node, nodes, namespaces)
        if victims:
            priorities = [each.priority for each in victims]
            highest = max(priorities)
            latest = min(_started(each) for each in victims if each.priority == highest)
            candidates.append(((highest, sum(priorities), len(victims), -latest, node.name), node.name, victims))
    if not candidates:
        return None
    _, name, victims = min(candidates, key=lambda each: each[0])
    return name, victims


def _victims(
    pod: PodInfo, node: NodeInfo, nodes: Sequence[NodeInfo], namespaces: Mapping[str, Mapping[str, str]]
) -> tuple[PodInfo, ...]:
    lower = [each for each in node.pods.values() if each.priority < pod.priority]
    if not lower or not _fits(pod, node, {each.uid for each in lower}, nodes, namespaces):
        return ()
    gone = {each.uid for each in lower}
    # The most important are spared first.
    for each in sorted(lower, key=lambda info: (-info.priority, _started(info))):
        if _fits(pod, node, gone - {each.uid}, nodes, namespaces):
            gone.discard(each.uid)
    return tuple(each for each in lower if each.uid in gone)


def _fits(
    pod: PodInfo,
    node: NodeInfo,
    gone: set[str],
    nodes: Sequence[NodeInfo],
    namespaces: Mapping[str, Mapping[str, str]],
) -> bool:
    emptier = node.without(gone)
    world = [emptier if each.name == node.name else each for each in nodes]
    return Filters(pod, world, namespaces).refusal(emptier) is None


def _started(info: PodInfo) -> float:
    moment = parse_time(dig(info.pod, "status", "startTime")) or parse_time(
        dig(info.pod, "metadata", "creationTimestamp")
    )
    return 0.0 if moment is None else moment.timestamp()
