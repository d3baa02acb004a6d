"""``POST /devices/{device}/applyConfigurationContent``: what one edge device shall run; how twins are given it.

Either all of the content is taken, or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub import twin_rules, twins
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid, device_not_found
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.manifests.content import read_portions
from windtunnel_emulators.iot.manifests.errors import ContentProblem
from windtunnel_emulators.iot.manifests.validation import check_desired
from windtunnel_emulators.iot.service import identities
from windtunnel_emulators.iot.service.bodies import IdentityBody, PropertiesBody, TwinBody
from windtunnel_emulators.iot.service.requests import Answer
from windtunnel_emulators.iot.service.routes import WRITE, Route
from windtunnel_emulators.iot.service.twins import change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.manifests.content import Portions
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import JsonObject

MANAGED_BY = "IotEdge"
"""Of modules that come with a deployment (edge-agent, ``Constants.ModuleIdentityEdgeManagedByValue``)."""


async def apply(hub: Hub, request: Request) -> Answer:
    device = request.parameters["device"]
    identity = hub.identities.get(Who(device))
    if identity is None:
        raise device_not_found(device)
    body = request.object()
    if not identity.edge:
        raise argument_invalid(f"Device '{device}' is no edge device, and modules run on edge devices only.")
    try:
        portions = read_portions(body.get("modulesContent"))
        desired = over_twins(hub, device, portions)
        check_desired(desired)
    except ContentProblem as problem:
        raise refused(problem) from problem
    deploy(hub, device, desired)
    hub.configurations.set_deployed(Who(device), None)
    return Answer(status=204)


def over_twins(hub: Hub, device: str, portions: Portions) -> dict[str, JsonObject]:
    """The desired properties of each module after the content is put over those that it has."""
    found: dict[str, JsonObject] = {}
    for module, portion in portions.items():
        twin = hub.twins.get(Who(device, module))
        found[module] = twins.plain(portion.applied(twin.desired.properties if twin else {}))
    return found


def deploy(hub: Hub, device: str, desired: Mapping[str, JsonObject]) -> bool:
    """Give modules these desired properties; those that are not there are made. False when all had them before.

    Raises ``HubError`` before anything is changed.
    """
    new = [module for module in desired if hub.identities.get(Who(device, module)) is None]
    identities.check_room(hub, Who(device), len(new))
    for module, properties in desired.items():
        check(properties, f"modulesContent.{module}.properties.desired")
    is_changed = False
    with hub.store.transaction():
        for module in new:
            identities.create(hub, Who(device, module), IdentityBody(managed_by=MANAGED_BY))
        for module, properties in desired.items():
            is_changed |= set_desired(hub, Who(device, module), properties)
    return is_changed or bool(new)


def set_desired(hub: Hub, who: Who, properties: JsonObject) -> bool:
    """Replace the desired properties, if they are others. Raises ``HubError``."""
    if hub.twin(who).desired.properties == properties:
        return False
    change(hub, who, TwinBody(properties=PropertiesBody(desired=properties)), replace=True)
    return True


def check(properties: JsonObject, place: str) -> None:
    """Whether a twin may have these desired properties. Raises ``HubError``."""
    twin_rules.check(properties, place)
    twin_rules.check_size(properties, place, twin_rules.LARGEST_PROPERTIES)


def refused(problem: ContentProblem) -> HubError:
    return HubError(400, "ArgumentInvalid", f"The content is invalid: {problem}.")


ROUTES = (Route(method="POST", path="devices/{device}/applyConfigurationContent", act=apply, needs=WRITE),)
