"""``/devices/{device}/modules``. A device may do all of this with its own modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid, device_not_found, module_not_found
from windtunnel_emulators.iot.hub.identity import AGENT, EDGE_HUB, Who, check_who
from windtunnel_emulators.iot.service import identities
from windtunnel_emulators.iot.service.bodies import IdentityBody, read
from windtunnel_emulators.iot.service.requests import Answer, check_etag
from windtunnel_emulators.iot.service.routes import READ, WRITE, Route

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Identity, Keys
    from windtunnel_emulators.iot.service.requests import Request


async def put(hub: Hub, request: Request) -> Answer:
    """Without an etag a module is made, with one it is changed."""
    who = check_who(_who(request))
    device = _device(hub, who)
    if who.module in (AGENT, EDGE_HUB) and not device.edge:
        raise argument_invalid(f"'{who.module}' is a module of edge devices, and '{who.device}' is none.")
    body = read(request.object(), IdentityBody)
    for given, expected in ((body.device_id, who.device), (body.module_id, who.module)):
        if given not in (None, "", expected):
            raise argument_invalid(f"The path is about '{expected}', and the body about '{given}'.")
    before = hub.identities.get(who)
    if request.etag is None:
        if before is not None:
            raise HubError(
                409, "ModuleAlreadyExistsOnDevice", f"There is a module '{who.module}' on '{who.device}' already."
            )
        made, keys = identities.create(hub, who, body)
    else:
        if before is None:
            raise module_not_found(*who)
        check_etag(request, before.etag, f"Module '{who}'")
        made, keys = identities.update(hub, before, body)
    return _answer(hub, made, keys)


async def get(hub: Hub, request: Request) -> Answer:
    identity = _existing(hub, request)
    return _answer(hub, identity, hub.identities.keys(identity.who))


async def delete(hub: Hub, request: Request) -> Answer:
    identity = _existing(hub, request)
    if identity.module in (AGENT, EDGE_HUB):
        raise argument_invalid(f"'{identity.module}' goes with its edge device and cannot be deleted alone.")
    check_etag(request, identity.etag, f"Module '{identity.who}'")
    identities.remove(hub, identity.who)
    return Answer(status=204)


async def list_all(hub: Hub, request: Request) -> Answer:
    device = _device(hub, Who(request.parameters["device"]))
    return Answer(body=[identities.shown(hub, one, keys) for one, keys in hub.identities.modules(device.device)])


def _who(request: Request) -> Who:
    return Who(request.parameters["device"], request.parameters["module"])


def _device(hub: Hub, who: Who) -> Identity:
    found = hub.identities.get(Who(who.device))
    if found is None:
        raise device_not_found(who.device)
    return found


def _existing(hub: Hub, request: Request) -> Identity:
    who = _who(request)
    _device(hub, who)
    found = hub.identities.get(who)
    if found is None:
        raise module_not_found(*who)
    return found


def _answer(hub: Hub, identity: Identity, keys: Keys) -> Answer:
    return Answer(body=identities.shown(hub, identity, keys), headers={"ETag": f'"{identity.etag}"'})


_ONE = "devices/{device}/modules/{module}"

ROUTES = (
    Route(method="GET", path="devices/{device}/modules", act=list_all, needs=READ, own=True),
    Route(method="GET", path=_ONE, act=get, needs=READ, own=True),
    Route(method="PUT", path=_ONE, act=put, needs=WRITE, own=True),
    Route(method="DELETE", path=_ONE, act=delete, needs=WRITE, own=True),
)
