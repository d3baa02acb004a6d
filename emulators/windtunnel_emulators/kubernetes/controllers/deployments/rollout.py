"""How many replicas each replica set of a deployment should have next: surge, unavailability, proportions.

Pure: sizes in, sizes out. ``ReplicaCounts`` is what matters of a replica set here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a deployment allows: so many pods more than wanted, so many fewer available."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def maximum(self) -> int:
        return self.replicas + self.surge

    @property
    def minimum_available(self) -> int:
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCounts:
    """A replica set: how many it should have (spec), how many are available, and the order of its making."""

    name: str
    wanted: int
    available: int = 0
    created: str = ""
    maximum_before: int | None = None
    """The deployment's maximum when it was last scaled (the max-replicas annotation)."""


def share(value: Json, whole: int, *, up: bool) -> int:
    """``3`` or ``25%`` of the whole, rounded up or down; 0 for what is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        part = int(value[:-1]) * whole
        return -(-part // 100) if up else part // 100
    return 0


def bounds_of(deployment: JsonObject) -> Bounds:
    """Surge is rounded up, unavailability down; where both come to nothing, one may be unavailable."""
    replicas = number(deployment, "spec", "replicas", default=1)
    if text(deployment, "spec", "strategy", "type") == "Recreate":
        return Bounds(replicas=replicas, surge=0, unavailable=0)
    rolling = dig(deployment, "spec", "strategy", "rollingUpdate")
    surge = share(dig(rolling, "maxSurge"), replicas, up=True)
    unavailable = share(dig(rolling, "maxUnavailable"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas=replicas, surge=surge, unavailable=min(unavailable, replicas))


def new_size(bounds: Bounds, new: int, total: int) -> int:
    """The next size of the current replica set in a rolling update, where all together want ``total``."""
    if new >= bounds.replicas:
        return bounds.replicas
    if total >= bounds.maximum:
        return new
    return new + min(bounds.maximum - total, bounds.replicas - new)


def old_sizes(bounds: Bounds, new: ReplicaCounts, olds: Sequence[ReplicaCounts]) -> dict[str, int]:
    """The next sizes of the old ones in a rolling update: first what is not healthy goes, then as many of the others
    as may be missing. Only those that change are in the answer."""
    total = new.wanted + sum(each.wanted for each in olds)
    spare = total - bounds.minimum_available - max(new.wanted - new.available, 0)
    if spare <= 0:
        return {}
    ordered = sorted((each for each in olds if each.wanted > 0), key=lambda each: (each.created, each.name))
    sizes = {each.name: each.wanted for each in ordered}
    cleaned = 0
    for each in ordered:
        unhealthy = max(each.wanted - each.available, 0)
        gone = min(spare - cleaned, unhealthy)
        if gone > 0:
            sizes[each.name] -= gone
            cleaned += gone
    available = new.available + sum(each.available for each in olds)
    left = available - bounds.minimum_available
    for each in ordered:
        if left <= 0:
            break
        gone = min(sizes[each.name], left)
        sizes[each.name] -= gone
        left -= gone
    before = {each.name: each.wanted for each in ordered}
    return {name: size for name, size in sizes.items() if size != before[name]}


def proportional_sizes(
    bounds: Bounds, sets: Sequence[ReplicaCounts], deployed: int, *, rolling: bool = True
) -> dict[str, int]:
    """The sizes after the deployment was scaled in the middle of a rollout: each gets its share of the change, the
    largest the rest. ``deployed`` is the deployment's own status.replicas."""
    if not rolling:
        return {}
    living = [each for each in sets if each.wanted > 0]
    allowed = bounds.maximum if bounds.replicas > 0 else 0
    change = allowed - sum(each.wanted for each in living)
    # Newer first when growing, older first when shrinking, among those of one size.
    by_age = sorted(living, key=lambda each: each.created, reverse=change >= 0)
    ordered = sorted(by_age, key=lambda each: -each.wanted)
    sizes: dict[str, int] = {}
    given = 0
    for each in ordered:
        part = 0
        if change and change != given:
            part = _proportion(bounds, each, deployed)
            part = min(part, change - given) if change > 0 else max(part, change - given)
        sizes[each.name] = each.wanted + part
        given += part
    if ordered and change != given:
        first = ordered[0].name
        sizes[first] = max(sizes[first] + change - given, 0)
    return sizes


def _proportion(bounds: Bounds, each: ReplicaCounts, deployed: int) -> int:
    if bounds.replicas == 0:
        return -each.wanted
    before = each.maximum_before if each.maximum_before else deployed
    if before == 0:
        return 0
    return math.floor(each.wanted * bounds.maximum / before + 0.5) - each.wanted
