"""What IoT Hub's service API has and this one has not: refused, with the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import not_implemented
from windtunnel_emulators.iot.service.routes import READ_OR_SERVICE, SERVICE, Route

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Answer, Request
    from windtunnel_emulators.iot.service.routes import Act

_LIVE = "Use a hub in Azure for it."


def _refusal(what: str, way_out: str = _LIVE) -> Act:
    async def refuse(_: Hub, __: Request) -> Answer:
        raise not_implemented(what, way_out)

    return refuse


_FILES = _refusal("File upload", "Send what is large to a store of your own, or use a hub in Azure.")
_TWINS = _refusal("The digital twin API", "Use the device's twin, and direct methods named COMPONENT*COMMAND.")

ROUTES = (
    Route(method="POST", path="devices/{device}/files", act=_FILES, needs=SERVICE, own=True),
    Route(method="POST", path="devices/{device}/files/notifications", act=_FILES, needs=SERVICE, own=True),
    Route(method="GET", path="digitaltwins/{device}", act=_TWINS, needs=READ_OR_SERVICE),
    Route(method="PATCH", path="digitaltwins/{device}", act=_TWINS, needs=SERVICE),
    Route(method="POST", path="digitaltwins/{device}/commands/{command}", act=_TWINS, needs=SERVICE),
    Route(
        method="POST",
        path="digitaltwins/{device}/components/{component}/commands/{command}",
        act=_TWINS,
        needs=SERVICE,
    ),
)
