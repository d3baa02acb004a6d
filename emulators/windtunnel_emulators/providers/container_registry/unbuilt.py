"""The types of this namespace that are not emulated: their lists are empty, and making one is refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from windtunnel_emulators.arm.errors import not_implemented
from windtunnel_emulators.arm.provider import Action, ResourceType

from .versions import API_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.arm.provider import Call, Change, Removal, Reply, Resource, View
    from windtunnel_emulators.jsontypes import JsonObject

    from .service import RegistryService

_ADMIN = "Use the admin user or a Microsoft Entra token, which may do everything."
_TYPES = {
    "registries/webhooks": ("A registry's webhook", "Poll the registry, or its runs, for what is new."),
    "registries/scopeMaps": ("A registry's scope map", _ADMIN),
    "registries/tokens": ("A registry's token", _ADMIN),
    "registries/cacheRules": ("A registry's cache rule", "Push the images that you need."),
    "registries/credentialSets": ("A registry's credential set", "Push the images that you need."),
    "registries/connectedRegistries": ("A connected registry", "Use a second registry."),
    "registries/privateEndpointConnections": ("A private endpoint of a registry", "Everything here is on loopback."),
    "registries/privateLinkResources": ("A private link of a registry", "Everything here is on loopback."),
    "registries/agentPools": ("An agent pool", "Runs are built on this machine; leave agentPoolName out."),
    "registries/taskRuns": ("A task run as a resource", "Use scheduleRun."),
    "registries/importPipelines": ("An import pipeline", "Use importImage, or push."),
    "registries/exportPipelines": ("An export pipeline", "Pull, and push elsewhere."),
    "registries/pipelineRuns": ("A pipeline run", "Use importImage, or push."),
}
_ACTIONS = {
    "registries/webhooks": ("ping", "listEvents", "getCallbackConfig"),
    "registries/agentPools": ("listQueueStatus",),
    "registries/taskRuns": ("listDetails",),
}
"""What can be asked of one, if there were any."""


def unbuilt_types() -> Iterator[ResourceType[RegistryService]]:
    for name, (what, way_out) in _TYPES.items():
        yield ResourceType(
            name=name,
            api_versions=API_VERSIONS,
            locations=(),
            view=_view,
            put=_refusal(what, way_out),
            patch=_refusal(what, way_out),
            delete=_delete,
            actions=tuple(Action(method="POST", path=path, act=_act) for path in _ACTIONS.get(name, ())),
            tracked=False,
        )


async def generate_credentials(_: Call, __: Resource | None, ___: RegistryService) -> Reply:
    """``generateCredentials``, which is for a registry's tokens."""
    raise not_implemented(*_TYPES["registries/tokens"])


def _refusal(what: str, way_out: str) -> Callable[[Call, Resource | None, RegistryService], Change]:
    def refuse(_: Call, __: Resource | None, ___: RegistryService) -> NoReturn:
        raise not_implemented(what, way_out)

    return refuse


def _delete(_: Call, __: Resource, ___: RegistryService) -> Removal:
    raise AssertionError("there is never one to delete")


async def _act(_: Call, __: Resource | None, ___: RegistryService) -> Reply:
    raise AssertionError("there is never one to act on")


def _view(_: Resource, __: RegistryService, ___: View) -> JsonObject:
    raise AssertionError("there is never one to show")
