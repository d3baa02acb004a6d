"""The status of a ReplicaSet or ReplicationController, from its pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    entries,
    labels_of,
    number,
    strings,
    timestamp,
)
from windtunnel_emulators.kubernetes.controllers.pods import available, ready

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject


def status_of(
    owner: JsonObject, pods: Sequence[JsonObject], failure: tuple[str, str] | None, now: datetime
) -> JsonObject:
    """What ``status`` should be; ``failure`` is (reason, message) of what kept pods from being made or deleted."""
    wanted = strings(owner, "spec", "template", "metadata", "labels").items()
    min_ready = number(owner, "spec", "minReadySeconds")
    status: JsonObject = {"replicas": len(pods)}
    counts = {
        "fullyLabeledReplicas": sum(1 for pod in pods if wanted <= labels_of(pod).items()),
        "readyReplicas": sum(1 for pod in pods if ready(pod)),
        "availableReplicas": sum(1 for pod in pods if available(pod, min_ready, now)),
        "observedGeneration": number(owner, "metadata", "generation"),
    }
    status.update({field: count for field, count in counts.items() if count})
    conditions: list[Json] = [
        each for each in entries(owner, "status", "conditions") if each.get("type") != "ReplicaFailure"
    ]
    if failure is not None:
        known = next(
            (
                each
                for each in entries(owner, "status", "conditions")
                if each.get("type") == "ReplicaFailure" and each.get("reason") == failure[0]
            ),
            None,
        )
        conditions.append(
            known
            or {
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": timestamp(now),
                "reason": failure[0],
                "message": failure[1],
            }
        )
    if conditions:
        status["conditions"] = conditions
    return status
