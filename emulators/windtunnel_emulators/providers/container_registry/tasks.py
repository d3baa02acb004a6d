"""Tasks: what to build, stored until a run is scheduled. Answers as recorded; credentials only by ``listDetails``.

Triggers by time and by commits would never fire here and are refused; one by a base image is kept as it is recorded:
the bases of emulated builds never change, so it has no occasion.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Change, Removal, Reply, Resource, View
from windtunnel_emulators.jsontypes import JsonObject, as_list, as_object, as_str

from .bodies import one_of, read
from .identities import identity_of
from .task_bodies import LONGEST_S, SHORTEST_S, USUAL_S, TaskBody
from .times import offset, system_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import Json

    from .service import RegistryService

_NAME = re.compile(r"[a-zA-Z0-9_-]{5,50}")
# What each type of step must have, by Microsoft's specification.
_STEPS = {"Docker": "dockerFilePath", "FileTask": "taskFilePath", "EncodedTask": "encodedTaskContent"}
_HIDDEN = ("contextAccessToken",)


def put(call: Call, existing: Resource | None, _: RegistryService) -> Change:
    """Answers 200 also for a new one, as recorded."""
    assert call.id is not None
    if existing is None and not _NAME.fullmatch(call.id.name):
        raise ArmError(
            400,
            "InvalidResourceName",
            f"The task name '{call.id.name[:100]}' is invalid. It has 5 to 50 letters, digits, '-' and '_'.",
            target="name",
        )
    wanted = _sent(call.body)
    created = existing.properties.get("creationDate") if existing else None
    properties: JsonObject = {
        "provisioningState": "Succeeded",
        "creationDate": created or offset(call.now),
        "status": "Enabled",
        "agentConfiguration": {"cpu": 2},
        "timeout": USUAL_S,
        "isSystemTask": False,
    }
    resource = Resource(
        id=call.id,
        location=as_str(as_object(call.body).get("location")),
        tags=_tags(call.body, None),
        properties=properties,
        etag=existing.etag if existing else "",
    )
    return Change(resource=_with(resource, wanted, call, existing), status=200)


def patch(call: Call, existing: Resource | None, _: RegistryService) -> Change:
    """Merges what is sent, at every depth; lists are replaced."""
    assert existing is not None
    resource = replace(existing, tags=_tags(call.body, existing.tags))
    return Change(resource=_with(resource, _sent(call.body), call, existing), status=200)


def delete(_: Call, __: Resource, ___: RegistryService) -> Removal:
    return Removal(status=200)


def select(_: Call, found: Sequence[Resource], __: RegistryService) -> Sequence[Resource]:
    """In the order in which they were made, as recorded."""
    return sorted(found, key=lambda task: as_str(task.properties.get("creationDate")))


def view(resource: Resource, _: RegistryService, __: View) -> JsonObject:
    return {**resource.envelope, "properties": resource.properties}


async def list_details(_: Call, task: Resource | None, service: RegistryService) -> Reply:
    """``listDetails``: also the credentials that were given, as Azure answers them."""
    assert task is not None
    shown: JsonObject = {"id": str(task.id), "name": task.id.name, "type": task.id.type, "location": task.location}
    if task.tags is not None:
        shown["tags"] = dict(task.tags)
    shown |= view(task, service, View.GET)
    credentials = as_object(task.secrets.get("credentials"))
    if credentials:
        shown["properties"] = {**task.properties, "credentials": credentials}
    return Reply(status=200, body=shown)


def _sent(body: Json) -> JsonObject:
    """The properties that were sent and are known, in their published spelling and of the right types."""
    read(body, TaskBody)  # the places in its refusals are those of the whole body
    properties = as_object(as_object(body).get("properties"))
    typed = read({"properties": properties}, TaskBody).properties
    return {} if typed is None else as_object(msgspec.to_builtins(typed))


def _with(resource: Resource, wanted: JsonObject, call: Call, existing: Resource | None) -> Resource:
    secrets: JsonObject = dict(existing.secrets) if existing and call.method == "PATCH" else {}
    credentials = wanted.pop("credentials", None)
    if credentials:
        secrets["credentials"] = credentials
    step = as_object(wanted.get("step"))
    for name in _HIDDEN:
        if name in step:
            secrets[name] = step.pop(name)
    properties = as_object(merged(resource.properties, wanted))
    _check(properties)
    envelope: JsonObject = {"systemData": system_data(call, existing)}
    before = as_object(existing.envelope.get("identity")) if existing else {}
    given = read(call.body, TaskBody).identity
    identity = identity_of(given, call, before) if given or call.method == "PUT" else before
    if identity:
        envelope["identity"] = identity
    return replace(resource, properties=properties, envelope=envelope, secrets=secrets)


def merged(before: Json, wanted: Json) -> Json:
    """A JSON merge patch (RFC 7396) without its nulls, which clients send for what they leave alone."""
    if not isinstance(before, dict) or not isinstance(wanted, dict):
        return wanted
    return {**before, **{name: merged(before.get(name), value) for name, value in wanted.items()}}


def _check(properties: JsonObject) -> None:
    """Raises ``ArmError`` for what no task may say, and for what is not emulated."""
    status = one_of(as_str(properties.get("status")), ("Enabled", "Disabled"), "properties.status")
    properties["status"] = status or "Enabled"
    timeout = properties.get("timeout")
    if not isinstance(timeout, int) or not SHORTEST_S <= timeout <= LONGEST_S:
        raise ArmError(
            400,
            "InvalidTimeout",
            f"The task timeout {timeout} is invalid: it must be {SHORTEST_S} to {LONGEST_S} seconds.",
            target="properties.timeout",
        )
    if properties.get("isSystemTask") is True and not properties.get("step"):
        return  # Azure keeps quick runs' own task in this form
    step = as_object(properties.get("step"))
    kind = one_of(as_str(step.get("type")), _STEPS, "properties.step.type")
    if kind is None:
        raise ArmError(
            400,
            "InvalidTaskStep",
            f"A task needs a step with a type: {', '.join(_STEPS)}.",
            target="properties.step.type",
        )
    step["type"] = kind
    if not step.get(_STEPS[kind]):
        raise ArmError(
            400,
            "InvalidTaskStep",
            f"A step of type {kind} needs '{_STEPS[kind]}'.",
            target=f"properties.step.{_STEPS[kind]}",
        )
    if not as_object(properties.get("platform")).get("os"):
        raise ArmError(
            400, "InvalidPlatform", "A task needs 'platform.os', Linux or Windows.", target="properties.platform.os"
        )
    if properties.get("agentPoolName"):
        raise not_implemented("An agent pool", "Runs are built on this machine; leave agentPoolName out.")
    trigger = as_object(properties.get("trigger"))
    for name in ("timerTriggers", "sourceTriggers"):
        if any(as_str(as_object(t).get("status")).lower() != "disabled" for t in as_list(trigger.get(name))):
            raise not_implemented(f"A task's {name}", "Schedule its runs yourself: az acr task run.")


def _tags(body: Json, before: Mapping[str, str] | None) -> Mapping[str, str] | None:
    given = as_object(body).get("tags")
    if isinstance(given, dict):
        return {name: as_str(value) for name, value in given.items()}
    return before
