"""What a job does next: whether it is finished and why, how many pods it wants. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    deleting,
    dig,
    entries,
    flag,
    number,
    optional_number,
    parse_time,
    text,
)
from windtunnel_emulators.kubernetes.controllers.pods import active

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"
MET, TARGET = "SuccessCriteriaMet", "FailureTarget"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a job ends: ``type`` is Complete or Failed."""

    type: str
    reason: str
    message: str


REACHED = Verdict(type=COMPLETE, reason="CompletionsReached", message="Reached expected number of succeeded pods")
TOO_MANY = Verdict(type=FAILED, reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit")
TOO_LONG = Verdict(type=FAILED, reason="DeadlineExceeded", message="Job was active longer than specified deadline")


def indexed(job: JsonObject) -> bool:
    return text(job, "spec", "completionMode") == "Indexed"


def suspended(job: JsonObject) -> bool:
    return flag(job, "spec", "suspend")


def ended(job: JsonObject) -> bool:
    return any(
        each.get("type") in (COMPLETE, FAILED) and each.get("status") == "True"
        for each in entries(job, "status", "conditions")
    )


def index_of(pod: JsonObject) -> int | None:
    found = annotations_of(pod).get(INDEX, "")
    return int(found) if found.isdigit() else None


def tracked(pod: JsonObject) -> bool:
    finalizers = dig(pod, "metadata", "finalizers")
    return isinstance(finalizers, list) and FINALIZER in finalizers


def succeeded(pod: JsonObject) -> bool:
    return text(pod, "status", "phase") == "Succeeded"


def failed(pod: JsonObject, job: JsonObject) -> bool:
    """It failed; a pod that is going counts as failed, unless it is to be replaced only once it has."""
    phase = text(pod, "status", "phase")
    if phase == "Failed":
        return True
    return text(job, "spec", "podReplacementPolicy") != "Failed" and deleting(pod) and phase != "Succeeded"


def verdict(
    job: JsonObject, *, good: int, bad: int, going: int, pods: Sequence[JsonObject], now: datetime
) -> Verdict | None:
    """Whether it is finished; ``good`` and ``bad`` are the pods that ended so, ``going`` those that run or will."""
    policy = failure_policy(job, pods)
    if policy is not None:
        return policy
    limit = number(job, "spec", "backoffLimit", default=6)
    if bad > limit or _restarted_too_often(job, pods, limit):
        return TOO_MANY
    started = parse_time(dig(job, "status", "startTime"))
    deadline = optional_number(job, "spec", "activeDeadlineSeconds")
    ends = None if deadline is None or started is None else started + timedelta(seconds=deadline)
    if ends is not None and ends <= now and not suspended(job):
        return TOO_LONG
    completions = optional_number(job, "spec", "completions")
    if completions is None:
        return REACHED if good > 0 and going == 0 else None
    return REACHED if good >= completions else None


def _restarted_too_often(job: JsonObject, pods: Sequence[JsonObject], limit: int) -> bool:
    if text(job, "spec", "template", "spec", "restartPolicy") != "OnFailure":
        return False
    total = sum(
        number(each, "restartCount")
        for pod in pods
        if text(pod, "status", "phase") in ("Running", "Pending")
        for part in ("initContainerStatuses", "containerStatuses")
        for each in entries(pod, "status", part)
    )
    return total > 0 if limit == 0 else total >= limit


def failure_policy(job: JsonObject, pods: Sequence[JsonObject]) -> Verdict | None:
    """The verdict of a FailJob rule that one of the failed pods meets."""
    for pod in pods:
        if text(pod, "status", "phase") == "Failed":
            action, said = policy_action(job, pod)
            if action == "FailJob":
                return Verdict(type=FAILED, reason="PodFailurePolicy", message=said)
    return None


def policy_action(job: JsonObject, pod: JsonObject) -> tuple[str, str]:
    """(action, message) of the first rule of ``podFailurePolicy`` that the failed pod meets; Count where none does."""
    where = f"{text(pod, 'metadata', 'namespace')}/{text(pod, 'metadata', 'name')}"
    for number_, rule in enumerate(entries(job, "spec", "podFailurePolicy", "rules")):
        action = text(rule, "action")
        codes = dig(rule, "onExitCodes")
        if codes is not None:
            for each in entries(pod, "status", "initContainerStatuses") + entries(pod, "status", "containerStatuses"):
                code = optional_number(each, "state", "terminated", "exitCode")
                wanted = text(codes, "containerName")
                if code and (not wanted or wanted == text(each, "name")) and _code_meets(codes, code):
                    said = (
                        f"Container {text(each, 'name')} for pod {where} failed with exit code {code} "
                        f"matching {action} rule at index {number_}"
                    )
                    return action, said
        for pattern in entries(rule, "onPodConditions"):
            for each in entries(pod, "status", "conditions"):
                if each.get("type") == pattern.get("type") and each.get("status") == pattern.get("status", "True"):
                    said = f"Pod {where} has condition {each.get('type')} matching {action} rule at index {number_}"
                    return action, said
    return "Count", ""


def _code_meets(codes: Json, code: int) -> bool:
    values = dig(codes, "values")
    inside = isinstance(values, list) and code in values
    return inside if text(codes, "operator") == "In" else not inside


def wanted_pods(job: JsonObject, *, good: int, going: int) -> int:
    """How many pods should be running."""
    if suspended(job):
        return 0
    parallelism = number(job, "spec", "parallelism", default=1)
    completions = optional_number(job, "spec", "completions")
    if completions is None:
        return going if good > 0 else parallelism
    return max(min(parallelism, completions - good), 0)


def retry_in(job: JsonObject, pods: Sequence[JsonObject], base_s: float, now: datetime) -> float:
    """Seconds before the next pod may be made: after each failure in a row twice as long, six minutes at most."""
    ends = sorted(
        (moment, succeeded(pod)) for pod in pods if not active(pod) and (moment := _ended_at(pod)) is not None
    )
    row = 0
    last: datetime | None = None
    for moment, good in reversed(ends):
        if good:
            break
        row += 1
        last = last or moment
    if last is None:
        return 0.0
    wait = min(base_s * 2.0 ** min(row - 1, 20), 600.0)
    return max((last + timedelta(seconds=wait) - now).total_seconds(), 0.0)


def _ended_at(pod: JsonObject) -> datetime | None:
    moments = [
        moment
        for each in entries(pod, "status", "containerStatuses")
        if (moment := parse_time(dig(each, "state", "terminated", "finishedAt"))) is not None
    ]
    return max(moments, default=None) or parse_time(dig(pod, "metadata", "deletionTimestamp"))
