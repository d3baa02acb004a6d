"""``/jobs``: jobs over many devices (v2). Import and export need a storage account, and are refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from windtunnel_emulators.iot.hub import methods, twin_rules, twins
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid, not_implemented
from windtunnel_emulators.iot.hub.identity import short
from windtunnel_emulators.iot.hub.jobs import DeviceJob, DeviceStatus, Job, Status
from windtunnel_emulators.iot.query.errors import QueryError
from windtunnel_emulators.iot.service import collections
from windtunnel_emulators.iot.service.bodies import TwinBody, read
from windtunnel_emulators.iot.service.methods import read_call
from windtunnel_emulators.iot.service.requests import Answer
from windtunnel_emulators.iot.service.routes import READ_OR_SERVICE, SERVICE, WRITE, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import Json, JsonObject

METHOD, TWIN = "scheduleDeviceMethod", "scheduleUpdateTwin"
DEFAULT_S, LONGEST_S = 3600, 172_800
KEPT = timedelta(days=30)
"""After its end (documented: "a TTL of 30 days")."""
MOST_ACTIVE = 100
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class JobBody(msgspec.Struct, rename="camel"):
    """A job as clients write it."""

    type: str
    job_id: str | None = None
    query_condition: str | None = None
    start_time: datetime | None = None
    max_execution_time_in_seconds: int | None = None
    cloud_to_device_method: dict[str, Any] | None = None
    update_twin: dict[str, Any] | None = None


async def put(hub: Hub, request: Request) -> Answer:
    """A job is made once, and begins at its time. What it does is checked now."""
    id = request.parameters["id"]
    body = read(request.object(), JobBody)
    if not _ID.fullmatch(id) or body.job_id not in (None, "", id):
        raise argument_invalid(f"The job's id '{id[:80]}' has 1 to 64 letters, digits and '-', in path and body alike.")
    if hub.jobs.get(id) is not None:
        raise HubError(409, "JobAlreadyExists", f"There is a job '{id}' already.")
    _make_room(hub)
    job = _read(hub, id, body)
    hub.jobs.save(job)
    return Answer(body=shown(hub, job))


async def get(hub: Hub, request: Request) -> Answer:
    return Answer(body=shown(hub, _existing(hub, request)))


async def cancel(hub: Hub, request: Request) -> Answer:
    """What has not begun for a device does not begin; a call that waits for its answer waits no longer."""
    job = _existing(hub, request)
    if job.status.is_over:
        raise HubError(400, "InvalidOperation", f"The job '{job.id}' is {job.status.value}: it cannot be cancelled.")
    now = hub.clock.now()
    ended = msgspec.structs.replace(job, status=Status.CANCELLED, ended=now)
    with hub.store.transaction():
        for part in hub.jobs.devices(job.id):
            if part.status in (DeviceStatus.PENDING, DeviceStatus.RUNNING):
                hub.jobs.save_device(
                    msgspec.structs.replace(part, status=DeviceStatus.CANCELED, updated=now, ended=now)
                )
        hub.jobs.save(ended)
    return Answer(body=shown(hub, ended))


async def query(hub: Hub, request: Request) -> Answer:
    """Jobs by type and status, all on one page."""
    kind, status = request.query.get("jobtype", "").lower(), request.query.get("jobstatus", "").lower()
    jobs = [
        shown(hub, one)
        for one in hub.jobs.all()
        if kind in ("", one.type.lower()) and status in ("", one.status.value.lower())
    ]
    body: list[Json] = [*jobs]
    return Answer(body=body, headers={"x-ms-item-type": "jobResponse"})


async def create_old(_: Hub, __: Request) -> Answer:
    raise not_implemented(
        "Importing and exporting devices through a storage account",
        "Change up to 100 devices in one POST /devices, and read them with GET /devices or a query.",
    )


async def list_old(_: Hub, __: Request) -> Answer:
    """There can be none."""
    return Answer(body=[])


async def get_old(_: Hub, request: Request) -> Answer:
    raise not_found(request.parameters["id"])


def not_found(id: str) -> HubError:
    return HubError(404, "JobNotFound", f"There is no job '{id[:80]}' in this hub.")


def shown(hub: Hub, job: Job) -> JsonObject:
    """A job as the service answers it, with how many devices are how far."""
    found: JsonObject = {
        "jobId": job.id,
        "queryCondition": job.condition,
        "createdTime": short(job.created),
        "startTime": short(job.start),
        "maxExecutionTimeInSeconds": job.most_s,
        "type": job.type,
        "status": job.status.value,
    }
    if job.ended is not None:
        found["endTime"] = short(job.ended)
    if job.method is not None:
        found["cloudToDeviceMethod"] = job.method
    if job.twin is not None:
        found["updateTwin"] = job.twin
    parts = [one.status for one in hub.jobs.devices(job.id)]
    if parts or job.status.is_over:
        found["deviceJobStatistics"] = {
            "deviceCount": len(parts),
            "failedCount": parts.count(DeviceStatus.FAILED),
            "succeededCount": parts.count(DeviceStatus.COMPLETED),
            "runningCount": parts.count(DeviceStatus.RUNNING),
            "pendingCount": parts.count(DeviceStatus.PENDING),
        }
    return found


def each_document(hub: Hub) -> Iterator[tuple[tuple[str, ...], JsonObject]]:
    """The parts of all jobs as queries see them, each with its key."""
    jobs = {one.id: one for one in hub.jobs.all()}
    for part in hub.jobs.each_device():
        yield (part.job, part.device, part.module), _document(part, jobs[part.job])


def _document(part: DeviceJob, job: Job) -> JsonObject:
    found: JsonObject = {"deviceId": part.device}
    if part.module:
        found["moduleId"] = part.module
    found |= {
        "jobId": part.job,
        "jobType": job.type,
        "status": part.status.value,
        "startTimeUtc": short(part.started or job.start),
        "createdDateTimeUtc": short(part.created),
        "lastUpdatedDateTimeUtc": short(part.updated),
    }
    if part.ended is not None:
        found["endTimeUtc"] = short(part.ended)
    if job.type == METHOD and part.response is not None:
        found["outcome"] = {"deviceMethodResponse": part.response}
    if part.error is not None:
        found["error"] = {**part.error}
    return found


def _read(hub: Hub, id: str, body: JobBody) -> Job:
    kinds = {one.lower(): one for one in (METHOD, TWIN)}
    kind = kinds.get(body.type.lower())
    if kind is None:
        raise argument_invalid(f"'type' is '{body.type[:40]}'; it is {METHOD} or {TWIN}.")
    most = DEFAULT_S if body.max_execution_time_in_seconds is None else body.max_execution_time_in_seconds
    if not 0 < most <= LONGEST_S:
        raise argument_invalid(f"'maxExecutionTimeInSeconds' is {most}; it is from 1 to {LONGEST_S}.")
    condition = (body.query_condition or "").strip()
    if not condition:
        raise argument_invalid("'queryCondition' is missing: the devices that the job is for; * for all.")
    try:
        collections.read_target(condition)
    except QueryError as problem:
        raise collections.refused(problem, "'queryCondition'") from problem
    if kind == METHOD:
        _check_method(body)
    else:
        _check_twin(body)
    now = hub.clock.now()
    start = now if body.start_time is None else max(_in_utc(body.start_time), now)
    return Job(
        id=id,
        type=kind,
        condition=condition,
        created=now,
        start=start,
        most_s=most,
        status=Status.SCHEDULED if start > now else Status.QUEUED,
        method=body.cloud_to_device_method if kind == METHOD else None,
        twin=body.update_twin if kind == TWIN else None,
    )


def _check_method(body: JobBody) -> None:
    if body.cloud_to_device_method is None:
        raise argument_invalid(f"'cloudToDeviceMethod' is missing: a job of type {METHOD} calls a method.")
    methods.check(read_call(body.cloud_to_device_method))


def _check_twin(body: JobBody) -> None:
    if body.update_twin is None:
        raise argument_invalid(f"'updateTwin' is missing: a job of type {TWIN} changes twins.")
    change = read(body.update_twin, TwinBody)
    desired = None if change.properties is None else change.properties.desired
    if change.tags is None and desired is None:
        raise argument_invalid("'updateTwin' changes neither tags nor desired properties.")
    twin_rules.check(change.tags or {}, "tags")
    twin_rules.check(twins.plain(desired or {}), "properties.desired")


def _in_utc(moment: datetime) -> datetime:
    """A time without a zone is in UTC. Raises ``HubError`` 400 for one that no job could end after."""
    try:
        found = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        _ = found + timedelta(seconds=LONGEST_S)
    except OverflowError:
        raise argument_invalid(f"'startTime' is {moment.isoformat()}, at the end of all dates.") from None
    return found


def _make_room(hub: Hub) -> None:
    """Old jobs are forgotten. Raises ``HubError`` 403 when too many are under way."""
    jobs = hub.jobs.all()
    oldest = hub.clock.now() - KEPT
    for job in jobs:
        if job.ended is not None and job.ended < oldest:
            hub.jobs.remove(job.id)
    if sum(not job.status.is_over for job in jobs) >= MOST_ACTIVE:
        raise HubError(403, "JobQuotaExceeded", f"{MOST_ACTIVE} jobs are under way, and no more may be.")


def _existing(hub: Hub, request: Request) -> Job:
    found = hub.jobs.get(request.parameters["id"])
    if found is None:
        raise not_found(request.parameters["id"])
    return found


ROUTES: Sequence[Route] = (
    Route(method="GET", path="jobs/v2/query", act=query, needs=READ_OR_SERVICE),
    Route(method="GET", path="jobs/v2/{id}", act=get, needs=READ_OR_SERVICE),
    Route(method="PUT", path="jobs/v2/{id}", act=put, needs=SERVICE | WRITE),
    Route(method="POST", path="jobs/v2/{id}/cancel", act=cancel, needs=SERVICE | WRITE),
    Route(method="POST", path="jobs/create", act=create_old, needs=WRITE),
    Route(method="GET", path="jobs", act=list_old, needs=READ_OR_SERVICE),
    Route(method="GET", path="jobs/{id}", act=get_old, needs=READ_OR_SERVICE),
    Route(method="DELETE", path="jobs/{id}", act=get_old, needs=WRITE),
)
