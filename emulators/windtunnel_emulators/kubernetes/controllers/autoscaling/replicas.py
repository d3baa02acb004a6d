"""How many replicas the measured use of pods calls for. Pure; the arithmetic is the documented algorithm's.

Pods that are not ready yet count as unused when scaling up, pods without measurement as fully used when scaling down
and as unused when scaling up: what is not known never exaggerates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    deleting,
    dig,
    entries,
    mapping,
    name_of,
    parse_time,
    text,
)
from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject


class MetricProblem(Exception):
    """A metric from which no number of replicas follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The use of one resource by one pod."""

    milli: int
    at: datetime
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far from the target nothing is done, as a share of it, in each direction."""

    up: float = 0.1
    down: float = 0.1

    def within(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Until when a pod's processor use says little."""

    cpu_initialization_s: float = 300.0
    initial_delay_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    replicas: int
    utilization: int | None
    """Percent of what was requested; None for a target that is a value."""
    average_milli: int


@dataclass(slots=True, kw_only=True)
class _Groups:
    ready: int
    unready: set[str]
    missing: set[str]
    ignored: set[str]


def measured(answer: JsonObject, resource: str, container: str | None) -> dict[str, Measured]:
    """Pods' use from a PodMetricsList; a pod without the resource in one of its containers is left out."""
    found: dict[str, Measured] = {}
    for pod in entries(answer, "items"):
        total = 0
        complete = True
        containers = [
            each for each in entries(pod, "containers") if container is None or text(each, "name") == container
        ]
        for each in containers:
            try:
                total += read(dig(each, "usage", resource)).milli
            except QuantityError:
                complete = False
        at = parse_time(pod.get("timestamp"))
        if containers and complete and at is not None:
            found[name_of(pod)] = Measured(milli=total, at=at, window_s=seconds(text(pod, "window")))
    return found


def seconds(duration: str) -> float:
    """``15s``, ``1m0s``, ``500ms``: as Go writes durations; 60 for what is none."""
    units = {"ms": 0.001, "h": 3600.0, "m": 60.0, "s": 1.0, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    total, digits, unit = 0.0, "", ""
    for character in duration + "0":
        if character.isdigit() or character == ".":
            if unit:
                if unit not in units or not digits:
                    return 60.0
                total, digits, unit = total + float(digits) * units[unit], "", ""
            digits += character
        else:
            unit += character
    return total if total else 60.0


def replicas_for(
    *,
    current: int,
    resource: str,
    container: str | None,
    target_percent: int | None,
    target_milli: int,
    pods: Sequence[JsonObject],
    metrics: Mapping[str, Measured],
    tolerance: Tolerance,
    readiness: Readiness,
    now: datetime,
) -> Result:
    """The replicas for a utilization target, or for an average value where ``target_percent`` is None.

    Raises ``MetricProblem`` where nothing follows."""
    if not pods:
        raise MetricProblem("no pods returned by selector while calculating replica count")
    groups = _group(pods, metrics, resource, readiness, now)
    counted = {
        name: value.milli
        for name, value in metrics.items()
        if name not in groups.unready and name not in groups.ignored
    }
    requests = _requests(pods, resource, container) if target_percent is not None else {}
    if not counted:
        raise MetricProblem("did not receive metrics for targeted pods (pods might be unready)")

    def ratio_of(use: Mapping[str, int]) -> float:
        if target_percent is None:
            return (sum(use.values()) // len(use)) / target_milli
        asked = sum(requests[name] for name in use if name in requests)
        if asked == 0:
            raise MetricProblem("no metrics returned matched known pods")
        return (sum(use[name] for name in use if name in requests) * 100 // asked) / target_percent

    ratio = ratio_of(counted)
    average = sum(counted.values()) // len(counted)
    utilization = None if target_percent is None else round(ratio * target_percent)

    def result(replicas: int) -> Result:
        return Result(replicas=replicas, utilization=utilization, average_milli=average)

    holds_back = bool(groups.unready) and ratio > 1.0
    if not holds_back and not groups.missing:
        return result(current if tolerance.within(ratio) else math.ceil(ratio * groups.ready - 1e-9))
    for name in groups.missing:
        if ratio < 1.0:
            full = max(100, target_percent or 0)
            counted[name] = target_milli if target_percent is None else requests.get(name, 0) * full // 100
        elif ratio > 1.0:
            counted[name] = 0
    if holds_back:
        counted.update(dict.fromkeys(groups.unready, 0))
    again = ratio_of(counted)
    if tolerance.within(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return result(current)
    wanted = math.ceil(again * len(counted) - 1e-9)
    # A guess may not turn the direction around.
    if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
        return result(current)
    return result(wanted)


def _group(
    pods: Iterable[JsonObject],
    metrics: Mapping[str, Measured],
    resource: str,
    readiness: Readiness,
    now: datetime,
) -> _Groups:
    groups = _Groups(ready=0, unready=set(), missing=set(), ignored=set())
    for pod in pods:
        name, phase = name_of(pod), text(pod, "status", "phase")
        if deleting(pod) or phase == "Failed":
            groups.ignored.add(name)
        elif phase == "Pending":
            groups.unready.add(name)
        elif name not in metrics:
            groups.missing.add(name)
        elif resource == "cpu" and _warming_up(pod, metrics[name], readiness, now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _warming_up(pod: JsonObject, metric: Measured, readiness: Readiness, now: datetime) -> bool:
    found, started = condition(pod, "Ready"), parse_time(dig(pod, "status", "startTime"))
    since = None if found is None else parse_time(found.get("lastTransitionTime"))
    if found is None or started is None or since is None:
        return True
    is_ready = found.get("status") == "True"
    if started + timedelta(seconds=readiness.cpu_initialization_s) > now:
        return not is_ready or metric.at < since + timedelta(seconds=metric.window_s)
    return not is_ready and started + timedelta(seconds=readiness.initial_delay_s) > since


def _requests(pods: Iterable[JsonObject], resource: str, container: str | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for pod in pods:
        total = 0
        for each in entries(pod, "spec", "containers"):
            if container is not None and text(each, "name") != container:
                continue
            asked = mapping(each, "resources", "requests").get(resource)
            if asked is None:
                raise MetricProblem(
                    f"missing request for {resource} in container {text(each, 'name')} of Pod {name_of(pod)}"
                )
            total += read(asked).milli
        found[name_of(pod)] = total
    return found
