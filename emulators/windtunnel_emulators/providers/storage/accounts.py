"""Storage accounts as ARM has them: what a body may ask for, what an answer shows, names and keys.

Keys are kept apart and only told by ``listKeys``. What has no effect here (networks, encryption of one's own, tiers of
redundancy) is refused or answered as the default that it is.
"""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Change, Removal, Reply, Resource, View
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import Json

    from .service import StorageService

TYPE = "Microsoft.Storage/storageAccounts"
KEYS = ("key1", "key2")
_NAME = re.compile(r"[a-z0-9]{3,24}")
_RULE = (
    "is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use"
    " numbers and lower-case letters only."
)
_KINDS = ("StorageV2", "BlobStorage", "Storage", "BlockBlobStorage")
_SKUS = ("Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Premium_LRS", "Standard_GZRS")
_UNBUILT = ("networkAcls", "encryption", "isHnsEnabled", "customDomain", "immutableStorageWithVersioning", "sasPolicy")


def put(call: Call, existing: Resource | None, service: StorageService) -> Change:
    """There at once: the first answer is 200 with ``Succeeded``."""
    assert call.id is not None
    body = as_object(call.body)
    if existing is None:
        _check_new(call.id.name, service)
    sku = as_str(as_object(body.get("sku")).get("name")) or (as_str(existing.envelope.get("sku")) if existing else "")
    if existing is None and sku not in _SKUS:
        raise ArmError(400, "InvalidValuesForRequestParameters", f"sku.name is {sku!r}; it must be one of {_SKUS}.")
    kind = as_str(body.get("kind")) or "StorageV2"
    if kind not in _KINDS:
        raise ArmError(400, "InvalidValuesForRequestParameters", f"kind is {kind!r}; it must be one of {_KINDS}.")
    asked = as_object(body.get("properties"))
    _refuse_unbuilt(asked)
    properties: JsonObject = {
        "provisioningState": "Succeeded",
        "primaryEndpoints": {"blob": service.endpoint(call.id.name)},
        "primaryLocation": as_str(body.get("location")),
        "statusOfPrimary": "available",
        # Of this machine alone, where nothing but signed requests goes over the wire.
        "supportsHttpsTrafficOnly": False,
        "allowSharedKeyAccess": True,
        "allowBlobPublicAccess": False,
        "minimumTlsVersion": as_str(asked.get("minimumTlsVersion")) or "TLS1_2",
        "accessTier": as_str(asked.get("accessTier")) or "Hot",
        "creationTime": call.now.isoformat(),
    }
    envelope: JsonObject = {"sku": {"name": sku, "tier": sku.partition("_")[0]}, "kind": kind}
    if existing is not None:
        properties["creationTime"] = existing.properties.get("creationTime")
        envelope = {**existing.envelope, **({"sku": envelope["sku"]} if sku in _SKUS else {})}
    resource = Resource(
        id=call.id,
        location=as_str(body.get("location")) or (existing.location if existing else None),
        tags=_tags(body) or {},
        properties=properties,
        envelope=envelope,
        secrets=existing.secrets if existing else {name: new_key() for name in KEYS},
        etag=existing.etag if existing else "",
    )
    return Change(resource=resource, status=200)


def patch(call: Call, existing: Resource | None, service: StorageService) -> Change:
    """Tags, and the access tier."""
    assert existing is not None
    del service
    body = as_object(call.body)
    asked = as_object(body.get("properties"))
    _refuse_unbuilt(asked)
    tier = as_str(asked.get("accessTier")) or existing.properties.get("accessTier")
    tags = _tags(body)
    return Change(
        resource=replace(
            existing,
            tags=existing.tags if tags is None else tags,
            properties={**existing.properties, "accessTier": tier},
        ),
        status=200,
    )


def delete(call: Call, resource: Resource, service: StorageService) -> Removal:
    del call, resource, service
    return Removal(status=200, work="delete")


def view(resource: Resource, service: StorageService, how: View) -> JsonObject:
    """The same in every answer; the port may be another one since it was made."""
    del how
    endpoints: JsonObject = {"blob": service.endpoint(resource.id.name)}
    properties: JsonObject = {**resource.properties, "primaryEndpoints": endpoints}
    return {**resource.envelope, "tags": dict(resource.tags or {}), "properties": properties}


async def list_keys(call: Call, account: Resource | None, service: StorageService) -> Reply:
    """``listKeys``."""
    del call, service
    assert account is not None
    return Reply(status=200, body=_keys(account))


async def regenerate_key(call: Call, account: Resource | None, service: StorageService) -> Reply:
    """``regenerateKey``: one key changes, the other goes on holding."""
    del service
    assert account is not None
    name = as_str(as_object(call.body).get("keyName"))
    if name not in KEYS:
        raise ArmError(400, "InvalidValuesForRequestParameters", f"keyName is {name!r}; it must be key1 or key2.")
    changed = replace(account, secrets={**account.secrets, name: new_key()})
    return Reply(status=200, body=_keys(changed), resource=changed)


async def check_availability(call: Call, _: Resource | None, service: StorageService) -> Reply:
    """``checkNameAvailability``."""
    name = as_str(as_object(call.body).get("name"))
    if not _NAME.fullmatch(name):
        body: JsonObject = {"nameAvailable": False, "reason": "AccountNameInvalid", "message": f"{name[:60]} {_RULE}"}
        return Reply(status=200, body=body)
    if service.find(name) is not None:
        message = f"The storage account named {name} is already taken."
        return Reply(status=200, body={"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Reply(status=200, body={"nameAvailable": True})


def new_key() -> str:
    """64 random bytes in base64, as Azure's are."""
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _check_new(name: str, service: StorageService) -> None:
    if not _NAME.fullmatch(name):
        raise ArmError(400, "AccountNameInvalid", f"{name[:60]} {_RULE}", target="name")
    if service.find(name) is not None:
        raise ArmError(409, "StorageAccountAlreadyTaken", f"The storage account named {name} is already taken.")


def _refuse_unbuilt(asked: JsonObject) -> None:
    for name in _UNBUILT:
        value = asked.get(name)
        if value not in (None, False, {}) and not (name == "encryption" and _platform_keys(value)):
            what = f"properties.{name} of a storage account"
            raise not_implemented(what, "Leave it out, or use an account in Azure.")


def _platform_keys(encryption: Json) -> bool:
    return as_str(as_object(encryption).get("keySource"), "Microsoft.Storage") == "Microsoft.Storage"


def _tags(body: JsonObject) -> dict[str, str] | None:
    tags = body.get("tags")
    return {key: as_str(value) for key, value in tags.items()} if isinstance(tags, dict) else None


def _keys(account: Resource) -> JsonObject:
    keys: list[Json] = [{"keyName": name, "value": account.secrets[name], "permissions": "FULL"} for name in KEYS]
    return {"keys": keys}
