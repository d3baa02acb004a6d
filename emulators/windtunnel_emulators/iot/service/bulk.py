"""``POST /devices``: up to a hundred changes of identities and twins in one request, each for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import (
    HubError,
    argument_invalid,
    device_not_found,
    module_not_found,
    precondition_failed,
)
from windtunnel_emulators.iot.hub.identity import Who, check_who
from windtunnel_emulators.iot.service import identities, twins
from windtunnel_emulators.iot.service.bodies import BulkBody, TwinBody, read
from windtunnel_emulators.iot.service.requests import ANY, Answer
from windtunnel_emulators.iot.service.routes import WRITE, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Identity
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import Json

_MOST = 100


async def change(hub: Hub, request: Request) -> Answer:
    entries = request.json()
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MOST:
        raise argument_invalid(f"The body of a bulk request is a list of 1 to {_MOST} identities.")
    errors: list[Json] = []
    for entry in entries:
        body = read(entry, BulkBody)
        try:
            _step(body)(hub, check_who(_who(body)), body)
        except HubError as problem:
            about = _who(body)
            errors.append(
                {
                    "deviceId": about.device,
                    "moduleId": about.module or None,
                    "errorCode": problem.name,
                    "errorStatus": problem.message,
                }
            )
    answer: Json = {"isSuccessful": not errors, "errors": errors, "warnings": []}
    return Answer(status=400 if errors else 200, body=answer)


def _who(body: BulkBody) -> Who:
    return Who(body.id or body.device_id or "", body.module_id or "")


def _create(hub: Hub, who: Who, body: BulkBody) -> None:
    if hub.identities.get(who) is not None:
        name = "ModuleAlreadyExistsOnDevice" if who.module else "DeviceAlreadyExists"
        raise HubError(409, name, f"There is '{who}' already.")
    if who.module:
        hub.identity(Who(who.device))
    with hub.store.transaction():
        identities.create(hub, who, body)
        if body.tags is not None or body.properties is not None:
            _set_twin(hub, who, body)


def _update(hub: Hub, who: Who, body: BulkBody) -> None:
    identities.update(hub, _existing(hub, who), body)


def _update_if_match(hub: Hub, who: Who, body: BulkBody) -> None:
    _check(hub, who, body)
    _update(hub, who, body)


def _create_or_update(hub: Hub, who: Who, body: BulkBody) -> None:
    (_create if hub.identities.get(who) is None else _update)(hub, who, body)


def _create_or_update_if_match(hub: Hub, who: Who, body: BulkBody) -> None:
    (_create if hub.identities.get(who) is None else _update_if_match)(hub, who, body)


def _delete(hub: Hub, who: Who, body: BulkBody) -> None:
    _existing(hub, who)
    identities.remove(hub, who)


def _delete_if_match(hub: Hub, who: Who, body: BulkBody) -> None:
    _check(hub, who, body)
    _delete(hub, who, body)


def _update_twin(hub: Hub, who: Who, body: BulkBody) -> None:
    _existing(hub, who)
    _set_twin(hub, who, body)


def _update_twin_if_match(hub: Hub, who: Who, body: BulkBody) -> None:
    _existing(hub, who)
    asked = (body.twin_e_tag or "").strip('"')
    if asked not in (ANY, hub.twin(who).etag):
        raise precondition_failed(f"The twin of '{who}'")
    _set_twin(hub, who, body)


def _set_twin(hub: Hub, who: Who, body: BulkBody) -> None:
    twins.change(hub, who, TwinBody(tags=body.tags, properties=body.properties), replace=False)


def _check(hub: Hub, who: Who, body: BulkBody) -> None:
    asked = (body.e_tag or "").strip('"')
    if asked not in (ANY, _existing(hub, who).etag):
        raise precondition_failed(f"'{who}'")


def _existing(hub: Hub, who: Who) -> Identity:
    found = hub.identities.get(who)
    if found is None:
        raise module_not_found(*who) if who.module else device_not_found(who.device)
    return found


_STEPS: dict[str, Callable[[Hub, Who, BulkBody], None]] = {
    "create": _create,
    "update": _update,
    "updateIfMatchETag": _update_if_match,
    "createOrUpdate": _create_or_update,
    "createOrUpdateIfMatchETag": _create_or_update_if_match,
    "delete": _delete,
    "deleteIfMatchETag": _delete_if_match,
    "updateTwin": _update_twin,
    "updateTwinIfMatchETag": _update_twin_if_match,
}
_BY_LOWER = {name.lower(): step for name, step in _STEPS.items()}


def _step(body: BulkBody) -> Callable[[Hub, Who, BulkBody], None]:
    """What an entry asks for; without a mode it is made."""
    found = _BY_LOWER.get((body.import_mode or "create").lower())
    if found is None:
        raise argument_invalid(f"'importMode' is '{body.import_mode}'; it is one of {', '.join(_STEPS)}.")
    return found


ROUTES = (Route(method="POST", path="devices", act=change, needs=WRITE),)
