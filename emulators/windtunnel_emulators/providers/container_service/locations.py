"""What Microsoft.ContainerService answers about a location, and about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.locations import region
from windtunnel_emulators.arm.paths import plain_location
from windtunnel_emulators.arm.provider import Action, Reply

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json

    from .service import ContainerService

_OPERATIONS = (
    ("managedClusters/read", "Managed Clusters", "Get managed cluster"),
    ("managedClusters/write", "Managed Clusters", "Create or update managed cluster"),
    ("managedClusters/delete", "Managed Clusters", "Delete managed cluster"),
    ("managedClusters/start/action", "Managed Clusters", "Start managed cluster"),
    ("managedClusters/stop/action", "Managed Clusters", "Stop managed cluster"),
    ("managedClusters/runCommand/action", "Managed Clusters", "Run a command in a managed cluster"),
    ("managedClusters/listClusterAdminCredential/action", "Managed Clusters", "List admin credentials"),
    ("managedClusters/listClusterUserCredential/action", "Managed Clusters", "List user credentials"),
    ("managedClusters/agentPools/read", "Agent Pools", "Get agent pool"),
    ("managedClusters/agentPools/write", "Agent Pools", "Create or update agent pool"),
    ("managedClusters/agentPools/delete", "Agent Pools", "Delete agent pool"),
    ("locations/kubernetesVersions/read", "Locations", "Get releases of Kubernetes"),
)


async def operations(call: Call, resource: Resource | None, service: ContainerService) -> Reply:
    """What there are permissions for."""
    listed: list[Json] = [
        {
            "origin": "user,system",
            "name": f"Microsoft.ContainerService/{name}",
            "display": {
                "provider": "Microsoft Container Service",
                "resource": about,
                "operation": title,
                "description": f"{title}.",
            },
        }
        for name, about, title in _OPERATIONS
    ]
    return Reply(status=200, body={"value": listed})


async def kubernetes_versions(call: Call, resource: Resource | None, service: ContainerService) -> Reply:
    """The releases that clusters can have."""
    _location(call)
    return Reply(status=200, body=service.versions.listing())


async def orchestrators(call: Call, resource: Resource | None, service: ContainerService) -> Reply:
    """The same, in an older form."""
    location = _location(call)
    return Reply(
        status=200,
        body={
            "id": f"/subscriptions/{call.subscription}/providers/Microsoft.ContainerService/locations/{location}/"
            "orchestrators",
            "name": "default",
            "type": "Microsoft.ContainerService/locations/orchestrators",
            "properties": {"orchestrators": service.versions.orchestrators()},
        },
    )


async def os_options(call: Call, resource: Resource | None, service: ContainerService) -> Reply:
    """Which systems nodes can have."""
    location = _location(call)
    return Reply(
        status=200,
        body={
            "id": f"/subscriptions/{call.subscription}/providers/Microsoft.ContainerService/locations/{location}/"
            "osOptions/default",
            "name": "default",
            "type": "Microsoft.ContainerService/locations/osOptions",
            "properties": {"osOptionPropertyList": [{"os-type": "Linux", "enable-fips-image": False}]},
        },
    )


async def usages(call: Call, resource: Resource | None, service: ContainerService) -> Reply:
    """What is used of each quota."""
    return Reply(status=200, body={"value": service.quotas.usages(call.subscription, _location(call))})


ACTIONS: tuple[Action[ContainerService], ...] = (
    Action(method="GET", path="operations", act=operations),
    Action(method="GET", path="locations/{location}/kubernetesVersions", act=kubernetes_versions),
    Action(method="GET", path="locations/{location}/orchestrators", act=orchestrators),
    Action(method="GET", path="locations/{location}/osOptions/default", act=os_options),
    Action(method="GET", path="locations/{location}/usages", act=usages),
)


def _location(call: Call) -> str:
    location = call.parameters["location"]
    if region(location) is None:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{location}' is not available for resource type"
            " 'Microsoft.ContainerService/locations'.",
        )
    return plain_location(location)
