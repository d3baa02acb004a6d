"""A hub's shared access policies: the five that every hub has, those of a body, and ``listkeys``."""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Reply
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .service import IotHubs

SECRET = "policies"  # noqa: S105  # the name under which they are kept
RIGHTS = ("RegistryRead", "RegistryWrite", "ServiceConnect", "DeviceConnect")
_DEFAULTS = {
    "iothubowner": "RegistryWrite, ServiceConnect, DeviceConnect",
    "service": "ServiceConnect",
    "device": "DeviceConnect",
    "registryRead": "RegistryRead",
    "registryReadWrite": "RegistryWrite",
}
_NAME = re.compile(r"[A-Za-z0-9!._-]{1,64}")


def default_policies() -> list[Json]:
    """With keys of their own, as a new hub has them."""
    return [
        {"keyName": name, "primaryKey": _key(), "secondaryKey": _key(), "rights": rights}
        for name, rights in _DEFAULTS.items()
    ]


def read_policies(value: Json, before: list[Json]) -> list[Json]:
    """The policies that a body asks for; keys that it leaves out stay, or are made. Raises ``ArmError`` 400."""
    known = {as_str(as_object(one).get("keyName")).lower(): as_object(one) for one in before}
    found: dict[str, JsonObject] = {}
    for at, entry in enumerate(as_list(value)):
        place = f"properties.authorizationPolicies[{at}]"
        asked = as_object(entry)
        name = as_str(asked.get("keyName"))
        if not _NAME.fullmatch(name) or name.lower() in found:
            raise _bad(f"'{place}.keyName' is '{name[:80]}'; names have 1 to 64 characters and differ.", place)
        earlier = known.get(name.lower(), {})
        found[name.lower()] = {
            "keyName": name,
            "primaryKey": _given(asked, earlier, "primaryKey", place),
            "secondaryKey": _given(asked, earlier, "secondaryKey", place),
            "rights": _rights(as_str(asked.get("rights")), place),
        }
    return list(found.values()) or before


async def list_keys(_: Call, hub: Resource | None, __: IotHubs) -> Reply:
    """``listkeys``."""
    assert hub is not None
    return Reply(status=200, body={"value": as_list(hub.secrets.get(SECRET))})


async def get_keys(call: Call, hub: Resource | None, _: IotHubs) -> Reply:
    """``IotHubKeys/{name}/listkeys``."""
    assert hub is not None
    name = call.parameters["name"]
    for one in as_list(hub.secrets.get(SECRET)):
        if as_str(as_object(one).get("keyName")).lower() == name.lower():
            return Reply(status=200, body=one)
    raise ArmError(404, "KeyNotFound", f"The hub '{hub.id.name}' has no shared access policy '{name[:80]}'.")


def _rights(text: str, place: str) -> str:
    words = [word.strip() for word in text.split(",") if word.strip()]
    known = {right.lower(): right for right in RIGHTS}
    if not words or any(word.lower() not in known for word in words):
        raise _bad(f"'{place}.rights' is '{text[:100]}'; rights are {', '.join(RIGHTS)}, with commas between.", place)
    return ", ".join(known[word.lower()] for word in words)


def _given(asked: JsonObject, earlier: JsonObject, field: str, place: str) -> str:
    key = as_str(asked.get(field)) or as_str(earlier.get(field)) or _key()
    try:
        size = len(base64.b64decode(key, validate=True))
    except ValueError:
        size = 0
    if not 16 <= size <= 64:
        raise _bad(f"'{place}.{field}' must be the base64 text of 16 to 64 bytes.", place)
    return key


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _bad(message: str, place: str) -> ArmError:
    return ArmError(400, "InvalidAuthorizationPolicy", message, target=place)
