"""IoT Hub's topics: what clients publish to, what they may subscribe to, and what the hub publishes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from windtunnel_emulators.iot.hub import bags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.iot.hub.identity import Who

TWIN_GET = "$iothub/twin/GET/"
REPORTED = "$iothub/twin/PATCH/properties/reported/"
METHOD_RESULT = "$iothub/methods/res/"
"""What clients publish to; the rest is below."""
TWIN_ANSWER = "$iothub/twin/res/"
DESIRED_PATCH = "$iothub/twin/PATCH/properties/desired/"
METHOD_CALL = "$iothub/methods/POST/"
"""What the hub publishes to, with ``commands_of`` a device."""


class Feed(Enum):
    """What a subscription is to."""

    COMMANDS = "commands"
    TWIN_ANSWERS = "twin answers"
    DESIRED = "desired properties"
    METHODS = "methods"
    INPUTS = "inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What stands behind a topic: ``{name}/?$rid=...``."""

    name: str
    """What stands before the question mark, without slashes around it."""
    id: str
    """The ``$rid``; empty without one."""
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """All of the query."""


def events_of(who: Who) -> str:
    """Where a client publishes telemetry; a bag may follow, behind a slash."""
    return f"{who.path}/messages/events"


def feeds_of(who: Who) -> Mapping[str, Feed]:
    """The filters that a client may subscribe to."""
    found = {
        "$iothub/twin/res/#": Feed.TWIN_ANSWERS,
        "$iothub/twin/PATCH/properties/desired/#": Feed.DESIRED,
        "$iothub/methods/POST/#": Feed.METHODS,
    }
    if who.module:
        found[f"{who.path}/inputs/#"] = Feed.INPUTS
        found[f"{who.path}/#"] = Feed.INPUTS
    else:
        found[f"{who.path}/messages/devicebound/#"] = Feed.COMMANDS
        found[f"{who.path}/messages/devicebound"] = Feed.COMMANDS
    return found


def commands_of(device: str) -> str:
    """What comes from the cloud for a device; the bag follows."""
    return f"devices/{device}/messages/devicebound/"


def request(topic: str, prefix: str) -> Request:
    """Take the rest of a topic apart."""
    name, _, query = topic[len(prefix) :].partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    return Request(name=name.strip("/"), id=options.get("$rid", ""), options=options)


def twin_answer(status: int, request_id: str, version: int | None = None) -> str:
    ending = "" if version is None else f"&$version={version}"
    return f"{TWIN_ANSWER}{status}/?$rid={request_id}{ending}"


def desired_patch(version: int) -> str:
    return f"{DESIRED_PATCH}?$version={version}"


def method_call(name: str, request_id: str) -> str:
    return f"{METHOD_CALL}{quote(name, safe='')}/?$rid={request_id}"


def command(device: str, properties: Mapping[str, str]) -> str:
    """``$.to`` is always there, as IoT Hub adds it."""
    to = f"/devices/{device}/messages/deviceBound"
    return f"{commands_of(device)}{bags.encode({'$.to': to, **properties})}"


def module_input(who: Who, name: str, properties: Mapping[str, str]) -> str:
    return f"{who.path}/inputs/{name}/{bags.encode(properties)}"
