"""Does the jobs of one hub: waits for their time, finds their devices, changes twins and calls methods.

What has been done for a device is in the store before the next one is begun, so that a hub that is started again goes
on where it was. A call that was under way then is made again.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.changes import Change
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.jobs import DeviceJob, DeviceStatus, Status
from windtunnel_emulators.iot.service import collections, twins
from windtunnel_emulators.iot.service.bodies import TwinBody, read
from windtunnel_emulators.iot.service.methods import read_call

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.hub.jobs import Job

_AT_ONCE = 50
"""Calls of methods that are under way together."""
_UNFINISHED = (DeviceStatus.PENDING, DeviceStatus.RUNNING)
_log = logging.getLogger(__name__)


class JobRunner:
    """Listens to a hub's changes; every job that is not over has a task."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tasks: dict[str, asyncio.Task[None]] = {}
        hub.changes.listen(self._changed)

    def _changed(self, change: Change) -> None:
        if change is Change.STOPPED:
            for task in self._tasks.values():
                task.cancel()
        elif change in (Change.STARTED, Change.JOBS):
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Begin what is new, end what was cancelled."""
        under_way = {job.id: job for job in self._hub.jobs.all() if not job.status.is_over}
        for id, job in under_way.items():
            if id not in self._tasks:
                task = asyncio.get_running_loop().create_task(self._run(job), name=f"job {id}")
                self._tasks[id] = task
                task.add_done_callback(partial(self._ended, id))
        for id, task in list(self._tasks.items()):
            if id not in under_way:
                task.cancel()

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[id]
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("job %s ended with an error of the hub's own", id, exc_info=failure)
            self._end(id, Status.FAILED)

    def _end(self, id: str, status: Status) -> None:
        """Unless it was ended otherwise, in the same moment."""
        job = self._hub.jobs.get(id)
        if job is not None and not job.status.is_over:
            self._hub.jobs.save(msgspec.structs.replace(job, status=status, ended=self._hub.clock.now()))

    async def _run(self, job: Job) -> None:
        hub = self._hub
        if (wait := (job.start - hub.clock.now()).total_seconds()) > 0:
            await hub.clock.sleep(wait)
        if job.status is not Status.RUNNING:
            job = self._begin(job)
        end = job.start + timedelta(seconds=job.most_s)
        limit = asyncio.Semaphore(_AT_ONCE)
        parts = [one for one in hub.jobs.devices(job.id) if one.status in _UNFINISHED]
        async with asyncio.TaskGroup() as group:
            for part in parts:
                await limit.acquire()
                if hub.clock.now() > end:
                    limit.release()
                    self._finish(part, error={"code": "JobExpired", "description": "The time of the job was over."})
                else:
                    group.create_task(self._do(job, part, limit))
        self._end(job.id, Status.COMPLETED)

    def _begin(self, job: Job) -> Job:
        """Its devices are those that fulfil the condition now."""
        hub, now = self._hub, self._hub.clock.now()
        begun = msgspec.structs.replace(job, status=Status.RUNNING)
        with hub.store.transaction():
            for key, _ in collections.found(hub, collections.read_target(job.condition)):
                hub.jobs.save_device(
                    DeviceJob(job=job.id, device=key.device, module=key.module, created=now, updated=now)
                )
            hub.jobs.save(begun)
        return begun

    async def _do(self, job: Job, part: DeviceJob, limit: asyncio.Semaphore) -> None:
        now = self._hub.clock.now()
        part = msgspec.structs.replace(part, status=DeviceStatus.RUNNING, started=now, updated=now)
        self._hub.jobs.save_device(part)
        try:
            self._finish(part, response=await self._act(job, part.who))
        except HubError as problem:
            self._finish(part, error={"code": str(problem.number or problem.name), "description": problem.message})
        finally:
            limit.release()

    async def _act(self, job: Job, who: Who) -> dict[str, object] | None:
        if job.method is None:
            twins.change(self._hub, who, read(job.twin or {}, TwinBody), replace=False)
            return None
        self._hub.identity(who)
        result = await self._hub.calls.invoke(who, read_call(job.method))
        return {"status": result.status, "payload": result.payload}

    def _finish(
        self, part: DeviceJob, *, response: dict[str, object] | None = None, error: dict[str, str] | None = None
    ) -> None:
        now = self._hub.clock.now()
        status = DeviceStatus.COMPLETED if error is None else DeviceStatus.FAILED
        if error is not None:
            _log.info("job %s: it failed for '%s': %s", part.job, part.who, error["description"])
        self._hub.jobs.save_device(
            msgspec.structs.replace(part, status=status, updated=now, ended=now, response=response, error=error)
        )
