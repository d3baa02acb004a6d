"""The properties of a hub: what a body may set, its limits, and what holds where it says nothing."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from .times import duration

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .skus import Edition

_LISTS = ("serviceBusQueues", "serviceBusTopics", "eventHubs", "storageContainers")
_SOURCES = (
    "Invalid",
    "DeviceMessages",
    "TwinChangeEvents",
    "DeviceLifecycleEvents",
    "DeviceJobLifecycleEvents",
    "DigitalTwinChangeEvents",
    "DeviceConnectionStateEvents",
    "MqttBrokerMessages",
)
_KEPT = (
    "publicNetworkAccess",
    "networkRuleSets",
    "minTlsVersion",
    "disableLocalAuth",
    "disableDeviceSAS",
    "disableModuleSAS",
    "restrictOutboundNetworkAccess",
    "enableDataResidency",
    "comments",
    "rootCertificate",
)
"""Shown as they were sent. Of these only ``disableLocalAuth`` has an effect."""
_ROUTE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)


def defaults(name: str, edition: Edition) -> JsonObject:
    """What a hub has whose body says nothing (recorded)."""
    return {
        "ipFilterRules": [],
        "eventHubEndpoints": {
            "events": {"retentionTimeInDays": 1, "partitionCount": min(4, edition.partitions), "path": name.lower()}
        },
        "routing": {
            "endpoints": {kind: [] for kind in _LISTS},
            "routes": [],
            "fallbackRoute": {
                "name": "$fallback",
                "source": "DeviceMessages",
                "condition": "true",
                "endpointNames": ["events"],
                "isEnabled": True,
            },
        },
        "storageEndpoints": {"$default": {"sasTtlAsIso8601": "PT1H", "connectionString": "", "containerName": ""}},
        "messagingEndpoints": {
            "fileNotifications": {"lockDurationAsIso8601": "PT1M", "ttlAsIso8601": "PT1H", "maxDeliveryCount": 10}
        },
        "enableFileUploadNotifications": False,
        "cloudToDevice": {
            "maxDeliveryCount": 10,
            "defaultTtlAsIso8601": "PT1H",
            "feedback": {"lockDurationAsIso8601": "PT1M", "ttlAsIso8601": "PT1H", "maxDeliveryCount": 10},
        },
        "features": "RootCertificateV2",
        "allowedFqdnList": [],
    }


def merged(asked: JsonObject, before: JsonObject, edition: Edition, *, new: bool) -> JsonObject:
    """The properties after a body; ``before`` are the present ones, or the defaults. Raises ``ArmError`` 400."""
    found = dict(before)
    events = as_object(as_object(before.get("eventHubEndpoints")).get("events"))
    found["eventHubEndpoints"] = {"events": _events(asked, events, edition, new=new)}
    if "routing" in asked:
        found["routing"] = _routing(as_object(asked["routing"]), as_object(before.get("routing")))
    if "cloudToDevice" in asked:
        found["cloudToDevice"] = _commands(as_object(asked["cloudToDevice"]), as_object(before.get("cloudToDevice")))
    if "messagingEndpoints" in asked:
        given = as_object(as_object(asked["messagingEndpoints"]).get("fileNotifications"))
        earlier = as_object(as_object(before.get("messagingEndpoints")).get("fileNotifications"))
        found["messagingEndpoints"] = {
            "fileNotifications": _queue(given, earlier, "properties.messagingEndpoints.fileNotifications")
        }
    if "storageEndpoints" in asked:
        found["storageEndpoints"] = {
            **as_object(before.get("storageEndpoints")),
            **as_object(asked["storageEndpoints"]),
        }
    for name in ("ipFilterRules", "allowedFqdnList"):
        if name in asked:
            found[name] = as_list(asked[name])
    if "enableFileUploadNotifications" in asked:
        found["enableFileUploadNotifications"] = asked["enableFileUploadNotifications"] is True
    if asked.get("features"):
        found["features"] = as_str(asked["features"])
    found.update((name, asked[name]) for name in _KEPT if asked.get(name) is not None)
    return found


def events_of(properties: JsonObject) -> JsonObject:
    """The built-in endpoint's settings."""
    return as_object(as_object(properties.get("eventHubEndpoints")).get("events"))


