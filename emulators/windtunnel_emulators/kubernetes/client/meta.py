"""Reading objects of the API: what every client of it asks of their metadata and nested fields.

Nothing here changes an object: what a client or an informer returns is shared.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Kind


def dig(value: Json, *path: str) -> Json:
    """The value at ``path``, None where a step is missing."""
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def text(value: Json, *path: str, default: str = "") -> str:
    """The string at ``path``, else ``default``."""
    found = dig(value, *path)
    return found if isinstance(found, str) else default


def number(value: Json, *path: str, default: int = 0) -> int:
    """The integer at ``path``, else ``default``."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def optional_number(value: Json, *path: str) -> int | None:
    """The integer at ``path``, else None."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def flag(value: Json, *path: str, default: bool = False) -> bool:
    """The boolean at ``path``, else ``default``."""
    found = dig(value, *path)
    return found if isinstance(found, bool) else default


def mapping(value: Json, *path: str) -> JsonObject:
    """The object at ``path``, else an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def entries(value: Json, *path: str) -> list[JsonObject]:
    """The objects of the list at ``path``."""
    found = dig(value, *path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def strings(value: Json, *path: str) -> dict[str, str]:
    """The object of strings at ``path``: labels, annotations."""
    found = dig(value, *path)
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def words(value: Json, *path: str) -> list[str]:
    """The strings of the list at ``path``."""
    found = dig(value, *path)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def name_of(obj: JsonObject) -> str:
    return text(obj, "metadata", "name")


def namespace_of(obj: JsonObject) -> str:
    return text(obj, "metadata", "namespace")


def uid_of(obj: JsonObject) -> str:
    return text(obj, "metadata", "uid")


def labels_of(obj: JsonObject) -> dict[str, str]:
    return strings(obj, "metadata", "labels")


def annotations_of(obj: JsonObject) -> dict[str, str]:
    return strings(obj, "metadata", "annotations")


def key_of(obj: JsonObject) -> str:
    """``namespace/name``, or ``name`` where there is no namespace: how caches and queues call an object."""
    return join_key(namespace_of(obj), name_of(obj))


def join_key(namespace: str | None, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """(namespace, name); the namespace is empty where there is none."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


def version_of(obj: JsonObject) -> int:
    """The resource version as a number: API servers' versions of one cluster are comparable (KEP-5504)."""
    found = text(obj, "metadata", "resourceVersion")
    return int(found) if found.isdigit() else 0


def deleting(obj: JsonObject) -> bool:
    """Its deletion was asked for."""
    return dig(obj, "metadata", "deletionTimestamp") is not None


def controller_of(obj: JsonObject) -> JsonObject | None:
    """The owner reference of what controls it."""
    for reference in entries(obj, "metadata", "ownerReferences"):
        if reference.get("controller") is True:
            return reference
    return None


def controlled_by(obj: JsonObject, owner: JsonObject) -> bool:
    reference = controller_of(obj)
    return reference is not None and text(reference, "uid") == uid_of(owner)


def owner_reference(owner: JsonObject, kind: Kind) -> JsonObject:
    """The reference by which ``owner`` controls what it makes."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: JsonObject, type_: str) -> JsonObject | None:
    """The status condition of that type."""
    for each in entries(obj, "status", "conditions"):
        if each.get("type") == type_:
            return each
    return None


def timestamp(moment: datetime) -> str:
    """As ``metav1.Time`` is written: whole seconds, Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """As ``metav1.MicroTime`` is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(value: Json) -> datetime | None:
    """The moment a timestamp of the API names; None for what is no timestamp."""
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
