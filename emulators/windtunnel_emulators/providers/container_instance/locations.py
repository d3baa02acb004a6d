"""What Microsoft.ContainerInstance answers about a location, and about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Action, Reply

from .capabilities import capabilities, display, listing

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json

    from .service import ContainerInstances

_OPERATIONS = (
    ("containerGroups/read", "Container Group", "Get Container Groups", "Get all container groups."),
    (
        "containerGroups/write",
        "Container Group",
        "Create or Update Container Group",
        "Create or update a specific container group.",
    ),
    ("containerGroups/delete", "Container Group", "Delete Container Group", "Delete the specific container group."),
    (
        "containerGroups/restart/action",
        "Container Group",
        "Restart Container Group",
        "Restart all in place.",
    ),
    ("containerGroups/start/action", "Container Group", "Start Container Group", "Start a group that was stopped."),
    ("containerGroups/stop/action", "Container Group", "Stop Container Group", "Stop it and free its resources."),
    ("containerGroups/containers/logs/read", "Container", "Get Logs", "Get the logs of a container."),
    ("containerGroups/containers/exec/action", "Container", "Exec", "Execute a command in a container."),
    ("containerGroups/containers/attach/action", "Container", "Attach", "Attach to the output of a container."),
    (
        "containerGroups/outboundNetworkDependenciesEndpoints/read",
        "Container Group",
        "Get Outbound Network Dependencies",
        "Get the endpoints that a container group depends on.",
    ),
    ("locations/usages/read", "Usage", "Get Usages", "Get what is used of the quotas in a region."),
    ("locations/capabilities/read", "Capabilities", "Get Capabilities", "Get what a region offers."),
    ("locations/cachedImages/read", "Cached Image", "Get Cached Images", "Get the images that a region keeps."),
    ("locations/operations/read", "Operation", "Get Operation", "Get the state of a long-running operation."),
)


async def operations(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """What there are permissions for."""
    listed: list[Json] = [
        {
            "name": f"Microsoft.ContainerInstance/{name}",
            "display": {
                "provider": "Microsoft Container Instance",
                "resource": about,
                "operation": title,
                "description": description,
            },
            "origin": "User",
        }
        for name, about, title, description in _OPERATIONS
    ]
    return Reply(status=200, body={"value": listed})


async def usages(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """What is used of each quota in a location."""
    location = _location(call)
    listed = service.quotas.listing(call.subscription, location, service.ledger.entries())
    return Reply(status=200, body={"value": listed})


async def location_capabilities(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """How large a group may be in a location."""
    return Reply(status=200, body={"value": listing(_location(call))})


async def cached_images(call: Call, resource: Resource | None, service: ContainerInstances) -> Reply:
    """The images that start without being downloaded: none is kept for everybody here."""
    _location(call)
    return Reply(status=200, body={"value": []})


ACTIONS: tuple[Action[ContainerInstances], ...] = (
    Action(method="GET", path="operations", act=operations),
    Action(method="GET", path="locations/{location}/usages", act=usages),
    Action(method="GET", path="locations/{location}/capabilities", act=location_capabilities),
    Action(method="GET", path="locations/{location}/cachedImages", act=cached_images),
)


def _location(call: Call) -> str:
    location = call.parameters["location"]
    if display(location) is None:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{location}' is not available for resource type"
            " 'Microsoft.ContainerInstance/locations'. List of available regions for the resource type is"
            f" '{','.join(capabilities().locations)}'.",
        )
    return location
