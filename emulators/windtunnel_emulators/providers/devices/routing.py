"""Routes of a hub: they are stored and shown. Messages go to the built-in endpoint whatever they say.

``$testall`` and ``$testnew`` answer for conditions that need no looking at the message (none, true, false); for others
they refuse rather than guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import JsonObject, as_list, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json

    from .service import IotHubs


async def try_all(call: Call, hub: Resource | None, _: IotHubs) -> Reply:
    """``routing/routes/$testall``: the routes that a message would take."""
    assert hub is not None
    source = as_str(as_object(call.body).get("routingSource"), "DeviceMessages")
    routes = as_list(as_object(hub.properties.get("routing")).get("routes"))
    taken: list[Json] = [
        {"properties": route}
        for route in map(as_object, routes)
        if as_str(route.get("source")) == source and _applies(route)
    ]
    return Reply(status=200, body={"routes": taken})


async def try_new(call: Call, hub: Resource | None, _: IotHubs) -> Reply:
    """``routing/routes/$testnew``: whether a message would take a route that is not there yet."""
    assert hub is not None
    route = as_object(as_object(call.body).get("route"))
    if not as_str(route.get("name")) or not as_str(route.get("source")):
        raise ArmError(400, "InvalidRoute", "'route' needs a name, a source and endpointNames.", target="route")
    details: JsonObject = {"compilationErrors": []}
    return Reply(status=200, body={"result": "true" if _applies(route) else "false", "details": details})


async def endpoints_health(_: Call, hub: Resource | None, __: IotHubs) -> Reply:
    """``routingEndpointsHealth``: of further endpoints nothing is known, as nothing is sent to them."""
    assert hub is not None
    endpoints = as_object(as_object(hub.properties.get("routing")).get("endpoints"))
    value: list[Json] = [{"endpointId": "events", "healthStatus": "healthy"}]
    for kind in endpoints.values():
        names = (as_str(as_object(one).get("name")) for one in as_list(kind))
        value.extend({"endpointId": name, "healthStatus": "unknown"} for name in names)
    return Reply(status=200, body={"value": value})


def _applies(route: JsonObject) -> bool:
    if route.get("isEnabled") is False:
        return False
    condition = as_str(route.get("condition")).strip().lower()
    if condition in ("", "true"):
        return True
    if condition == "false":
        return False
    raise not_implemented(
        f"Testing a route whose condition looks at the message ('{condition[:80]}')",
        "Routes of a hub are stored here and not followed; read the built-in endpoint.",
    )
