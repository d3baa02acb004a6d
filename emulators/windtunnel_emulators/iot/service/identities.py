"""What may be done with identities: made, changed, shown; devices and modules alike. No HTTP here."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, cast, get_args

import msgspec

from windtunnel_emulators.iot.hub.changes import Change
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid
from windtunnel_emulators.iot.hub.identity import (
    AGENT,
    EDGE_HUB,
    Authentication,
    Identity,
    Keys,
    Who,
    check_key,
    check_thumbprint,
    new_key,
    new_keys,
    short,
)
from windtunnel_emulators.iot.hub.twins import new_twin

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.bodies import AuthenticationBody, IdentityBody
    from windtunnel_emulators.jsontypes import JsonObject

MOST_MODULES = 50
SCOPE = "ms-azure-iot-edge://"
_NO_KEYS = Keys("", "")


def create(hub: Hub, who: Who, body: IdentityBody) -> tuple[Identity, Keys]:
    """A new identity with its twin; an edge device gets its two system modules. Raises ``HubError``."""
    if who.module:
        check_room(hub, who)
    kind, keys, thumbprints = _authentication(body.authentication, None, _NO_KEYS)
    made = Identity(
        device=who.device,
        module=who.module,
        generation=_digits(),
        etag=_etag(),
        authentication=kind,
        thumbprints=thumbprints,
        managed_by=body.managed_by if who.module else None,
    )
    made = made if who.module else _device(hub, made, body)
    with hub.store.transaction():
        hub.identities.save(made, keys)
        hub.twins.save(who, new_twin(hub.clock.now()))
        if made.edge:
            _add_system_modules(hub, who.device)
    hub.changes.tell(Change.TWINS)
    return made, keys


def update(hub: Hub, before: Identity, body: IdentityBody) -> tuple[Identity, Keys]:
    """Replace what a client may set; the keys stay when nothing is said of them, and are new where it says null."""
    kind, keys, thumbprints = _authentication(body.authentication, before, hub.identities.keys(before.who))
    changed = msgspec.structs.replace(before, etag=_etag(), authentication=kind, thumbprints=thumbprints)
    if before.module:
        changed = msgspec.structs.replace(changed, managed_by=body.managed_by)
    else:
        changed = _device(hub, changed, body)
    with hub.store.transaction():
        hub.identities.save(changed, keys)
        if changed.edge and not before.edge:
            _add_system_modules(hub, before.device)
    if not changed.enabled:
        hub.drop(before.who, "it was disabled")
    hub.changes.tell(Change.TWINS)
    return changed, keys


def remove(hub: Hub, who: Who) -> None:
    """Forget an identity and end its connection."""
    hub.identities.remove(who)
    hub.drop(who, "it was deleted")
    hub.changes.tell(Change.TWINS)


def shown(hub: Hub, identity: Identity, keys: Keys) -> JsonObject:
    """An identity as the registry answers it."""
    identity = hub.activity.told(identity)
    who = identity.who
    thumbprints = identity.thumbprints or _NO_KEYS
    common: JsonObject = {
        "deviceId": who.device,
        "generationId": identity.generation,
        "etag": identity.etag,
        "connectionState": "Connected" if hub.connected(who) else "Disconnected",
        "connectionStateUpdatedTime": short(identity.connection_updated),
        "lastActivityTime": short(identity.last_activity),
        "cloudToDeviceMessageCount": 0 if who.module else hub.commands.count(who.device),
        "authentication": {
            "symmetricKey": {"primaryKey": keys.primary or None, "secondaryKey": keys.secondary or None},
            "x509Thumbprint": {
                "primaryThumbprint": thumbprints.primary or None,
                "secondaryThumbprint": thumbprints.secondary or None,
            },
            "type": identity.authentication,
        },
    }
    if who.module:
        return {"moduleId": who.module, "managedBy": identity.managed_by, **common}
    common["status"] = "enabled" if identity.enabled else "disabled"
    common["statusReason"] = identity.reason
    common["statusUpdatedTime"] = short(identity.status_updated)
    common["capabilities"] = {"iotEdge": identity.edge}
    if identity.scope is not None:
        common["deviceScope"] = identity.scope
    if identity.parents:
        common["parentScopes"] = list(identity.parents)
    return common


def _device(hub: Hub, identity: Identity, body: IdentityBody) -> Identity:
    """With what only devices have."""
    status = (body.status or "enabled").lower()
    if status not in ("enabled", "disabled"):
        raise argument_invalid(f"'status' is '{body.status}'; it is enabled or disabled.")
    enabled = status == "enabled"
    edge = bool(body.capabilities and body.capabilities.iot_edge)
    scope, parents = identity.scope, tuple(body.parent_scopes or ())
    if edge:
        if not identity.edge or scope is None:
            scope = f"{SCOPE}{identity.device}-{identity.generation}"
    else:
        scope = body.device_scope or (parents[0] if parents else None)
        parents = (scope,) if scope else ()
    _check_scopes(hub, parents, identity.device)
    return msgspec.structs.replace(
        identity,
        enabled=enabled,
        reason=body.status_reason,
        status_updated=identity.status_updated if enabled == identity.enabled else hub.clock.now(),
        edge=edge,
        scope=scope,
        parents=parents,
    )


def _check_scopes(hub: Hub, scopes: tuple[str, ...], device: str) -> None:
    if len(scopes) > 1:
        raise argument_invalid("'parentScopes' has more than one scope; a device has one parent.")
    for scope in scopes:
        name = scope.removeprefix(SCOPE).rpartition("-")[0]
        parent = hub.identities.get(Who(name))
        if parent is None or not parent.edge or parent.scope != scope or name == device:
            raise argument_invalid(f"'{scope[:200]}' is the scope of no other edge device of this hub.")


def check_room(hub: Hub, who: Who, more: int = 1) -> None:
    """Whether a device may have so many more modules. Raises ``HubError`` 403."""
    if len(hub.identities.modules(who.device)) + more > MOST_MODULES:
        raise HubError(
            403, "TooManyModulesOnDevice", f"Device '{who.device}' may have {MOST_MODULES} modules, and not more."
        )


def _add_system_modules(hub: Hub, device: str) -> None:
    for name in (AGENT, EDGE_HUB):
        who = Who(device, name)
        if hub.identities.get(who) is None:
            identity = Identity(device=device, module=name, generation=_digits(), etag=_etag(), managed_by="iotEdge")
            hub.identities.save(identity, new_keys())
            hub.twins.save(who, new_twin(hub.clock.now()))


def _authentication(
    body: AuthenticationBody | None, before: Identity | None, keys: Keys
) -> tuple[Authentication, Keys, Keys | None]:
    """How an identity shows who it is: the kind, its keys, its thumbprints."""
    if body is None:
        if before is not None:
            return before.authentication, keys, before.thumbprints
        return "sas", new_keys(), None
    kind = _kind(body)
    if kind == "sas":
        given = body.symmetric_key
        primary = (given.primary_key if given else None) or None
        secondary = (given.secondary_key if given else None) or None
        if primary is not None:
            check_key(primary, "authentication.symmetricKey.primaryKey")
        if secondary is not None:
            check_key(secondary, "authentication.symmetricKey.secondaryKey")
        return kind, Keys(primary or new_key(), secondary or new_key()), None
    if kind != "selfSigned":
        return kind, _NO_KEYS, None
    thumbprints = body.x509_thumbprint
    primary = check_thumbprint(
        (thumbprints.primary_thumbprint if thumbprints else None) or "",
        "authentication.x509Thumbprint.primaryThumbprint",
    )
    secondary = check_thumbprint(
        (thumbprints.secondary_thumbprint if thumbprints else None) or "",
        "authentication.x509Thumbprint.secondaryThumbprint",
    )
    if not primary and not secondary:
        raise argument_invalid("An identity with a certificate of its own needs a thumbprint.")
    return kind, _NO_KEYS, Keys(primary, secondary)


def _kind(body: AuthenticationBody) -> Authentication:
    kinds = {kind.lower(): kind for kind in get_args(Authentication)}
    if body.type is None:
        has_thumbprint = body.x509_thumbprint is not None and (
            body.x509_thumbprint.primary_thumbprint or body.x509_thumbprint.secondary_thumbprint
        )
        return "selfSigned" if has_thumbprint else "sas"
    found = kinds.get(body.type.lower())
    if found is None:
        raise argument_invalid(
            f"'authentication.type' is '{body.type[:40]}'; it is one of {', '.join(get_args(Authentication))}."
        )
    return cast("Authentication", found)


def _digits() -> str:
    """As generation ids look: 18 digits."""
    return str(10**17 * 6 + secrets.randbelow(10**17))


def _etag() -> str:
    return base64.b64encode(str(secrets.randbelow(10**9)).encode()).decode()
