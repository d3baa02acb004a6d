"""Resource groups over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm import calls, checks, longrunning
from windtunnel_emulators.arm.errors import by_gateway, not_implemented, resource_group_not_found
from windtunnel_emulators.arm.groups import Group
from windtunnel_emulators.arm.journal import GROUP_TYPE
from windtunnel_emulators.arm.responses import Answer

if TYPE_CHECKING:
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import JsonObject


def shown(group: Group) -> JsonObject:
    """A group as ARM shows it."""
    body: JsonObject = {
        "id": group.id,
        "name": group.name,
        "type": GROUP_TYPE,
        "location": group.location,
        "properties": {"provisioningState": "Deleting" if group.deleting else "Succeeded"},
    }
    if group.managed_by is not None:
        body["managedBy"] = group.managed_by
    if group.tags is not None:
        body["tags"] = dict(group.tags)
    return body


def existing(kernel: Kernel, call: Call) -> Group:
    """The group of the path. Raises 404."""
    name = call.parameters["group"]
    found = kernel.groups.get(call.subscription, name)
    if found is None:
        raise resource_group_not_found(name)
    return found


def get(kernel: Kernel, call: Call) -> Answer:
    """Read one."""
    return Answer(status=200, body=shown(existing(kernel, call)))


def head(kernel: Kernel, call: Call) -> Answer:
    """204 when it is there, 404 when not, as ``az group exists`` asks."""
    found = kernel.groups.get(call.subscription, call.parameters["group"])
    return Answer(status=404 if found is None else 204)


def put(kernel: Kernel, call: Call) -> Answer:
    """Create one, or replace its tags."""
    name = call.parameters["group"]
    checks.group_name(name)
    body = checks.object_body(call.body, "a resource group")
    checks.properties_of(body)
    before = kernel.groups.get(call.subscription, name)
    location = checks.group_location(body, before.location if before else None)
    tags = checks.tags(body)
    _refuse_deleting(before)
    managed_by = checks.optional_text(body, "managedBy")
    group = Group(
        subscription=kernel.subscription,
        name=before.name if before else name,
        location=location,
        tags=tags,
        managed_by=managed_by,
    )
    kernel.groups.save(group)
    return Answer(status=200 if before else 201, body=shown(group))


def patch(kernel: Kernel, call: Call) -> Answer:
    """Change its tags."""
    before = existing(kernel, call)
    body = checks.object_body(call.body, "a change of a resource group")
    checks.properties_of(body)
    tags = checks.tags(body)
    _refuse_deleting(before)
    managed_by = checks.optional_text(body, "managedBy")
    group = replace(
        before,
        tags=before.tags if tags is None else tags,
        managed_by=before.managed_by if managed_by is None else managed_by,
    )
    kernel.groups.save(group)
    return Answer(status=200, body=shown(group))


def delete(kernel: Kernel, call: Call) -> Answer:
    """Delete it with all that is in it."""
    group = existing(kernel, call)
    operation = kernel.operations.deleting(group)
    if operation is None:
        removed = calls.planned_removal(kernel, call, kernel.resources.in_group(group), at_once=False)
        operation = kernel.operations.remove_group(group, removed, api_version=call.api_version)
    headers = longrunning.group_location(operation, base_url=call.base_url, pace=kernel.pace)
    return Answer(status=202, headers=headers)


def export(kernel: Kernel, call: Call) -> Answer:
    """Not emulated."""
    existing(kernel, call)
    raise not_implemented("Exporting a resource group as a template", "Read its resources one by one.")


def _refuse_deleting(group: Group | None) -> None:
    if group is not None and group.deleting:
        raise by_gateway(
            409,
            "ResourceGroupBeingDeleted",
            f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation.",
        )