def commands_of(properties: JsonObject) -> tuple[int, timedelta]:
    """How often a message to a device is delivered at most, and how long it waits."""
    commands = as_object(properties.get("cloudToDevice"))
    most = commands.get("maxDeliveryCount")
    lifetime = _lifetime(as_str(commands.get("defaultTtlAsIso8601"), "PT1H"))
    return most if isinstance(most, int) else 10, lifetime


def _lifetime(text: str) -> timedelta:
    return duration(text, "properties.cloudToDevice.defaultTtlAsIso8601", least=_MINUTE, most=2 * _DAY)


def _events(asked: JsonObject, before: JsonObject, edition: Edition, *, new: bool) -> JsonObject:
    given = events_of(asked)
    count = _number(given, before, "partitionCount", 2 if new else 1, edition.partitions)
    if not new and count != before.get("partitionCount"):
        raise _bad(
            "properties.eventHubEndpoints.events.partitionCount",
            f"is {before.get('partitionCount')} and cannot be changed; make another hub",
        )
    return {
        "retentionTimeInDays": _number(given, before, "retentionTimeInDays", 1, edition.retention),
        "partitionCount": count,
        "partitionIds": [str(number) for number in range(count)],
        "path": before["path"],
        **({"endpoint": before["endpoint"]} if "endpoint" in before else {}),
    }


def _number(given: JsonObject, before: JsonObject, name: str, least: int, most: int) -> int:
    value = given.get(name)
    if value is None:
        value = before[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _bad(f"properties.eventHubEndpoints.events.{name}", f"is {value!r:.40}; it is from {least} to {most}")
    return value


def _commands(asked: JsonObject, before: JsonObject) -> JsonObject:
    place = "properties.cloudToDevice"
    found = {**before, **asked}
    _lifetime(as_str(found.get("defaultTtlAsIso8601")))
    _count(found, place)
    feedback = {**as_object(before.get("feedback")), **as_object(asked.get("feedback"))}
    found["feedback"] = _queue(feedback, {}, f"{place}.feedback")
    return found


def _queue(asked: JsonObject, before: JsonObject, place: str) -> JsonObject:
    found = {**before, **asked}
    lock = as_str(found.get("lockDurationAsIso8601"))
    duration(lock, f"{place}.lockDurationAsIso8601", least=timedelta(seconds=5), most=timedelta(seconds=300))
    duration(as_str(found.get("ttlAsIso8601")), f"{place}.ttlAsIso8601", least=_MINUTE, most=2 * _DAY)
    _count(found, place)
    return found


def _count(found: JsonObject, place: str) -> None:
    value = found.get("maxDeliveryCount")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
        raise _bad(f"{place}.maxDeliveryCount", f"is {value!r:.40}; it is from 1 to 100")


def _routing(asked: JsonObject, before: JsonObject) -> JsonObject:
    """Endpoints and routes are kept as they are sent; a route must lead to an endpoint that is there."""
    endpoints = {**as_object(before.get("endpoints")), **as_object(asked.get("endpoints"))}
    names = {"events"}
    for kind in endpoints.values():
        names.update(as_str(as_object(one).get("name")) for one in as_list(kind))
    routes = as_list(asked.get("routes", before.get("routes")))
    for at, route in enumerate(routes):
        _check_route(as_object(route), names, f"properties.routing.routes[{at}]")
    found: JsonObject = {"endpoints": endpoints, "routes": routes}
    for name in ("fallbackRoute", "enrichments"):
        if asked.get(name, before.get(name)) is not None:
            found[name] = asked.get(name, before.get(name))
    return found


def _check_route(route: JsonObject, endpoints: set[str], place: str) -> None:
    if not _ROUTE_NAME.fullmatch(as_str(route.get("name"))):
        raise _bad(f"{place}.name", "has 1 to 64 letters, digits, periods, underscores and hyphens")
    if as_str(route.get("source")) not in _SOURCES:
        raise _bad(f"{place}.source", f"is '{as_str(route.get('source'))[:40]}'; it is one of {', '.join(_SOURCES)}")
    targets: list[Json] = as_list(route.get("endpointNames"))
    if len(targets) != 1 or as_str(targets[0]) not in endpoints:
        raise _bad(f"{place}.endpointNames", "names the one endpoint of the hub that the route leads to")


def _bad(place: str, message: str) -> ArmError:
    return ArmError(400, "InvalidProperty", f"'{place}' {message}.", target=place)
