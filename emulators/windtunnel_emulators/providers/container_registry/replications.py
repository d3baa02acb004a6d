"""Replications of Premium registries, as ARM resources. There is one machine: the content is where it was.

The long-running protocol is the recorded one: links below the resource, and polls that say ``Creating``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Change, Links, Removal, Resource, View
from windtunnel_emulators.jsontypes import as_object, as_str

from .bodies import ReplicationBody, one_of, read
from .skus import premium_only
from .times import system_data, zulu

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Operation
    from windtunnel_emulators.jsontypes import JsonObject

    from .service import RegistryService

LINKS = Links(path="{resource}/operationStatuses/replications-{operation}", location=True, retry_after_s=10)
_ENABLED = ("Enabled", "Disabled")


def put(call: Call, existing: Resource | None, service: RegistryService) -> Change:
    """201 and Creating, as recorded; an existing one is changed at once."""
    assert call.id is not None
    assert call.id.parent is not None
    registry = service.world.resources.get(call.id.parent)
    assert registry is not None
    premium_only(as_str(as_object(registry.envelope.get("sku")).get("name")), "replications")
    if not call.id.name.isalnum() or not 5 <= len(call.id.name) <= 50:
        raise ArmError(
            400,
            "InvalidResourceName",
            f"The replication name '{call.id.name[:100]}' is invalid. It has 5 to 50 letters and digits.",
            target="name",
        )
    body = read(call.body, ReplicationBody)
    location = as_str(as_object(call.body).get("location"))
    if existing is None and registry.location == location:
        raise ArmError(
            409,
            "ReplicationInHomeRegion",
            f"The registry '{registry.id.name}' itself is in '{location}'; replicate it to another region.",
            target="location",
        )
    resource = Resource(
        id=call.id,
        location=location,
        tags=dict(body.tags or {}),
        properties=_properties(body, existing, call),
        envelope={"systemData": system_data(call, existing)},
        etag=existing.etag if existing else "",
    )
    return Change(resource=resource, status=200 if existing else 201, work=None if existing else "create")


def patch(call: Call, existing: Resource | None, _: RegistryService) -> Change:
    assert existing is not None
    body = read(call.body, ReplicationBody)
    properties = dict(existing.properties)
    if body.properties is not None and body.properties.region_endpoint_enabled is not None:
        properties["regionEndpointEnabled"] = body.properties.region_endpoint_enabled
    changed = replace(
        existing,
        properties=properties,
        tags=existing.tags if body.tags is None else dict(body.tags),
        envelope={"systemData": system_data(call, existing)},
    )
    return Change(resource=changed, status=200)


def delete(_: Call, __: Resource, ___: RegistryService) -> Removal:
    return Removal(status=202, work="delete", at_once=False, announce=True)


async def create(resource: Resource, service: RegistryService) -> Resource:
    """Nothing is to be copied, so it is ready."""
    now = zulu(service.world.clock.now())
    status: JsonObject = {"displayStatus": "Ready", "timestamp": now}
    return replace(resource, properties={**resource.properties, "provisioningState": "Succeeded", "status": status})


async def remove(resource: Resource, _: RegistryService) -> Resource:
    return resource


def view(resource: Resource, _: RegistryService, __: View) -> JsonObject:
    return {**resource.envelope, "tags": dict(resource.tags or {}), "properties": resource.properties}


def poll(operation: Operation, _: Resource | None, __: RegistryService) -> JsonObject:
    """A poll says no more than this."""
    if operation.status != "InProgress":
        found: JsonObject = {"status": operation.status}
        if operation.error is not None:
            found["error"] = operation.error
        return found
    return {"status": "Deleting" if operation.verb == "delete" else "Creating"}


def _properties(body: ReplicationBody, existing: Resource | None, call: Call) -> JsonObject:
    wanted = body.properties
    zones = one_of(wanted.zone_redundancy if wanted else None, _ENABLED, "properties.zoneRedundancy")
    endpoint = wanted.region_endpoint_enabled if wanted else None
    if existing is not None:
        return {
            **existing.properties,
            "regionEndpointEnabled": existing.properties["regionEndpointEnabled"] if endpoint is None else endpoint,
        }
    return {
        "provisioningState": "Creating",
        "status": {"timestamp": zulu(call.now)},
        "regionEndpointEnabled": True if endpoint is None else endpoint,
        "zoneRedundancy": zones or "Disabled",
    }
