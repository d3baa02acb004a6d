"""Makes the jobs of cron jobs when they are due, and removes old ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import CRON_JOB, JOB
from windtunnel_emulators.kubernetes.client.meta import (
    controlled_by,
    deleting,
    dig,
    entries,
    flag,
    key_of,
    mapping,
    name_of,
    namespace_of,
    number,
    optional_number,
    owner_reference,
    parse_time,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.controller import Controller, keys_of_controller
from windtunnel_emulators.kubernetes.controllers.jobs import plan
from windtunnel_emulators.kubernetes.controllers.jobs.schedule import Schedule, ScheduleError, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MANY = 100


def due(cron: JsonObject, schedule: Schedule, now: datetime) -> tuple[datetime | None, int]:
    """The latest time that was missed since the last job (or creation), and how many were; within the deadline."""
    last = parse_time(dig(cron, "status", "lastScheduleTime"))
    since = last or parse_time(dig(cron, "metadata", "creationTimestamp")) or now
    deadline = optional_number(cron, "spec", "startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - timedelta(seconds=deadline))
    latest: datetime | None = None
    count = 0
    for moment in schedule.between(since, now):
        latest, count = moment, count + 1
    return latest, count


def surplus(jobs: Sequence[JsonObject], good: int, bad: int) -> list[JsonObject]:
    """The finished jobs beyond the history limits, oldest first."""
    found: list[JsonObject] = []
    for type_, limit in ((plan.COMPLETE, good), (plan.FAILED, bad)):
        alike = [
            job
            for job in jobs
            if any(
                each.get("type") == type_ and each.get("status") == "True"
                for each in entries(job, "status", "conditions")
            )
        ]
        alike.sort(key=lambda job: (text(job, "status", "startTime"), name_of(job)))
        found += alike[: max(len(alike) - limit, 0)]
    return found


class CronJobs(Controller):
    """The controller of CronJobs."""

    name = "cronjob-controller"
    component = "cronjob-controller"
    workers = 3

    def prepare(self) -> None:
        self._crons = self.watch(CRON_JOB)
        Claims(self.objects, CRON_JOB, JOB)
        self._jobs = self.watch(JOB, keys_of_controller(CRON_JOB))

    async def reconcile(self, key: str) -> None:
        cron = self._crons.by_key(key)
        if cron is None or deleting(cron):
            return
        jobs = self._jobs.by_index("controller", uid_of(cron))
        for job in surplus(
            jobs,
            number(cron, "spec", "successfulJobsHistoryLimit", default=3),
            number(cron, "spec", "failedJobsHistoryLimit", default=1),
        ):
            await self._remove(cron, job)
        cron = await self._settle(cron, jobs)
        if flag(cron, "spec", "suspend"):
            return
        try:
            schedule = parse(text(cron, "spec", "schedule"), text(cron, "spec", "timeZone") or None)
        except ScheduleError as failure:
            said = f"unparseable schedule: {text(cron, 'spec', 'schedule')} : {failure}"
            self.recorder.event(cron, WARNING, "UnParseableCronJobSchedule", said)
            return
        await self._start(cron, schedule)
        following = schedule.after(self.clock.now())
        if following is not None:
            self.queue.add_after(key, max((following - self.clock.now()).total_seconds(), 0.0) + 0.1)

    async def _settle(self, cron: JsonObject, jobs: Sequence[JsonObject]) -> JsonObject:
        """The status: jobs that are active, and when one last succeeded."""
        status: JsonObject = {**mapping(cron, "status")}
        running = {uid_of(job): job for job in jobs if not plan.ended(job)}
        for each in entries(status, "active"):
            done = next((job for job in jobs if uid_of(job) == text(each, "uid") and plan.ended(job)), None)
            if done is not None:
                kind = next(
                    text(c, "type")
                    for c in entries(done, "status", "conditions")
                    if c.get("type") in (plan.COMPLETE, plan.FAILED) and c.get("status") == "True"
                )
                said = f"Saw completed job: {name_of(done)}, condition: {kind}"
                self.recorder.event(cron, NORMAL, "SawCompletedJob", said)
        active: list[Json] = [_reference(running[uid]) for uid in sorted(running, key=lambda u: name_of(running[u]))]
        if active:
            status["active"] = active
        else:
            status.pop("active", None)
        ends = [text(job, "status", "completionTime") for job in jobs if text(job, "status", "completionTime")]
        latest = max([*ends, text(status, "lastSuccessfulTime")])
        if latest:
            status["lastSuccessfulTime"] = latest
        return await self._write(cron, status)

    async def _start(self, cron: JsonObject, schedule: Schedule) -> None:
        now = self.clock.now()
        latest, missed = due(cron, schedule, now)
        if latest is None:
            return
        if missed > _MANY:
            way_out = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            said = f"too many missed start times: {missed}. {way_out}"
            self.recorder.event(cron, WARNING, "TooManyMissedTimes", said)
        running = [
            job for job in self._jobs.by_index("controller", uid_of(cron)) if not plan.ended(job) and not deleting(job)
        ]
        policy = text(cron, "spec", "concurrencyPolicy", default="Allow")
        if policy == "Forbid" and running:
            said = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.recorder.event(cron, NORMAL, "JobAlreadyActive", said)
            return
        if policy == "Replace":
            for each in running:
                await self._remove(cron, each)
        job = await self._create(cron, latest)
        if job is None:
            return
        kept: list[Json] = [] if policy == "Replace" else list(entries(cron, "status", "active"))
        status: JsonObject = {
            **mapping(cron, "status"),
            "active": [*kept, _reference(job)],
            "lastScheduleTime": timestamp(latest),
        }
        await self._write(cron, status)

    async def _create(self, cron: JsonObject, moment: datetime) -> JsonObject | None:
        template = mapping(cron, "spec", "jobTemplate")
        annotations: JsonObject = {
            **mapping(template, "metadata", "annotations"),
            SCHEDULED_AT: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        metadata: JsonObject = {
            "name": f"{name_of(cron)}-{int(moment.timestamp()) // 60}",
            "namespace": namespace_of(cron),
            "labels": mapping(template, "metadata", "labels"),
            "annotations": annotations,
            "ownerReferences": [owner_reference(cron, CRON_JOB)],
        }
        try:
            job = await self.objects.create(JOB, {"metadata": metadata, "spec": mapping(template, "spec")})
        except StatusError as failure:
            if already_exists(failure):
                taken = await self.objects.find(JOB, namespace_of(cron), str(metadata["name"]))
                if taken is not None and controlled_by(taken, cron):
                    return taken
            self.recorder.event(cron, WARNING, "FailedCreate", f"Error creating job: {failure}")
            raise
        self.recorder.event(cron, NORMAL, "SuccessfulCreate", f"Created job {name_of(job)}")
        return job

    async def _remove(self, cron: JsonObject, job: JsonObject) -> None:
        await self.objects.delete(JOB, namespace_of(job), name_of(job), uid=uid_of(job), propagation="Background")
        self.recorder.event(cron, NORMAL, "SuccessfulDelete", f"Deleted job {name_of(job)}")

    async def _write(self, cron: JsonObject, status: JsonObject) -> JsonObject:
        if status == mapping(cron, "status"):
            return cron
        return await self.objects.update_status(CRON_JOB, {**cron, "status": status})


class FinishedJobs(Controller):
    """Removes jobs ``ttlSecondsAfterFinished`` after their end."""

    name = "ttl-after-finished-controller"

    def prepare(self) -> None:
        self._jobs = self.watch(JOB)

    async def reconcile(self, key: str) -> None:
        job = self._jobs.by_key(key)
        ttl = None if job is None else optional_number(job, "spec", "ttlSecondsAfterFinished")
        if job is None or ttl is None or deleting(job):
            return
        ends = [
            moment
            for each in entries(job, "status", "conditions")
            if each.get("type") in (plan.COMPLETE, plan.FAILED)
            and each.get("status") == "True"
            and (moment := parse_time(each.get("lastTransitionTime"))) is not None
        ]
        if not ends:
            return
        left = (min(ends) + timedelta(seconds=ttl) - self.clock.now()).total_seconds()
        if left > 0:
            self.queue.add_after(key_of(job), left)
            return
        await self.objects.delete(JOB, namespace_of(job), name_of(job), uid=uid_of(job), propagation="Foreground")


def _reference(job: JsonObject) -> JsonObject:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name_of(job),
        "namespace": namespace_of(job),
        "uid": uid_of(job),
        "resourceVersion": text(job, "metadata", "resourceVersion"),
    }
