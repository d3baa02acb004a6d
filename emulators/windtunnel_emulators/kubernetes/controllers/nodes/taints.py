"""The taints that a node's conditions call for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import condition, dig, entries, flag, text, timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()})


def readiness_taint(node: JsonObject) -> str | None:
    """not-ready, unreachable, or none. A node that never reported is not ready."""
    found = condition(node, "Ready")
    status = "False" if found is None else text(found, "status")
    return {"True": None, "False": NOT_READY}.get(status, UNREACHABLE)


def taints_for(node: JsonObject, *, evict: bool, now: datetime) -> list[JsonObject]:
    """All its taints as they should be. ``evict`` says whether pods may be evicted of it (not where all nodes fail:
    then the fault is more likely here). Those of others are left alone."""
    wanted: list[tuple[str, str]] = []
    unready = readiness_taint(node)
    if flag(node, "spec", "unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    for type_, key in _PRESSURES.items():
        found = condition(node, type_)
        if found is not None and found.get("status") == "True":
            wanted.append((key, "NoSchedule"))
    if unready is not None:
        wanted.append((unready, "NoSchedule"))
        if evict and condition(node, "Ready") is not None:
            wanted.append((unready, "NoExecute"))
    known = entries(node, "spec", "taints")
    kept = [
        each for each in known if each.get("key") not in _OURS or (text(each, "key"), text(each, "effect")) in wanted
    ]
    have = {(text(each, "key"), text(each, "effect")) for each in kept}
    for key, effect in wanted:
        if (key, effect) not in have:
            kept.append({"key": key, "effect": effect, "timeAdded": timestamp(now)})
    return kept


def tolerated_for(pod: JsonObject, taints: list[JsonObject]) -> float | None:
    """How long a pod may stay with these NoExecute taints, in seconds: 0 for not at all, None for ever."""
    from windtunnel_emulators.kubernetes.scheduler.affinity import tolerates

    least: float | None = None
    for taint in taints:
        matching = [each for each in entries(pod, "spec", "tolerations") if tolerates(each, taint)]
        if not matching:
            return 0.0
        limits = [value for each in matching if isinstance(value := dig(each, "tolerationSeconds"), int)]
        if limits:
            allowed = float(max(min(limits), 0))
            least = allowed if least is None else min(least, allowed)
    return least
