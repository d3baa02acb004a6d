"""Container groups as ARM's verbs see them: what PUT, PATCH and DELETE check and make, and what works do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Change, Removal, Resource, View
from windtunnel_emulators.jsontypes import as_str

from . import views
from .bodies import GroupBody
from .capabilities import ceiling
from .deployment import new_state
from .reading import read
from .service import transitioning
from .stored import identity_envelope, load, load_secrets, store
from .updates import check_update, check_zones
from .validation import check_body, check_group_name

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Operation
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.runtime.status import GroupStatus

    from .service import ContainerInstances

PENDING = views.PENDING
_ADDRESS_AFTERWARDS = "2020-11-01"
"""From this api-version on, recordings show ``ip`` only once a group is provisioned; before, in the answer to PUT."""


def put(call: Call, current: Resource | None, service: ContainerInstances) -> Change:
    """Create a group, or replace it: a second PUT starts everything anew."""
    if call.id is None:
        raise TypeError("a PUT has the id of its resource")
    if current is None:
        check_group_name(call.id.name)
    else:
        service.refuse_transitioning(current)
    body = read(call.body, GroupBody)
    sku = body.properties.sku if body.properties is not None else None
    properties = check_body(call.id.name, body, ceiling(sku))
    kept, secrets = store(properties)
    envelope: JsonObject = {}
    if body.zones:
        zones: list[Json] = [*body.zones]
        envelope["zones"] = zones
    identity = identity_envelope(body.identity, call.id.key, service.world.tenant)
    if identity is not None:
        envelope["identity"] = identity
    if current is not None and _updates_in_place(current, service.status(current)):
        check_update(call.id.name, load(current.properties), properties)
        check_zones(call.id.name, current.envelope.get("zones"), envelope.get("zones"))
    resource = Resource(
        id=call.id,
        location=body.location,
        tags=body.tags,
        properties={"provisioningState": views.PENDING, **kept},
        envelope=envelope,
        secrets=secrets,
        state=new_state() if current is None else current.state,
        etag="" if current is None else current.etag,
    )
    service.images.check(call.id.name, properties, load_secrets(secrets))
    service.ledger.admit(resource)
    headers = service.creations.take(call.subscription, body.location or "")
    if current is None and properties.ip_address is not None and call.api_version < _ADDRESS_AFTERWARDS:
        resource = replace(resource, state=service.with_address(resource))
    return Change(
        resource=resource,
        status=201 if current is None else 200,
        work="create" if current is None else "update",
        headers=headers,
    )


def patch(call: Call, current: Resource | None, service: ContainerInstances) -> Change:
    """Replace the tags; nothing else of a group can be changed in part."""
    if current is None:
        raise TypeError("ARM calls PATCH with the resource there is")
    service.refuse_transitioning(current)
    body = call.body if isinstance(call.body, dict) else {}
    for field, value in body.items():
        known = {"location": current.location, "zones": current.envelope.get("zones")}.get(field.lower())
        if field.lower() in ("tags", "id", "name", "type") or value is None or value in (known, {}, []):
            continue
        raise ArmError(
            400,
            "InvalidContainerGroupPatch",
            f"The '{field}' of container group '{current.id.name}' cannot be changed by PATCH, which only replaces its"
            " tags. Send the whole group by PUT.",
            target=field,
        )
    tags = body.get("tags")
    if not isinstance(tags, dict):
        return Change(resource=current, status=200)
    return Change(resource=replace(current, tags={name: as_str(value) for name, value in tags.items()}), status=200)


def delete(call: Call, current: Resource, service: ContainerInstances) -> Removal:
    """The group is gone with the answer; its containers end behind it."""
    headers = service.deletions.take(call.subscription, current.location or "", refuse=False)
    return Removal(status=200, show=True, work="delete", headers=headers)


async def create(resource: Resource, service: ContainerInstances) -> Resource:
    """Run the group as it is stored: the work of creating, updating and starting one."""
    await service.deploy(resource)
    return _provisioning(resource, views.SUCCEEDED)


async def remove(resource: Resource, service: ContainerInstances) -> Resource:
    """Free what the group holds."""
    await service.remove(resource)
    return resource


def failed(resource: Resource, problem: ArmError) -> Resource:
    """A group that could not be provisioned."""
    return _provisioning(resource, views.FAILED)


def busy(resource: Resource, call: Call) -> ArmError:
    """The service's own refusal while a group is being changed."""
    return transitioning(resource)


def view(resource: Resource, service: ContainerInstances, how: View) -> JsonObject:
    """A group in an answer."""
    tenant = service.world.tenant
    if how is View.LIST:
        return views.listed(resource, service.provisioning(resource), tenant)
    if how is View.PUT and resource.properties.get("provisioningState") == views.PENDING:
        return views.accepted(resource, tenant)
    return service.shown(resource)


def poll(operation: Operation, resource: Resource | None, service: ContainerInstances) -> JsonObject:
    """The body of a poll: the group's id, and what has happened to its containers."""
    status = views.PENDING if operation.status == "InProgress" else operation.status
    events = []
    if resource is not None:
        events = views.all_events(service.status(resource), service.events(resource))
    return views.operation(operation.target_id, status, operation.started, events, operation.error)


def _provisioning(resource: Resource, state: str) -> Resource:
    return replace(resource, properties={**resource.properties, "provisioningState": state})


def _updates_in_place(current: Resource, status: GroupStatus | None) -> bool:
    """Not when the group has ended, was stopped, or never came to run: it is deployed anew then."""
    return status is not None and not status.finished and current.properties.get("provisioningState") != views.FAILED
