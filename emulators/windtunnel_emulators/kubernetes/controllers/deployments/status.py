"""The status of a deployment and its conditions, with the reasons and messages that clients read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    entries,
    mapping,
    name_of,
    number,
    optional_number,
    parse_time,
    text,
    timestamp,
)
from windtunnel_emulators.kubernetes.controllers.deployments.rollout import bounds_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

PROGRESSING, AVAILABLE, FAILURE = "Progressing", "Available", "ReplicaFailure"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
# The longest deadline there is means none (apps/v1 defaults of Deployment).
_NO_DEADLINE = 2**31 - 1


def has_deadline(deployment: JsonObject) -> bool:
    return number(deployment, "spec", "progressDeadlineSeconds", default=_NO_DEADLINE) != _NO_DEADLINE


def new_condition(type_: str, status: str, reason: str, message: str, now: datetime) -> JsonObject:
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": timestamp(now),
        "lastTransitionTime": timestamp(now),
        "reason": reason,
        "message": message,
    }


def set_condition(status: JsonObject, wanted: JsonObject) -> None:
    """Add or replace it in ``status``; unchanged where both are; a status that stays keeps its time."""
    known = condition({"status": status}, text(wanted, "type"))
    if known is not None:
        if known.get("status") == wanted.get("status") and known.get("reason") == wanted.get("reason"):
            return
        if known.get("status") == wanted.get("status"):
            wanted = {**wanted, "lastTransitionTime": known.get("lastTransitionTime")}
    drop_condition(status, text(wanted, "type"))
    status["conditions"] = [*entries(status, "conditions"), wanted]


def drop_condition(status: JsonObject, type_: str) -> None:
    kept: list[Json] = [each for each in entries(status, "conditions") if each.get("type") != type_]
    if kept:
        status["conditions"] = kept
    else:
        status.pop("conditions", None)


def counts(deployment: JsonObject, new: JsonObject | None, olds: Sequence[JsonObject], now: datetime) -> JsonObject:
    """The numbers, and the Available condition."""
    every = [*olds, *([] if new is None else [new])]
    total = sum(number(each, "status", "replicas") for each in every)
    available = sum(number(each, "status", "availableReplicas") for each in every)
    numbers = {
        "observedGeneration": number(deployment, "metadata", "generation"),
        "replicas": total,
        "updatedReplicas": number(new, "status", "replicas"),
        "readyReplicas": sum(number(each, "status", "readyReplicas") for each in every),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(number(each, "spec", "replicas") for each in every) - available, 0),
    }
    status: JsonObject = {field: value for field, value in numbers.items() if value}
    collisions = optional_number(deployment, "status", "collisionCount")
    if collisions is not None:
        status["collisionCount"] = collisions
    conditions: list[Json] = list(entries(deployment, "status", "conditions"))
    if conditions:
        status["conditions"] = conditions
    enough = available >= bounds_of(deployment).minimum_available
    set_condition(
        status,
        new_condition(
            AVAILABLE,
            "True" if enough else "False",
            f"MinimumReplicas{'Available' if enough else 'Unavailable'}",
            f"Deployment {'has' if enough else 'does not have'} minimum availability.",
            now,
        ),
    )
    return status


def complete(deployment: JsonObject, status: JsonObject) -> bool:
    """All pods are of the current template and available, and no others are left."""
    wanted = number(deployment, "spec", "replicas", default=1)
    return (
        number(status, "updatedReplicas") == wanted
        and number(status, "replicas") == wanted
        and number(status, "availableReplicas") == wanted
        and number(status, "observedGeneration") >= number(deployment, "metadata", "generation")
    )


def progressing(before: JsonObject, status: JsonObject) -> bool:
    """Something moved forward between two statuses."""

    def old(each: JsonObject) -> int:
        return number(each, "replicas") - number(each, "updatedReplicas")

    return (
        number(status, "updatedReplicas") > number(before, "updatedReplicas")
        or old(status) < old(before)
        or number(status, "readyReplicas") > number(before, "readyReplicas")
        or number(status, "availableReplicas") > number(before, "availableReplicas")
    )


def timed_out(deployment: JsonObject, status: JsonObject, now: datetime) -> bool:
    """No progress within ``progressDeadlineSeconds``."""
    known = condition({"status": status}, PROGRESSING)
    if not has_deadline(deployment) or known is None or known.get("reason") == NEW_AVAILABLE:
        return False
    if known.get("reason") == TIMED_OUT:
        return True
    since = parse_time(known.get("lastUpdateTime"))
    deadline = timedelta(seconds=number(deployment, "spec", "progressDeadlineSeconds"))
    return since is not None and since + deadline < now


def with_progress(
    deployment: JsonObject, new: JsonObject | None, olds: Sequence[JsonObject], now: datetime
) -> JsonObject:
    """The status in a rollout: numbers, Available, Progressing and ReplicaFailure."""
    before = mapping(deployment, "status")
    status = counts(deployment, new, olds, now)
    if not has_deadline(deployment):
        drop_condition(status, PROGRESSING)
    known = condition(deployment, PROGRESSING)
    settled = (
        number(status, "replicas") == number(status, "updatedReplicas")
        and known is not None
        and known.get("reason") == NEW_AVAILABLE
    )
    if has_deadline(deployment) and not settled:
        what = f'Deployment "{name_of(deployment)}"' if new is None else f'ReplicaSet "{name_of(new)}"'
        if complete(deployment, status):
            said = f"{what} has successfully progressed."
            set_condition(status, new_condition(PROGRESSING, "True", NEW_AVAILABLE, said, now))
        elif progressing(before, status):
            moved = new_condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{what} is progressing.", now)
            if known is not None and known.get("status") == "True":
                moved["lastTransitionTime"] = known.get("lastTransitionTime")
            drop_condition(status, PROGRESSING)
            set_condition(status, moved)
        elif timed_out(deployment, status, now):
            said = f"{what} has timed out progressing."
            set_condition(status, new_condition(PROGRESSING, "False", TIMED_OUT, said, now))
    failure = _replica_failure(new, olds)
    if failure is None:
        drop_condition(status, FAILURE)
    else:
        said, reason = text(failure, "message"), text(failure, "reason")
        set_condition(status, new_condition(FAILURE, text(failure, "status"), reason, said, now))
    return status


def _replica_failure(new: JsonObject | None, olds: Sequence[JsonObject]) -> JsonObject | None:
    for each in ([] if new is None else [new]) + list(olds):
        found = condition(each, FAILURE)
        if found is not None:
            return found
    return None


def check_again_in(deployment: JsonObject, status: JsonObject, now: datetime) -> float | None:
    """Seconds until the deadline has to be looked at, where nothing else might happen before."""
    known = condition({"status": status}, PROGRESSING)
    if known is None or not has_deadline(deployment) or complete(deployment, status):
        return None
    if known.get("reason") == TIMED_OUT:
        return None
    since = parse_time(known.get("lastUpdateTime"))
    if since is None:
        return None
    deadline = timedelta(seconds=number(deployment, "spec", "progressDeadlineSeconds"))
    return max((since + deadline - now).total_seconds(), 0.0) + 1.0
