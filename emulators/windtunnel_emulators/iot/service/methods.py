"""``/twins/{device}[/modules/{module}]/methods``: direct methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import argument_invalid
from windtunnel_emulators.iot.hub.methods import DEFAULT_RESPONSE_S, Call
from windtunnel_emulators.iot.service.requests import Answer
from windtunnel_emulators.iot.service.routes import SERVICE, Route
from windtunnel_emulators.iot.service.twins import who_of
from windtunnel_emulators.jsontypes import as_str

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import JsonObject


async def invoke(hub: Hub, request: Request) -> Answer:
    who = who_of(request)
    body = request.object()
    hub.identity(who)
    result = await hub.calls.invoke(who, read_call(body))
    return Answer(body={"status": result.status, "payload": result.payload})


def read_call(body: JsonObject) -> Call:
    """A call as clients write it. Raises ``HubError`` 400."""
    return Call(
        name=as_str(body.get("methodName")),
        payload=msgspec.json.encode(body.get("payload")),
        response_s=_seconds(body, "responseTimeoutInSeconds", DEFAULT_RESPONSE_S),
        connect_s=_seconds(body, "connectTimeoutInSeconds", 0),
    )


def _seconds(body: JsonObject, name: str, default: int) -> int:
    """A number; the Azure CLI sends it as text."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value[:10])
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise argument_invalid(f"'{name}' must be a number of seconds.")


ROUTES = (
    Route(method="POST", path="twins/{device}/methods", act=invoke, needs=SERVICE),
    Route(method="POST", path="twins/{device}/modules/{module}/methods", act=invoke, needs=SERVICE),
)
