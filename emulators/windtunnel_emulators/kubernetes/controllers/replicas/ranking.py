"""Which pods go first when there are too many: the rules of the ReplicaSet documentation, in its order."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, parse_time, text
from windtunnel_emulators.kubernetes.controllers.pods import active, deletion_cost, ready, ready_since, restarts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def to_delete(pods: Sequence[JsonObject], count: int, related: Iterable[JsonObject], now: datetime) -> list[JsonObject]:
    """The ``count`` pods to delete. ``related`` are the pods of all siblings: of pods on the same node the more
    crowded go first."""
    crowd = Counter(text(each, "spec", "nodeName") for each in related if active(each))

    def order(pod: JsonObject) -> tuple[object, ...]:
        node = text(pod, "spec", "nodeName")
        created = parse_time(dig(pod, "metadata", "creationTimestamp")) or now
        return (
            1 if node else 0,
            _PHASES.get(text(pod, "status", "phase"), 0),
            1 if ready(pod) else 0,
            deletion_cost(pod),
            -crowd[node],
            _age_class(ready_since(pod), now),
            -restarts(pod),
            _age_class(created, now),
            text(pod, "metadata", "uid"),
        )

    return sorted(pods, key=order)[:count]


def _age_class(since: datetime | None, now: datetime) -> int:
    """Ages compared by their order of magnitude (base 2), so that pods of about one age are picked at random."""
    if since is None:
        return -1
    age = max((now - since).total_seconds(), 0.0)
    return 0 if age < 1 else 1 + int(math.log2(age))
