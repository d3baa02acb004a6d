"""Readers of the JSON of objects: what is not there reads as empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

_NOTHING: JsonObject = {}


def at(value: Json, *path: str | int) -> Json:
    """What is at a path; None where a part of it is not there."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def obj(value: Json, *path: str | int) -> JsonObject:
    """The object at a path, else an empty one."""
    found = at(value, *path)
    return found if isinstance(found, dict) else _NOTHING.copy()


def items(value: Json, *path: str | int) -> list[JsonObject]:
    """The objects of the list at a path."""
    found = at(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(value: Json, *path: str | int, default: str = "") -> str:
    """The string at a path."""
    found = at(value, *path)
    return found if isinstance(found, str) else default


def number(value: Json, *path: str | int, default: int = 0) -> int:
    """The whole number at a path."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else default


def truth(value: Json, *path: str | int, default: bool = False) -> bool:
    """The boolean at a path."""
    found = at(value, *path)
    return found if isinstance(found, bool) else default


def texts(value: Json, *path: str | int) -> dict[str, str]:
    """The strings of the object at a path: labels, annotations, selectors."""
    return {key: item for key, item in obj(value, *path).items() if isinstance(item, str)}


def name_of(item: Mapping[str, Json]) -> str:
    """``metadata.name``."""
    return text(item.get("metadata"), "name")


def namespace_of(item: Mapping[str, Json]) -> str:
    """``metadata.namespace``; empty for what has none."""
    return text(item.get("metadata"), "namespace")


def uid_of(item: Mapping[str, Json]) -> str:
    """``metadata.uid``."""
    return text(item.get("metadata"), "uid")


def key_of(item: Mapping[str, Json]) -> str:
    """``namespace/name``, or the name alone of what has no namespace: how caches and queues call an object."""
    namespace = namespace_of(item)
    return f"{namespace}/{name_of(item)}" if namespace else name_of(item)


def split(key: str) -> tuple[str | None, str]:
    """Namespace and name of a key."""
    namespace, slash, name = key.partition("/")
    return (namespace, name) if slash else (None, namespace)


def deleted(item: Mapping[str, Json]) -> bool:
    """Whether it is on its way out."""
    return at(item.get("metadata"), "deletionTimestamp") is not None


def controller_of(item: Mapping[str, Json]) -> JsonObject | None:
    """The owner reference that controls it."""
    for owner in items(item.get("metadata"), "ownerReferences"):
        if owner.get("controller") is True:
            return owner
    return None


def owner_reference(owner: Mapping[str, Json], api_version: str, kind: str) -> JsonObject:
    """A controlling reference to ``owner``; lists and watches leave an object's kind out, so it is given."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
