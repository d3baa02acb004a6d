"""All paths of Microsoft.Resources, with the functions that answer them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.endpoints import Endpoint
from windtunnel_emulators.arm.errors import not_implemented
from windtunnel_emulators.arm.provider import Provider
from windtunnel_emulators.providers.resources import groups, listing, namespaces, reserved, subscriptions, tags
from windtunnel_emulators.providers.resources.versions import RESOURCES

if TYPE_CHECKING:
    from windtunnel_emulators.arm.endpoints import Handler
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.arm.responses import Answer
    from windtunnel_emulators.world import World

_S = "subscriptions/{subscription}"
_G = _S + "/resourcegroups/{group}"
_METHODS: tuple[str, ...] = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE")


def _endpoint(path: str, *, anywhere: bool = False, **methods: Handler) -> Endpoint:
    return Endpoint(path=path, methods=methods, versions=RESOURCES, anywhere=anywhere)


def _refused(path: str, what: str, way_out: str, *, anywhere: bool = False) -> Endpoint:
    """A path of Azure's that is not emulated. Its body is not looked at: az sends some that are no JSON."""

    def refuse(kernel: Kernel, call: Call) -> Answer:
        raise not_implemented(what, way_out)

    methods = dict.fromkeys(_METHODS, refuse)
    return Endpoint(path=path, methods=methods, versions=RESOURCES, anywhere=anywhere, reads_body=False)


_DEPLOYMENTS = ("Deploying a template", "Create its resources one by one, with az or an SDK.")
_MOVES = ("Moving resources", "Create them anew where they are wanted.")

ENDPOINTS = (
    _endpoint("subscriptions", GET=subscriptions.list_all),
    _endpoint(_S, GET=subscriptions.get),
    _endpoint(f"{_S}/locations", GET=subscriptions.locations),
    _endpoint("tenants", GET=subscriptions.tenants),
    _endpoint("providers", GET=namespaces.list_all),
    _endpoint("providers/{namespace}", GET=namespaces.get),
    _endpoint(f"{_S}/providers", GET=namespaces.list_all),
    _endpoint(f"{_S}/providers/{{namespace}}", GET=namespaces.get),
    _endpoint(f"{_S}/providers/{{namespace}}/resourceTypes", GET=namespaces.types),
    _endpoint(f"{_S}/providers/{{namespace}}/register", POST=namespaces.register),
    _endpoint(f"{_S}/providers/{{namespace}}/unregister", POST=namespaces.unregister),
    _endpoint("providers/Microsoft.Resources/checkResourceName", POST=reserved.check),
    _endpoint(f"{_S}/resources", GET=listing.resources),
    _endpoint(f"{_S}/resourcegroups", GET=listing.all_groups),
    _endpoint(_G, GET=groups.get, HEAD=groups.head, PUT=groups.put, PATCH=groups.patch, DELETE=groups.delete),
    _endpoint(f"{_G}/resources", GET=listing.resources),
    _endpoint(f"{_S}/tagNames", GET=tags.names),
    _endpoint(f"{_S}/tagNames/{{name}}", PUT=tags.put_name, DELETE=tags.delete_name),
    _endpoint(f"{_S}/tagNames/{{name}}/tagValues/{{value}}", PUT=tags.put_value, DELETE=tags.delete_value),
    _endpoint(
        "providers/Microsoft.Resources/tags/default",
        anywhere=True,
        GET=tags.get,
        PUT=tags.put,
        PATCH=tags.patch,
        DELETE=tags.delete,
    ),
    _refused(f"{_G}/exportTemplate", "Exporting a template", "Read the resources of the group one by one."),
    _refused(f"{_G}/moveResources", *_MOVES),
    _refused(f"{_G}/validateMoveResources", *_MOVES),
    *(
        _refused(f"providers/Microsoft.Resources/deployments{rest}", *_DEPLOYMENTS, anywhere=anywhere)
        for rest in ("", "/{name}", "/{name}/{action}", "/{name}/{action}/{id}")
        for anywhere in (True, False)  # False: of the tenant
    ),
    *(_refused(f"{_G}/deployments/{{name}}/operations{rest}", *_DEPLOYMENTS) for rest in ("", "/{id}")),
    _refused("providers/Microsoft.Resources/calculateTemplateHash", *_DEPLOYMENTS),
    _refused(f"{_S}/providers/Microsoft.Resources/checkZonePeers", "Comparing zones", "There is one subscription."),
    _refused(
        f"{_S}/providers/{{namespace}}/providerPermissions",
        "Telling the permissions of a provider",
        "Roles are not checked.",
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
