"""What the namespace itself answers: its operations, for those who make roles of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.provider import Reply

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json

    from .service import RegistryService

_NAMESPACE = "Microsoft.ContainerRegistry"
_OPERATIONS = {
    "checkNameAvailability/read": "Check whether a registry name is available",
    "registries/read": "Get or list registries",
    "registries/write": "Create or update a registry",
    "registries/delete": "Delete a registry",
    "registries/importImage/action": "Import an image",
    "registries/listBuildSourceUploadUrl/action": "Get a source upload URL",
    "registries/listCredentials/action": "List the admin user's credentials",
    "registries/listUsages/read": "List quota usages",
    "registries/regenerateCredential/action": "Regenerate a credential of the admin user",
    "registries/replications/read": "Get or list replications",
    "registries/replications/write": "Create or update a replication",
    "registries/replications/delete": "Delete a replication",
    "registries/runs/read": "Get or list runs",
    "registries/runs/write": "Update a run",
    "registries/runs/cancel/action": "Cancel a run",
    "registries/runs/listLogSasUrl/action": "Get a run's log URL",
    "registries/scheduleRun/action": "Schedule a run",
    "registries/tasks/read": "Get or list tasks",
    "registries/tasks/write": "Create or update a task",
    "registries/tasks/delete": "Delete a task",
    "registries/tasks/listDetails/action": "List all details of a task",
}


async def list_operations(call: Call, resource: Resource | None, service: RegistryService) -> Reply:
    """``operations``."""
    value: list[Json] = []
    for name, description in _OPERATIONS.items():
        about, _, operation = name.rpartition("/")
        value.append(
            {
                "name": f"{_NAMESPACE}/{name}",
                "isDataAction": False,
                "display": {
                    "provider": _NAMESPACE,
                    "resource": about,
                    "operation": operation,
                    "description": description,
                },
            }
        )
    return Reply(status=200, body={"value": value})
