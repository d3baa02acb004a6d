"""All paths of Microsoft.Resources, with the functions that answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.endpoints import Endpoint
from windtunnel_emulators.arm.provider import Provider
from windtunnel_emulators.providers.resources import groups
from windtunnel_emulators.providers.resources.versions import RESOURCES

if TYPE_CHECKING:
    from windtunnel_emulators.world import World

_SUBSCRIPTION = "subscriptions/{subscription}"

ENDPOINTS = (
    Endpoint(
        path=f"{_SUBSCRIPTION}/resourcegroups/{{group}}",
        methods={
            "GET": groups.get,
            "HEAD": groups.head,
            "PUT": groups.put,
            "PATCH": groups.patch,
            "DELETE": groups.delete,
        },
        versions=RESOURCES,
    ),
    Endpoint(
        path=f"{_SUBSCRIPTION}/resourcegroups/{{group}}/exportTemplate",
        methods={"POST": groups.export},
        versions=RESOURCES,
    ),
)


class Nothing:
    """A service that keeps nothing beside the store."""

    async def start(self) -> None:
        """Nothing to take up."""

    async def stop(self) -> None:
        """Nothing to let go of."""


def _service(world: World) -> Nothing:
    return Nothing()


PROVIDER = Provider(namespace="Microsoft.Resources", types=(), service=_service)
