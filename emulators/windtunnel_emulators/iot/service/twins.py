"""``/twins/{device}[/modules/{module}]``: read, patched, replaced. New desired properties reach the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub import twin_rules, twins
from windtunnel_emulators.iot.hub.identity import Who, short
from windtunnel_emulators.iot.service.bodies import TwinBody, read
from windtunnel_emulators.iot.service.requests import Answer, check_etag
from windtunnel_emulators.iot.service.routes import READ_OR_SERVICE, SERVICE, Route
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.twins import Twin
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import JsonObject


async def get(hub: Hub, request: Request) -> Answer:
    who = who_of(request)
    return _answer(hub, who, hub.twin(who))


async def patch(hub: Hub, request: Request) -> Answer:
    return _change(hub, request, replace=False)


async def put(hub: Hub, request: Request) -> Answer:
    """Tags and desired properties that are given replace those that are there."""
    return _change(hub, request, replace=True)


def _change(hub: Hub, request: Request, *, replace: bool) -> Answer:
    who = who_of(request)
    body = read(request.object(), TwinBody)
    hub.identity(who)
    twin = hub.twin(who)
    check_etag(request, twin.etag, f"The twin of '{who}'")
    return _answer(hub, who, change(hub, who, body, replace=replace))


def change(hub: Hub, who: Who, body: TwinBody, *, replace: bool) -> Twin:
    """Change a twin as a service asks, and tell the device. Raises ``HubError``."""
    twin = hub.twin(who)
    desired = None if body.properties is None else body.properties.desired
    tags: JsonObject = twin.tags
    if body.tags is not None:
        twin_rules.check(body.tags, "tags")
        tags = twins.merged({} if replace else twin.tags, body.tags)
        twin_rules.check_size(tags, "tags", twin_rules.LARGEST_TAGS)
    section, sent = twin.desired, None
    if desired is not None:
        sent = twins.plain(desired)
        twin_rules.check(sent, "properties.desired")
        step = twins.replaced if replace else twins.patched
        section = step(twin.desired, sent, hub.clock.now(), versions=True)
        twin_rules.check_size(section.properties, "properties.desired", twin_rules.LARGEST_PROPERTIES)
        if replace:
            sent = _replacing(twin.desired.properties, sent)
    changed = msgspec.structs.replace(
        twin, tags=tags, desired=section, version=twin.version + 1, changes=twin.changes + 1
    )
    hub.change_twin(who, changed, sent)
    return changed


def shown(hub: Hub, who: Who, twin: Twin) -> JsonObject:
    """A twin as services see it."""
    identity = hub.identities.get(who)
    if identity is None:
        hub.identity(who)
        raise AssertionError("an identity that is not there is refused")
    identity = hub.activity.told(identity)
    found: JsonObject = {"deviceId": who.device}
    if who.module:
        found["moduleId"] = who.module
    thumbprints = identity.thumbprints
    found |= {
        "etag": twin.etag,
        "deviceEtag": identity.etag,
        "status": "enabled" if identity.enabled else "disabled",
        "statusUpdateTime": short(identity.status_updated),
        "connectionState": "Connected" if hub.connected(who) else "Disconnected",
        "lastActivityTime": short(identity.last_activity),
        "cloudToDeviceMessageCount": 0 if who.module else hub.commands.count(who.device),
        "authenticationType": identity.authentication,
        "x509Thumbprint": {
            "primaryThumbprint": (thumbprints.primary if thumbprints else "") or None,
            "secondaryThumbprint": (thumbprints.secondary if thumbprints else "") or None,
        },
        "modelId": "",
        "version": twin.version,
    }
    if not who.module or twin.tags:
        found["tags"] = twin.tags
    found["properties"] = {
        "desired": twin.desired.shown(metadata=True),
        "reported": twin.reported.shown(metadata=True),
    }
    if not who.module:
        found["capabilities"] = {"iotEdge": identity.edge}
        if identity.scope is not None:
            found["deviceScope"] = identity.scope
        if identity.parents:
            found["parentScopes"] = list(identity.parents)
    if twin.configurations:
        found["configurations"] = twin.configurations
    return found


def who_of(request: Request) -> Who:
    """Whom a path is about."""
    return Who(request.parameters["device"], request.parameters.get("module", ""))


def _replacing(before: JsonObject, after: JsonObject) -> JsonObject:
    """The patch that makes ``after`` of ``before``: null for what goes, at every depth."""
    found: JsonObject = {name: None for name in before if name not in after}
    for name, value in after.items():
        earlier = before.get(name)
        if isinstance(value, dict) and isinstance(earlier, dict):
            found[name] = _replacing(as_object(earlier), value)
        else:
            found[name] = value
    return found


def _answer(hub: Hub, who: Who, twin: Twin) -> Answer:
    return Answer(body=shown(hub, who, twin), headers={"ETag": f'"{twin.etag}"'})


ROUTES = tuple(
    Route(method=method, path=path, act=act, needs=needs)
    for path in ("twins/{device}", "twins/{device}/modules/{module}")
    for method, act, needs in (("GET", get, READ_OR_SERVICE), ("PATCH", patch, SERVICE), ("PUT", put, SERVICE))
)
