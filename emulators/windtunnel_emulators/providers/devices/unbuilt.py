"""What Microsoft.Devices/IotHubs has and this one has not: refused with a reason, and empty where it is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Action, Reply

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Act, Call, Resource

    from .service import IotHubs

_LOOPBACK = "Everything here is on loopback."
_BULK = "Use the service API's bulk request, POST /devices."


def _refusal(what: str, way_out: str) -> Act[IotHubs]:
    async def refuse(_: Call, __: Resource | None, ___: IotHubs) -> Reply:
        raise not_implemented(what, way_out)

    return refuse


async def _empty(_: Call, __: Resource | None, ___: IotHubs) -> Reply:
    return Reply(status=200, body={"value": []})


async def _none(_: Call, __: Resource | None, ___: IotHubs) -> Reply:
    return Reply(status=200, body=[])


async def _absent(call: Call, _: Resource | None, __: IotHubs) -> Reply:
    raise ArmError(404, "NotFound", f"The hub has no '{call.parameters['name'][:80]}' of that kind. {_LOOPBACK}")


_ENDPOINT = "privateEndpointConnections/{name}"

ACTIONS = (
    Action(method="POST", path="exportDevices", act=_refusal("Export of devices to a blob", _BULK)),
    Action(method="POST", path="importDevices", act=_refusal("Import of devices from a blob", _BULK)),
    Action(
        method="POST", path="failover", act=_refusal("Failover to another region", "Restart the emulators instead.")
    ),
    Action(method="GET", path="privateLinkResources", act=_empty),
    Action(method="GET", path="privateLinkResources/{name}", act=_absent),
    Action(method="GET", path="privateEndpointConnections", act=_none),
    Action(method="GET", path=_ENDPOINT, act=_absent),
    Action(method="PUT", path=_ENDPOINT, act=_refusal("A private endpoint of a hub", _LOOPBACK)),
    Action(method="DELETE", path=_ENDPOINT, act=_absent),
)
