"""``/devices``: single devices, lists, and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid, device_not_found
from windtunnel_emulators.iot.hub.identity import Who, check_who
from windtunnel_emulators.iot.service import identities
from windtunnel_emulators.iot.service.bodies import IdentityBody, read
from windtunnel_emulators.iot.service.requests import Answer, check_etag
from windtunnel_emulators.iot.service.routes import READ, READ_OR_SERVICE, WRITE, Route

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Identity, Keys
    from windtunnel_emulators.iot.service.requests import Request

_MOST_LISTED = 1000


async def put(hub: Hub, request: Request) -> Answer:
    """Without an etag a device is made, with one it is changed."""
    who = check_who(Who(request.parameters["device"]))
    body = read(request.object(), IdentityBody)
    if body.device_id not in (None, "", who.device):
        raise argument_invalid(f"The path is about device '{who.device}', and the body about '{body.device_id}'.")
    before = hub.identities.get(who)
    if request.etag is None:
        if before is not None:
            raise HubError(409, "DeviceAlreadyExists", f"There is a device '{who.device}' already.")
        made, keys = identities.create(hub, who, body)
    else:
        if before is None:
            raise device_not_found(who.device)
        check_etag(request, before.etag, f"Device '{who.device}'")
        made, keys = identities.update(hub, before, body)
    return _answer(hub, made, keys)


async def get(hub: Hub, request: Request) -> Answer:
    identity = _existing(hub, request)
    return _answer(hub, identity, hub.identities.keys(identity.who))


async def delete(hub: Hub, request: Request) -> Answer:
    identity = _existing(hub, request)
    check_etag(request, identity.etag, f"Device '{identity.device}'")
    identities.remove(hub, identity.who)
    return Answer(status=204)


async def list_all(hub: Hub, request: Request) -> Answer:
    most = request.top(_MOST_LISTED)
    return Answer(body=[identities.shown(hub, one, keys) for one, keys in hub.identities.devices(most)])


async def device_statistics(hub: Hub, _: Request) -> Answer:
    devices = [one for one in hub.identities.each() if not one.module]
    enabled = sum(one.enabled for one in devices)
    return Answer(
        body={
            "totalDeviceCount": len(devices),
            "enabledDeviceCount": enabled,
            "disabledDeviceCount": len(devices) - enabled,
        }
    )


async def service_statistics(hub: Hub, _: Request) -> Answer:
    return Answer(body={"connectedDeviceCount": hub.connected_count()})


async def purge(hub: Hub, request: Request) -> Answer:
    """Forget the messages that wait for a device."""
    identity = _existing(hub, request)
    gone = hub.purge_commands(identity.device)
    return Answer(body={"totalMessagesPurged": gone, "deviceId": identity.device, "moduleId": None})


def _existing(hub: Hub, request: Request) -> Identity:
    who = Who(request.parameters["device"])
    found = hub.identities.get(who)
    if found is None:
        raise device_not_found(who.device)
    return found


def _answer(hub: Hub, identity: Identity, keys: Keys) -> Answer:
    return Answer(body=identities.shown(hub, identity, keys), headers={"ETag": f'"{identity.etag}"'})


ROUTES = (
    Route(method="GET", path="devices", act=list_all, needs=READ),
    Route(method="GET", path="devices/{device}", act=get, needs=READ, own=True),
    Route(method="PUT", path="devices/{device}", act=put, needs=WRITE),
    Route(method="DELETE", path="devices/{device}", act=delete, needs=WRITE),
    Route(method="DELETE", path="devices/{device}/commands", act=purge, needs=READ_OR_SERVICE),
    Route(method="GET", path="statistics/devices", act=device_statistics, needs=READ_OR_SERVICE),
    Route(method="GET", path="statistics/service", act=service_statistics, needs=READ_OR_SERVICE),
)
