"""What pods say of nodes and of one another: node affinity, tolerations, pod affinity and anti-affinity. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, entries, mapping, strings, text, words
from windtunnel_emulators.kubernetes.client.selectors import matches, requirement_holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.scheduler.nodes import NodeInfo, PodInfo

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

Namespaces = "Mapping[str, Mapping[str, str]]"
"""The labels of each namespace."""


def node_term_matches(term: JsonObject, labels: Mapping[str, str], name: str) -> bool:
    """One node selector term; an empty one matches nothing."""
    expressions, fields = entries(term, "matchExpressions"), entries(term, "matchFields")
    if not expressions and not fields:
        return False
    return all(requirement_holds(each, labels) for each in expressions) and all(
        requirement_holds(each, {"metadata.name": name}) for each in fields
    )


def node_matches(pod: JsonObject, labels: Mapping[str, str], name: str) -> bool:
    """The pod's nodeSelector and required node affinity."""
    wanted = strings(pod, "spec", "nodeSelector")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    required = dig(pod, "spec", "affinity", "nodeAffinity", REQUIRED)
    if required is None:
        return True
    return any(node_term_matches(term, labels, name) for term in entries(required, "nodeSelectorTerms"))


def named_nodes(pod: JsonObject) -> set[str] | None:
    """The only nodes that can match, where every term of the required affinity names nodes; else None."""
    required = dig(pod, "spec", "affinity", "nodeAffinity", REQUIRED)
    if required is None:
        return None
    named: set[str] = set()
    for term in entries(required, "nodeSelectorTerms"):
        found: set[str] | None = None
        for each in entries(term, "matchFields"):
            if text(each, "key") == "metadata.name" and text(each, "operator") == "In":
                values = set(words(each, "values"))
                found = values if found is None else found & values
        if found is None:
            return None
        named |= found
    return named


def tolerates(toleration: JsonObject, taint: JsonObject) -> bool:
    effect, key = text(toleration, "effect"), text(toleration, "key")
    if effect and effect != text(taint, "effect"):
        return False
    if key and key != text(taint, "key"):
        return False
    if text(toleration, "operator") == "Exists":
        return True
    return bool(key) and text(toleration, "value") == text(taint, "value")


def untolerated(
    tolerations: Sequence[JsonObject], taints: Iterable[JsonObject], effects: frozenset[str]
) -> JsonObject | None:
    """The first taint of one of these effects that nothing tolerates."""
    for taint in taints:
        if text(taint, "effect") in effects and not any(tolerates(each, taint) for each in tolerations):
            return taint
    return None


def term_selects(
    term: JsonObject, owner_namespace: str, other: PodInfo, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether a pod (anti-)affinity term of a pod in ``owner_namespace`` is about ``other``."""
    named, selector = words(term, "namespaces"), term.get("namespaceSelector")
    if named or selector is not None:
        inside = other.namespace in named or (
            selector is not None and matches(selector, namespaces.get(other.namespace, {}))
        )
    else:
        inside = other.namespace == owner_namespace
    return inside and matches(term.get("labelSelector"), other.labels)


class PodAffinity:
    """The required pod affinities that decide about one pod, counted over all nodes once."""

    def __init__(self, pod: PodInfo, nodes: Iterable[NodeInfo], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self._pod = pod
        self._affinity = entries(pod.pod, "spec", "affinity", "podAffinity", REQUIRED)
        self._anti = list(pod.anti_affinity)
        self._near: list[set[str]] = [set() for _ in self._affinity]
        self._apart: list[set[str]] = [set() for _ in self._anti]
        self._refused: set[tuple[str, str]] = set()
        self._first = bool(self._affinity)
        for node in nodes:
            for other in node.pods.values():
                self._count(node, other, namespaces)
        # The first of a group that wants to be near itself may be anywhere.
        self._first = self._first and all(term_selects(term, pod.namespace, pod, namespaces) for term in self._affinity)

    def _count(self, node: NodeInfo, other: PodInfo, namespaces: Mapping[str, Mapping[str, str]]) -> None:
        pod = self._pod
        if self._affinity and all(term_selects(t, pod.namespace, other, namespaces) for t in self._affinity):
            # Terms count pods that match all of them.
            for values, term in zip(self._near, self._affinity, strict=True):
                topology = node.labels.get(text(term, "topologyKey"))
                if topology is not None:
                    values.add(topology)
                    self._first = False
        for values, term in zip(self._apart, self._anti, strict=True):
            topology = node.labels.get(text(term, "topologyKey"))
            if topology is not None and term_selects(term, pod.namespace, other, namespaces):
                values.add(topology)
        for term in other.anti_affinity:
            key = text(term, "topologyKey")
            topology = node.labels.get(key)
            if topology is not None and term_selects(term, other.namespace, pod, namespaces):
                self._refused.add((key, topology))

    def satisfied(self, node: NodeInfo) -> bool:
        for values, term in zip(self._near, self._affinity, strict=True):
            topology = node.labels.get(text(term, "topologyKey"))
            if topology is None or (topology not in values and not self._first):
                return False
        return True

    def kept_apart(self, node: NodeInfo) -> bool:
        """None of the pods it wants to be apart from is near."""
        return all(
            node.labels.get(text(term, "topologyKey")) not in values
            for values, term in zip(self._apart, self._anti, strict=True)
        )

    def refused(self, node: NodeInfo) -> bool:
        """A pod that is near wants to be apart from it."""
        return any(node.labels.get(key) == value for key, value in self._refused)


def preferred_pods(
    pod: PodInfo, nodes: Sequence[NodeInfo], namespaces: Mapping[str, Mapping[str, str]]
) -> dict[str, int]:
    """The weight of preferred pod affinities for each node, by name; those of the pods there count too."""
    sums: dict[tuple[str, str], int] = {}

    def count(node: NodeInfo, term: JsonObject, weight: int) -> None:
        key = text(term, "topologyKey")
        if key in node.labels:
            place = (key, node.labels[key])
            sums[place] = sums.get(place, 0) + weight

    own = _weighted(pod.pod)
    for node in nodes:
        for other in node.pods.values():
            for term, weight in own:
                if term_selects(term, pod.namespace, other, namespaces):
                    count(node, term, weight)
            if mapping(other.pod, "spec", "affinity"):
                for term, weight in _weighted(other.pod):
                    if term_selects(term, other.namespace, pod, namespaces):
                        count(node, term, weight)
    return {
        node.name: sum(weight for (key, value), weight in sums.items() if node.labels.get(key) == value)
        for node in nodes
    }


def _weighted(pod: JsonObject) -> list[tuple[JsonObject, int]]:
    found: list[tuple[JsonObject, int]] = []
    for part, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for each in entries(pod, "spec", "affinity", part, PREFERRED):
            weight = each.get("weight")
            if isinstance(weight, int):
                found.append((mapping(each, "podAffinityTerm"), sign * weight))
    return found
