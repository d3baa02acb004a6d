"""Container group profiles: descriptions of groups that are kept, with all their revisions, and start nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Action, Change, Removal, Reply, Resource, ResourceType
from windtunnel_emulators.jsontypes import as_list, as_object

from .bodies import GroupBody
from .capabilities import capabilities, ceiling
from .groups import patch
from .reading import read
from .stored import store
from .validation import check_body, check_group_name

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, View
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .service import ContainerInstances

TYPE = "containerGroupProfiles"
API_VERSIONS = (
    "2023-02-01-preview",
    "2023-05-15-preview",
    "2024-05-01-preview",
    "2024-09-01-preview",
    "2024-10-01-preview",
    "2024-11-01-preview",
    "2025-09-01",
    "2026-05-01",
    "2026-06-01-preview",
)


def put(call: Call, current: Resource | None, service: ContainerInstances) -> Change:
    """Keep a description; another one under the same name is the next revision."""
    if call.id is None:
        raise TypeError("a PUT has the id of its resource")
    if current is None:
        check_group_name(call.id.name)
    body = read(call.body, GroupBody)
    sku = body.properties.sku if body.properties is not None else None
    kept, secrets = store(check_body(call.id.name, body, ceiling(sku)))
    before = [] if current is None else _revisions(current)
    zones: list[Json] = [*(body.zones or [])]
    resource = Resource(
        id=call.id,
        location=body.location,
        tags=body.tags,
        properties={**kept, "revision": len(before) + 1},
        envelope={"zones": zones} if zones else {},
        secrets=secrets,
        state={"revisions": [*before]},
    )
    return Change(resource=resource, status=201 if current is None else 200)


def delete(call: Call, current: Resource, service: ContainerInstances) -> Removal:
    """Nothing holds on to a profile."""
    return Removal(status=200)


def view(resource: Resource, service: ContainerInstances, how: View) -> JsonObject:
    """A profile in an answer."""
    return {**resource.envelope, "properties": resource.properties}


async def list_revisions(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """All revisions, oldest first."""
    profile = _there(resource)
    shown: list[Json] = [_revision_view(profile, properties) for properties in _revisions(profile)]
    return Reply(status=200, body={"value": shown})


async def get_revision(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """One revision by its number. Raises ``ArmError`` 404."""
    profile, wanted = _there(resource), call.parameters["revision"]
    for properties in _revisions(profile):
        if str(properties["revision"]) == wanted:
            return Reply(status=200, body=_revision_view(profile, properties))
    raise ArmError(
        404,
        "ContainerGroupProfileRevisionNotFound",
        f"The container group profile '{profile.id.name}' has no revision '{wanted}'; its latest is"
        f" '{profile.properties['revision']}'.",
    )


CONTAINER_GROUP_PROFILES: ResourceType[ContainerInstances] = ResourceType(
    name=TYPE,
    api_versions=API_VERSIONS,
    locations=capabilities().locations,
    view=view,
    put=put,
    patch=patch,
    delete=delete,
    actions=(
        Action(method="GET", path="revisions", act=list_revisions),
        Action(method="GET", path="revisions/{revision}", act=get_revision),
    ),
)


def _there(resource: Resource | None) -> Resource:
    if resource is None:
        raise TypeError("ARM calls these actions with the resource they act on")
    return resource


def _revisions(profile: Resource) -> list[JsonObject]:
    """The properties of every revision, the latest last."""
    earlier = [as_object(entry) for entry in as_list(profile.state.get("revisions"))]
    return [*earlier, profile.properties]


def _revision_view(profile: Resource, properties: JsonObject) -> JsonObject:
    shown: JsonObject = {
        "id": str(profile.id),
        "name": profile.id.name,
        "type": f"Microsoft.ContainerInstance/{TYPE}",
        "location": profile.location,
        **profile.envelope,
        "properties": properties,
    }
    if profile.tags is not None:
        shown["tags"] = dict(profile.tags)
    return shown
