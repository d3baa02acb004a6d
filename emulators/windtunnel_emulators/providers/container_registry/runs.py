"""Runs: scheduled, listed, cancelled, and where their logs are. How one is carried out is in ``running``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Change, Reply, Resource, View
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

from .blob_endpoint import WORD
from .bodies import RunUpdate, read
from .filters import parse_filter, parse_top
from .logs import RUN_TYPE
from .plans import plan_of
from .task_bodies import RunRequest
from .times import offset, seconds, system_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.arm.provider import Call

    from .service import RegistryService

FINAL = ("Succeeded", "Failed", "Canceled", "Timeout", "Error")
_LINK_LIFETIME = timedelta(hours=1)


async def schedule(call: Call, registry: Resource | None, service: RegistryService) -> Reply:
    """``scheduleRun``: answers the run as Queued, as recorded; it goes on by itself."""
    assert registry is not None
    plan = plan_of(read(call.body, RunRequest), registry, service)
    id = registry.id.child("runs", service.next_run(registry.id))
    properties: JsonObject = {
        "runId": id.name,
        "status": "Queued",
        "lastUpdatedTime": seconds(call.now),
        "runType": plan.run_type,
        "createTime": offset(call.now),
        "platform": {**plan.platform},
        "agentConfiguration": {"cpu": plan.cpu},
        "provisioningState": "Succeeded",
        "isArchiveEnabled": plan.archived,
    }
    if plan.task:
        properties["task"] = plan.task
    run = Resource(
        id=id,
        location=None,
        tags=None,
        properties=properties,
        envelope={"systemData": system_data(call, None)},
        secrets={"plan": plan.as_json()},
    )
    service.logs.begin(id)
    shown: JsonObject = {"id": str(id), "name": id.name, "type": RUN_TYPE, **view(run, service, View.GET)}
    return Reply(status=200, body=shown, resource=run, work="run")


async def cancel(_: Call, run: Resource | None, service: RegistryService) -> Reply:
    """``cancel``: the run ends soon after; one that has ended is refused."""
    assert run is not None
    status = as_str(run.properties.get("status"))
    if status in FINAL:
        raise ArmError(
            409, "RunCompleted", f"The run '{run.id.name}' cannot be cancelled: it has ended with status {status}."
        )
    # Written down first: a run that is taken up after a restart is cancelled too.
    changed = replace(run, state={**run.state, "cancelled": True})
    service.cancel_soon(run.id)
    return Reply(status=200, resource=changed)


async def list_log_url(call: Call, run: Resource | None, service: RegistryService) -> Reply:
    """``listLogSasUrl``: a signed link that answers like a blob of Azure Storage."""
    assert run is not None
    path = f"/{WORD}/logs/{service.logs.name(run.id)}"
    return Reply(status=200, body={"logLink": service.signer.url(call.base_url, path, "r", _LINK_LIFETIME)})


async def upload_url(call: Call, _: Resource | None, service: RegistryService) -> Reply:
    """``listBuildSourceUploadUrl``: where a build's context goes, and what to call it then."""
    relative = service.contexts.new_path()
    url = service.signer.url(call.base_url, f"/{WORD}/contexts/{relative}", "cw", _LINK_LIFETIME)
    return Reply(status=200, body={"relativePath": relative, "uploadUrl": url})


def patch(call: Call, existing: Resource | None, _: RegistryService) -> Change:
    """Whether the run is kept for good."""
    assert existing is not None
    wanted = read(call.body, RunUpdate).is_archive_enabled
    properties: JsonObject = {**existing.properties, "lastUpdatedTime": seconds(call.now)}
    if wanted is not None:
        properties["isArchiveEnabled"] = wanted
    envelope: JsonObject = {"systemData": system_data(call, existing)}
    return Change(resource=replace(existing, properties=properties, envelope=envelope), status=200)


def select(call: Call, found: Sequence[Resource], _: RegistryService) -> Sequence[Resource]:
    """Newest first, filtered, as many as asked for."""
    fits = parse_filter(call.query.get("$filter") or "")
    top = parse_top(call.query.get("$top"))
    newest = sorted(found, key=lambda run: run_number(run.id.name), reverse=True)
    return [run for run in newest if fits(run.properties)][:top]


def view(run: Resource, _: RegistryService, __: View) -> JsonObject:
    return {**run.envelope, "properties": as_object(run.properties)}


def run_number(name: str) -> int:
    """What orders runs: ``cf12`` is the twelfth."""
    return int(name[2:]) if name[2:].isdigit() else 0
