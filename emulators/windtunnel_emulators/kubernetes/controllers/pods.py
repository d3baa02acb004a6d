"""What controllers ask of pods: active, ready, available; and the pod a template makes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    condition,
    deleting,
    dig,
    entries,
    mapping,
    name_of,
    number,
    owner_reference,
    parse_time,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Kind


def finished(pod: JsonObject) -> bool:
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def active(pod: JsonObject) -> bool:
    """It runs or will run: neither finished nor being deleted."""
    return not finished(pod) and not deleting(pod)


def ready(pod: JsonObject) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


def ready_since(pod: JsonObject) -> datetime | None:
    found = condition(pod, "Ready")
    return parse_time(found.get("lastTransitionTime")) if found and found.get("status") == "True" else None


def available(pod: JsonObject, min_ready_s: int, now: datetime) -> bool:
    """Ready for so long without a break."""
    if not ready(pod):
        return False
    since = ready_since(pod)
    return min_ready_s == 0 or (since is not None and since + timedelta(seconds=min_ready_s) <= now)


def restarts(pod: JsonObject) -> int:
    return max((number(each, "restartCount") for each in entries(pod, "status", "containerStatuses")), default=0)


def deletion_cost(pod: JsonObject) -> int:
    """controller.kubernetes.io/pod-deletion-cost, 0 when absent or no number."""
    found = annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost", "0")
    try:
        return int(found)
    except ValueError:
        return 0


def pod_from_template(template: Json, owner: JsonObject, kind: Kind, *, name: str | None = None) -> JsonObject:
    """The pod that ``owner`` creates of its template, with a generated name unless one is given."""
    metadata: JsonObject = {
        field: value for field in ("labels", "annotations", "finalizers") if (value := dig(template, "metadata", field))
    }
    metadata["ownerReferences"] = [owner_reference(owner, kind)]
    if name is None:
        # Names are at most 253 long and generated parts 5: longer prefixes are cut by the API.
        metadata["generateName"] = f"{name_of(owner)}-"
    else:
        metadata["name"] = name
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(mapping(template, "spec"))}


def with_labels(pod: JsonObject, labels: Mapping[str, str]) -> JsonObject:
    """The pod with these labels too."""
    metadata = mapping(pod, "metadata")
    return {**pod, "metadata": {**metadata, "labels": {**mapping(metadata, "labels"), **labels}}}
