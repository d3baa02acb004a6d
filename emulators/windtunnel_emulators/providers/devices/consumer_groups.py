"""Consumer groups of the built-in endpoint. ``$Default`` is always there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

from .times import etag, rfc1123

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json

    from .service import IotHubs

STATE = "consumerGroups"
DEFAULT = "$Default"
_MOST = 20
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,48}[A-Za-z0-9])?")


def names(hub: Resource) -> list[str]:
    """The consumer groups of a hub, the default one first."""
    return [DEFAULT, *as_object(hub.state.get(STATE))]


async def list_all(call: Call, hub: Resource | None, service: IotHubs) -> Reply:
    assert hub is not None
    _check_endpoint(call)
    return Reply(status=200, body={"value": [_shown(hub, name) for name in names(hub)]})


async def get(call: Call, hub: Resource | None, service: IotHubs) -> Reply:
    assert hub is not None
    _check_endpoint(call)
    return Reply(status=200, body=_shown(hub, _known(call, hub)))


async def put(call: Call, hub: Resource | None, service: IotHubs) -> Reply:
    assert hub is not None
    _check_endpoint(call)
    name = call.parameters["name"]
    groups = as_object(hub.state.get(STATE))
    existing = next((one for one in names(hub) if one.lower() == name.lower()), None)
    if existing is not None:
        return Reply(status=200, body=_shown(hub, existing))
    if not _NAME.fullmatch(name):
        raise ArmError(
            400,
            "InvalidConsumerGroupName",
            f"The consumer group name '{name[:80]}' is invalid: it has 1 to 50 letters, digits, periods, hyphens and"
            " underscores, with a letter or digit at either end.",
        )
    if len(groups) + 1 >= _MOST:
        raise ArmError(409, "ConsumerGroupLimitReached", f"An endpoint has at most {_MOST} consumer groups.")
    changed = replace(hub, state={**hub.state, STATE: {**groups, name: rfc1123(call.now)}})
    service.world.resources.save_state(hub.id, changed.state)
    return Reply(status=200, body=_shown(changed, name))


async def delete(call: Call, hub: Resource | None, service: IotHubs) -> Reply:
    assert hub is not None
    _check_endpoint(call)
    name = _known(call, hub)
    if name == DEFAULT:
        raise ArmError(400, "CannotDeleteDefault", f"The consumer group '{DEFAULT}' cannot be deleted.")
    groups: dict[str, Json] = {other: made for other, made in as_object(hub.state.get(STATE)).items() if other != name}
    service.world.resources.save_state(hub.id, {**hub.state, STATE: groups})
    return Reply(status=200)


def _check_endpoint(call: Call) -> None:
    name = call.parameters["endpoint"]
    if name.lower() != "events":
        raise ArmError(
            404, "EndpointNotFound", f"The hub has no built-in endpoint '{name[:80]}'; it is called 'events'."
        )


def _known(call: Call, hub: Resource) -> str:
    name = call.parameters["name"]
    for one in names(hub):
        if one.lower() == name.lower():
            return one
    raise ArmError(404, "ConsumerGroupNotFound", f"The hub '{hub.id.name}' has no consumer group '{name[:80]}'.")


def _shown(hub: Resource, name: str) -> JsonObject:
    created = as_str(as_object(hub.state.get(STATE)).get(name)) or as_str(hub.state.get("created"))
    return {
        "id": f"{hub.id}/eventHubEndpoints/events/ConsumerGroups/{name}",
        "name": name,
        "type": "Microsoft.Devices/IotHubs/EventHubEndpoints/ConsumerGroups",
        "etag": etag(hub.etag),
        "properties": {"created": created},
    }
