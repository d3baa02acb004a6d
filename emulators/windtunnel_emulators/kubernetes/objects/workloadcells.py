"""What tables show of what runs pods: Deployments and the like, Jobs, autoscalers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list
from windtunnel_emulators.kubernetes.objects.cellvalues import (
    NONE,
    UNSET,
    age,
    at,
    containers,
    labels,
    name,
    number,
    selector,
    text,
)
from windtunnel_emulators.kubernetes.objects.durations import since

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject


def _workload(whole: JsonObject, now: datetime, *cells: Json, selected: str = "") -> list[Json]:
    names, images = containers(whole, "spec", "template")
    made: list[Json] = [name(whole), *cells, age(whole, now), names, images]
    return [*made, selected] if selected else made


def deployment_cells(whole: JsonObject, now: datetime) -> list[Json]:
    ready = f"{number(whole, 'status', 'readyReplicas')}/{number(whole, 'spec', 'replicas')}"
    updated, available = number(whole, "status", "updatedReplicas"), number(whole, "status", "availableReplicas")
    return _workload(whole, now, ready, updated, available, selected=selector(at(whole, "spec", "selector")))


def replica_set_cells(whole: JsonObject, now: datetime) -> list[Json]:
    desired, current = number(whole, "spec", "replicas"), number(whole, "status", "replicas")
    ready = number(whole, "status", "readyReplicas")
    return _workload(whole, now, desired, current, ready, selected=selector(at(whole, "spec", "selector")))


def replication_controller_cells(whole: JsonObject, now: datetime) -> list[Json]:
    desired, current = number(whole, "spec", "replicas"), number(whole, "status", "replicas")
    ready = number(whole, "status", "readyReplicas")
    return _workload(whole, now, desired, current, ready, selected=labels(at(whole, "spec", "selector")))


def daemon_set_cells(whole: JsonObject, now: datetime) -> list[Json]:
    fields = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [number(whole, "status", field) for field in fields]
    nodes = labels(at(whole, "spec", "template", "spec", "nodeSelector"))
    return _workload(whole, now, *counts, nodes, selected=selector(at(whole, "spec", "selector")))


def stateful_set_cells(whole: JsonObject, now: datetime) -> list[Json]:
    return _workload(whole, now, f"{number(whole, 'status', 'readyReplicas')}/{number(whole, 'spec', 'replicas')}")


def job_cells(whole: JsonObject, now: datetime) -> list[Json]:
    from windtunnel_emulators.kubernetes.objects.durations import human, moment

    done, wanted = number(whole, "status", "succeeded"), at(whole, "spec", "completions")
    if wanted is not None:
        completions = f"{done}/{wanted}"
    else:
        parallel = number(whole, "spec", "parallelism")
        completions = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    started = moment(at(whole, "status", "startTime"))
    ended = moment(at(whole, "status", "completionTime")) or now
    duration = "" if started is None else human((ended - started).total_seconds())
    selected = selector(at(whole, "spec", "selector"))
    return _workload(whole, now, _job_word(whole), completions, duration, selected=selected)


def _job_word(whole: JsonObject) -> str:
    true = {text(one, "type") for one in as_list(at(whole, "status", "conditions")) if text(one, "status") == "True"}
    if "Complete" in true:
        return "Complete"
    if "Failed" in true:
        return "Failed"
    if at(whole, "metadata", "deletionTimestamp"):
        return "Terminating"
    return next((word for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if word in true), "Running")


def cron_job_cells(whole: JsonObject, now: datetime) -> list[Json]:
    names, images = containers(whole, "spec", "jobTemplate", "spec", "template")
    last = at(whole, "status", "lastScheduleTime")
    return [
        name(whole),
        text(whole, "spec", "schedule"),
        text(whole, "spec", "timeZone") or NONE,
        _truth(at(whole, "spec", "suspend")),
        len(as_list(at(whole, "status", "active"))),
        since(last, now) if last else NONE,
        age(whole, now),
        names,
        images,
        selector(at(whole, "spec", "jobTemplate", "spec", "selector")),
    ]


def _truth(value: Json) -> str:
    return UNSET if value is None else "True" if value else "False"
