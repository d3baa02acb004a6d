"""Whether a node has room for a pod, asked again by the node itself as a pod may be bound without a scheduler."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, entries, mapping, text
from windtunnel_emulators.kubernetes.objects.quantities import read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import JsonObject

Amounts = dict[str, Decimal]


def requests(pod: JsonObject) -> Amounts:
    """What a pod asks for: its containers together, or an init container and the sidecars before it."""
    total: Amounts = {}
    for container in entries(pod, "spec", "containers"):
        total = _sum(total, _asked(container))
    beside: Amounts = {}
    most: Amounts = {}
    for init in entries(pod, "spec", "initContainers"):
        asked = _asked(init)
        if text(init, "restartPolicy") == "Always":
            beside = _sum(beside, asked)
            most = _greater(most, beside)
        else:
            most = _greater(most, _sum(beside, asked))
    found = _greater(_sum(total, beside), most)
    overhead = {name: read(value).amount for name, value in mapping(pod, "spec", "overhead").items()}
    return _sum(found, overhead)


def refusal(pod: JsonObject, others: Iterable[JsonObject], allocatable: JsonObject) -> tuple[str, str] | None:
    """(reason, message) for a pod that the node has no room for beside the others."""
    running = list(others)
    used: Amounts = {"pods": Decimal(len(running))}
    for other in running:
        used = _sum(used, requests(other))
    for name, amount in {**requests(pod), "pods": Decimal(1)}.items():
        if amount == 0:
            continue
        capacity = read(allocatable.get(name, "0")).amount
        if used.get(name, Decimal(0)) + amount > capacity:
            scale = 1000 if name == "cpu" else 1
            numbers = (int(n * scale) for n in (amount, used.get(name, Decimal(0)), capacity))
            asked, taken, whole = numbers
            return f"OutOf{name}", (
                f"Node didn't have enough resource: {name}, requested: {asked}, used: {taken}, capacity: {whole}"
            )
    return None


def _asked(container: JsonObject) -> Amounts:
    return {name: read(value).amount for name, value in mapping(dig(container, "resources"), "requests").items()}


def _sum(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in {**one, **other}}


def _greater(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in {**one, **other}}
