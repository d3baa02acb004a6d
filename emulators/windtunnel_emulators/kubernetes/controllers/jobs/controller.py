"""Runs jobs to their end.

A pod that ended is counted once, whatever happens in between: its uid is written into the job's status, then the pod
loses its finalizer, then the uid becomes a count.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import MERGE_PATCH, StatusError
from windtunnel_emulators.kubernetes.client.kinds import JOB, POD
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    deleting,
    dig,
    entries,
    key_of,
    mapping,
    name_of,
    namespace_of,
    number,
    optional_number,
    parse_time,
    text,
    timestamp,
    uid_of,
    words,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.controller import (
    Controller,
    keys_of_controller,
    namespace_terminating,
    orphan_labels,
)
from windtunnel_emulators.kubernetes.controllers.jobs import indexes, plan
from windtunnel_emulators.kubernetes.controllers.pods import active, pod_from_template, ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

_MANAGER = "kubernetes.io/job-controller"


class Jobs(Controller):
    """The controller of Jobs."""

    name = "job-controller"
    workers = 5

    def prepare(self) -> None:
        self._jobs = self.watch(JOB)
        self._claims = Claims(self.objects, JOB, POD)
        self._pods = self.watch(POD, self._keys_of_pod)

    def _keys_of_pod(self, pod: JsonObject) -> Iterable[str]:
        labels = orphan_labels(pod)
        if labels is None:
            yield from keys_of_controller(JOB)(pod)
        elif plan.tracked(pod) or labels:
            for job in self._jobs.objects(namespace_of(pod)):
                if matches(dig(job, "spec", "selector"), labels):
                    yield key_of(job)

    async def reconcile(self, key: str) -> None:
        job = self._jobs.by_key(key)
        if job is None:
            return
        if text(job, "spec", "managedBy", default=_MANAGER) != _MANAGER:
            return
        pods = await self._claims.claim(job, dig(job, "spec", "selector"))
        if plan.ended(job) or deleting(job):
            await asyncio.gather(*(self._release(pod) for pod in pods if plan.tracked(pod)))
            return
        job = await self._started(job)
        job, pods = await self._count(job, pods)
        await self._act(job, pods)

    async def _started(self, job: JsonObject) -> JsonObject:
        """With its start time, and the Suspended condition."""
        now = timestamp(self.clock.now())
        status: JsonObject = {**mapping(job, "status")}
        known = condition(job, plan.SUSPENDED)
        if plan.suspended(job):
            if known is None or known.get("status") != "True":
                _set(status, plan.SUSPENDED, "True", "JobSuspended", "Job suspended", now)
                status.pop("startTime", None)
                self.recorder.event(job, NORMAL, "Suspended", "Job suspended")
        else:
            if known is not None and known.get("status") == "True":
                _set(status, plan.SUSPENDED, "False", "JobResumed", "Job resumed", now)
                self.recorder.event(job, NORMAL, "Resumed", "Job resumed")
            status.setdefault("startTime", now)
        if status == mapping(job, "status"):
            return job
        return await self.objects.update_status(JOB, {**job, "status": status})

    # Counting

    async def _count(self, job: JsonObject, pods: list[JsonObject]) -> tuple[JsonObject, list[JsonObject]]:
        """Count the pods that ended since; the answer is the job and the pods as they are then."""
        known = {uid_of(pod): pod for pod in pods}
        fresh = [pod for pod in pods if plan.tracked(pod) and (plan.succeeded(pod) or plan.failed(pod, job))]
        waiting = mapping(job, "status", "uncountedTerminatedPods")
        if not fresh and not words(waiting, "succeeded") and not words(waiting, "failed"):
            return job, pods
        status = self._settled(job, known)
        good = words(status, "uncountedTerminatedPods", "succeeded")
        bad = words(status, "uncountedTerminatedPods", "failed")
        done = _completed(job)
        for pod in fresh:
            uid, index = uid_of(pod), plan.index_of(pod)
            if uid in good or uid in bad:
                continue
            if plan.succeeded(pod):
                if plan.indexed(job):
                    if index is not None and index not in done and index < number(job, "spec", "completions"):
                        done.add(index)
                else:
                    good.append(uid)
            elif plan.policy_action(job, pod)[0] != "Ignore":
                bad.append(uid)
        if plan.indexed(job):
            status["completedIndexes"] = indexes.write(done)
            status["succeeded"] = len(done)
            if not done:
                status.pop("completedIndexes")
        _write_uncounted(status, good, bad)
        job = await self._write(job, status)
        # The failed pods of a verdict are needed until it is written: finalizers go with it then.
        released = await asyncio.gather(*(self._release(pod) for pod in fresh))
        for each in released:
            if each is not None:
                known[uid_of(each)] = each
        job = await self._write(job, self._settled(job, known))
        return job, list(known.values())

    def _settled(self, job: JsonObject, known: dict[str, JsonObject]) -> JsonObject:
        """The status with what no longer has a finalizer moved from the uncounted to the counts."""
        status: JsonObject = {**mapping(job, "status")}
        left: dict[str, list[str]] = {}
        for part in ("succeeded", "failed"):
            waiting = words(job, "status", "uncountedTerminatedPods", part)
            left[part] = [uid for uid in waiting if uid in known and plan.tracked(known[uid])]
            counted = len(waiting) - len(left[part])
            if counted:
                status[part] = number(status, part) + counted
        _write_uncounted(status, left["succeeded"], left["failed"])
        return status

    async def _release(self, pod: JsonObject) -> JsonObject | None:
        kept: list[Json] = [each for each in words(pod, "metadata", "finalizers") if each != plan.FINALIZER]
        body: JsonObject = {"metadata": {"uid": uid_of(pod), "finalizers": kept or None}}
        try:
            return await self.objects.patch(POD, namespace_of(pod), name_of(pod), body, content_type=MERGE_PATCH)
        except StatusError as failure:
            if failure.code in (404, 409):
                return None
            raise

    # Acting

    async def _act(self, job: JsonObject, pods: list[JsonObject]) -> None:
        now = self.clock.now()
        living = [pod for pod in pods if active(pod)]
        terminating = [pod for pod in pods if deleting(pod) and not plan.succeeded(pod) and not _is_failed(pod)]
        good = number(job, "status", "succeeded")
        bad = number(job, "status", "failed")
        verdict = plan.verdict(job, good=good, bad=bad, going=len(living), pods=pods, now=now)
        target = _target(job)
        if target is not None:
            verdict = target
        if verdict is not None:
            await self._end(job, pods, living, terminating, verdict)
            return
        if deadline := _deadline_in(job, now):
            self.queue.add_after(key_of(job), deadline)
        wanted = plan.wanted_pods(job, good=good, going=len(living))
        if len(living) > wanted:
            surplus = sorted(living, key=lambda pod: (ready(pod), text(pod, "metadata", "creationTimestamp")))
            for pod in surplus[: len(living) - wanted]:
                # One too many is no failure.
                await self._release(pod)
                await self._delete(job, pod)
                living.remove(pod)
        elif len(living) < wanted:
            room = wanted - len(living)
            if text(job, "spec", "podReplacementPolicy") == "Failed":
                room -= len(terminating)
            wait = plan.retry_in(job, pods, self.settings.job_backoff_s, now)
            if wait > 0:
                self.queue.add_after(key_of(job), wait)
            elif room > 0:
                living += await self._create(job, room, living)
        await self._write(job, self._with_counts(job, living, terminating))

    def _with_counts(
        self, job: JsonObject, living: Sequence[JsonObject], terminating: Sequence[JsonObject]
    ) -> JsonObject:
        status: JsonObject = {**mapping(job, "status")}
        if living:
            status["active"] = len(living)
        else:
            status.pop("active", None)
        status["ready"] = sum(1 for pod in living if ready(pod))
        status["terminating"] = len(terminating)
        status.setdefault("uncountedTerminatedPods", {})
        return status

    async def _end(
        self,
        job: JsonObject,
        pods: Sequence[JsonObject],
        living: Sequence[JsonObject],
        terminating: Sequence[JsonObject],
        verdict: plan.Verdict,
    ) -> None:
        """First say that it will end, then remove what still runs, then say that it ended."""
        now = timestamp(self.clock.now())
        status = self._with_counts(job, living, terminating)
        first = plan.MET if verdict.type == plan.COMPLETE else plan.TARGET
        if condition(job, first) is None:
            _set(status, first, "True", verdict.reason, verdict.message, now)
            job = await self._write(job, status)
        for pod in living:
            await self._delete(job, pod)
        if living or terminating or any(plan.tracked(pod) for pod in pods):
            # What happens to those pods brings us back.
            await self._write(job, self._with_counts(job, [], [*terminating, *living]))
            return
        status = self._with_counts(job, [], [])
        _set(status, verdict.type, "True", verdict.reason, verdict.message, now)
        if verdict.type == plan.COMPLETE:
            status["completionTime"] = now
            self.recorder.event(job, NORMAL, "Completed", "Job completed")
        else:
            self.recorder.event(job, WARNING, verdict.reason, verdict.message)
        await self._write(job, status)

    async def _create(self, job: JsonObject, count: int, living: Sequence[JsonObject]) -> list[JsonObject]:
        free: list[int | None] = [None] * count
        if plan.indexed(job):
            taken = _completed(job) | {index for pod in living if (index := plan.index_of(pod)) is not None}
            numbers = [index for index in range(number(job, "spec", "completions")) if index not in taken]
            free = list(numbers[:count])
        made: list[JsonObject] = []
        batch = 1
        while len(made) < len(free):
            part = free[len(made) : len(made) + batch]
            answers = await asyncio.gather(*(self._create_one(job, index) for index in part), return_exceptions=True)
            made += [each for each in answers if not isinstance(each, BaseException)]
            for each in answers:
                if isinstance(each, BaseException):
                    raise each
            batch *= 2
        return made

    async def _create_one(self, job: JsonObject, index: int | None) -> JsonObject:
        body = job_pod(job, index)
        try:
            pod = await self.objects.create(POD, body, namespace_of(job))
        except StatusError as failure:
            if not namespace_terminating(failure):
                self.recorder.event(job, WARNING, "FailedCreate", f"Error creating: {failure}")
            raise
        self.recorder.event(job, NORMAL, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return pod

    async def _delete(self, job: JsonObject, pod: JsonObject) -> None:
        await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        self.recorder.event(job, NORMAL, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    async def _write(self, job: JsonObject, status: JsonObject) -> JsonObject:
        if status == mapping(job, "status"):
            return job
        return await self.objects.update_status(JOB, {**job, "status": status})


def job_pod(job: JsonObject, index: int | None) -> JsonObject:
    """The pod of the job, of that completion index where it has one."""
    pod = pod_from_template(dig(job, "spec", "template"), job, JOB)
    metadata = {**mapping(pod, "metadata")}
    labels: JsonObject = {**mapping(metadata, "labels")}
    for prefix in ("", "batch.kubernetes.io/"):
        labels.setdefault(f"{prefix}controller-uid", uid_of(job))
        labels.setdefault(f"{prefix}job-name", name_of(job))
    metadata["finalizers"] = [*words(metadata, "finalizers"), plan.FINALIZER]
    spec = {**mapping(pod, "spec")}
    if index is not None:
        labels[plan.INDEX] = str(index)
        metadata["annotations"] = {**mapping(metadata, "annotations"), plan.INDEX: str(index)}
        metadata["generateName"] = f"{name_of(job)}-{index}-"
        spec["hostname"] = f"{name_of(job)}-{index}"
        reference: JsonObject = {"fieldRef": {"fieldPath": f"metadata.labels['{plan.INDEX}']"}}
        for part in ("initContainers", "containers"):
            if entries(spec, part):
                spec[part] = [
                    {
                        **each,
                        "env": [*entries(each, "env"), {"name": "JOB_COMPLETION_INDEX", "valueFrom": reference}],
                    }
                    for each in entries(spec, part)
                ]
    metadata["labels"] = labels
    return {**pod, "metadata": metadata, "spec": spec}


def _is_failed(pod: JsonObject) -> bool:
    return text(pod, "status", "phase") == "Failed"


def _completed(job: JsonObject) -> set[int]:
    return indexes.parse(text(job, "status", "completedIndexes"), number(job, "spec", "completions"))


def _target(job: JsonObject) -> plan.Verdict | None:
    """The end that was announced before."""
    for type_, end in ((plan.MET, plan.COMPLETE), (plan.TARGET, plan.FAILED)):
        known = condition(job, type_)
        if known is not None and known.get("status") == "True":
            return plan.Verdict(type=end, reason=text(known, "reason"), message=text(known, "message"))
    return None


def _deadline_in(job: JsonObject, now: datetime) -> float | None:
    deadline = optional_number(job, "spec", "activeDeadlineSeconds")
    started = parse_time(dig(job, "status", "startTime"))
    if deadline is None or started is None or plan.suspended(job):
        return None
    return max(deadline - (now - started).total_seconds(), 0.001)


def _set(status: JsonObject, type_: str, holds: str, reason: str, message: str, now: str) -> None:
    others: list[Json] = [each for each in entries(status, "conditions") if each.get("type") != type_]
    new: JsonObject = {
        "type": type_,
        "status": holds,
        "lastProbeTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    status["conditions"] = [*others, new]


def _write_uncounted(status: JsonObject, good: Sequence[str], bad: Sequence[str]) -> None:
    uncounted: JsonObject = {}
    if good:
        uncounted["succeeded"] = list(good)
    if bad:
        uncounted["failed"] = list(bad)
    status["uncountedTerminatedPods"] = uncounted
