"""Direct methods between modules, over HTTPS: ``POST /twins/{device}[/modules/{module}]/methods`` (wire-iot 2.5).

The caller says who it is in ``x-ms-edge-moduleId`` and shows its token; only modules of this device may call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.edge.hub import own_methods
from windtunnel_emulators.iot.hub import methods
from windtunnel_emulators.iot.hub.authentication import AuthenticationFailed
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid, unauthorized
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.service.methods import read_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.edge.hub.hub import EdgeHub
    from windtunnel_emulators.iot.hub.methods import Call, Result
    from windtunnel_emulators.jsontypes import JsonObject

CALLER = "x-ms-edge-moduleid"
_NOT_ONLINE, _NO_ANSWER = 404, 504


def target_of(segments: tuple[str, ...]) -> Who | None:
    """Whom a path is for; None for another path."""
    if len(segments) == 3 and segments[0] == "twins" and segments[2] == "methods":
        return Who(segments[1])
    if len(segments) == 5 and (segments[0], segments[2], segments[4]) == ("twins", "modules", "methods"):
        return Who(segments[1], segments[3])
    return None


def check_caller(hub: EdgeHub, headers: Mapping[str, str]) -> Who:
    """Who calls. Raises ``HubError`` 400 for a header that names nobody, 401 for who may not call."""
    device, slash, module = headers.get(CALLER, "").strip().partition("/")
    if not device or not slash or not module or "/" in module:
        raise argument_invalid(f"The header {CALLER} has to be DEVICE/MODULE, of the module that calls.")
    who = Who(device, module)
    if device != hub.definition.device:
        raise unauthorized("Only modules on the same device can invoke DirectMethods")
    try:
        hub.authenticator.check_token(who, headers.get("authorization", ""), hub.clock.now().timestamp())
    except AuthenticationFailed as problem:
        raise unauthorized(f"The module may not call: {problem}.") from None
    return who


async def invoke(hub: EdgeHub, target: Who, body: bytes) -> tuple[int, JsonObject]:
    """Call a method; the status and the body that the caller is answered. Raises ``HubError`` 400."""
    call = methods.check(read_call(_object(body)))
    if target == hub.definition.own:
        status, payload = await own_methods.call(hub.identities, call.name, call.payload)
        return 200, {"status": status, "payload": methods.read_payload(payload)}
    try:
        result = await _call(hub, target, call)
    except HubError as problem:
        if problem.status == _NOT_ONLINE:
            return _NOT_ONLINE, _failure(_NOT_ONLINE, f"Client {target} not found")
        if problem.status == _NO_ANSWER:
            return _NO_ANSWER, _failure(_NO_ANSWER, f"Client {target} did not answer in {call.response_s} s")
        raise
    return 200, {"status": result.status, "payload": result.payload}


async def _call(hub: EdgeHub, target: Who, call: Call) -> Result:
    return await hub.calls.invoke(target, call)


def _failure(status: int, message: str) -> JsonObject:
    return {"status": status, "payload": None, "message": message, "exceptionMessage": ""}


def _object(body: bytes) -> JsonObject:
    try:
        found = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise argument_invalid(f"The body of the request has to be a JSON object: {problem}.") from problem
    return found  # type: ignore[return-value]  # an object of JSON, of any values
