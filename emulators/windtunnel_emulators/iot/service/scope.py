"""Who is behind an edge device: what its hub module asks, to know who may connect to it when there is no cloud.

``POST /devices/{device}/modules/$edgeHub/devicesAndModulesInTargetDeviceScope``, as the real edge hub asks
(``NestedDeviceScopeApiClient`` of Azure/iotedge). The chain names the device whose scope is asked for, and those
between it and the one that asks; keys are in the answer, so nobody else is told.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import argument_invalid, unauthorized
from windtunnel_emulators.iot.hub.identity import EDGE_HUB, Who
from windtunnel_emulators.iot.service import identities
from windtunnel_emulators.iot.service.bodies import read
from windtunnel_emulators.iot.service.requests import Answer
from windtunnel_emulators.iot.service.routes import READ, Route

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Identity
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import JsonObject

_MOST = 1000


class ScopeBody(msgspec.Struct, rename="camel"):
    """What is asked."""

    auth_chain: str
    page_size: int = 0
    """0 for as many as there may be."""
    continuation_link: str | None = None


async def in_scope(hub: Hub, request: Request) -> Answer:
    """The devices and modules in the scope of an edge device, page by page."""
    actor = Who(request.parameters["device"], request.parameters["module"])
    if actor.module != EDGE_HUB or request.caller.who != actor:
        raise unauthorized(f"Only '{actor.device}/{EDGE_HUB}' itself may ask who is in the scope of its device.")
    body = read(request.object(), ScopeBody)
    if not 0 <= body.page_size <= _MOST:
        raise argument_invalid(f"'pageSize' is {body.page_size}; it is a number from 0 to {_MOST}.")
    target = _target(hub, actor.device, body.auth_chain)
    after = _after(body.continuation_link)
    found = [one for one in _members(hub, target) if after is None or one.who > after]
    page = found[: body.page_size or _MOST]
    link = _link(page[-1].who) if len(page) < len(found) else ""
    devices: list[JsonObject] = []
    modules: list[JsonObject] = []
    for one in page:
        (modules if one.module else devices).append(identities.shown(hub, one, hub.identities.keys(one.who)))
    return Answer(body={"devices": [*devices], "modules": [*modules], "continuationLink": link})


def _target(hub: Hub, actor: str, chain: str) -> Identity:
    """The edge device at the beginning of a chain that ends with who asks. Raises ``HubError``."""
    names = [name for name in chain.split(";") if name]
    if not names or names[-1] != actor:
        raise unauthorized(f"The chain '{chain[:200]}' does not end with '{actor}', which asks.")
    parent: Identity | None = None
    for name in reversed(names):
        device = hub.identities.get(Who(name))
        if device is None or not device.edge or not device.enabled:
            raise unauthorized(f"'{name[:130]}' is no edge device of this hub, or is disabled.")
        if parent is not None and parent.scope not in device.parents:
            raise unauthorized(f"'{name[:130]}' is no child of '{parent.device}'.")
        parent = device
    assert parent is not None
    return parent


def _members(hub: Hub, edge: Identity) -> list[Identity]:
    """In order: the edge device, its children, and the modules of all of them."""
    inside = {
        one.device
        for one in hub.identities.each()
        if not one.module and (one.device == edge.device or (edge.scope and edge.scope in (one.scope, *one.parents)))
    }
    return sorted((one for one in hub.identities.each() if one.device in inside), key=lambda one: one.who)


def _link(who: Who) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(who)).decode()


def _after(link: str | None) -> Who | None:
    if not link:
        return None
    try:
        device, module = msgspec.json.decode(base64.urlsafe_b64decode(link), type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError) as problem:
        raise argument_invalid("'continuationLink' is none that was given.") from problem
    return Who(device, module)


ROUTES = (
    Route(
        method="POST",
        path="devices/{device}/modules/{module}/devicesAndModulesInTargetDeviceScope",
        act=in_scope,
        needs=READ,
        own=True,
    ),
)
