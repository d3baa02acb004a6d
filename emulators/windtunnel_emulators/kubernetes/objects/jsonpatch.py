"""JSON patches (RFC 6902) as the Kubernetes API applies them, which is why no library is used.

It refuses to remove what is not there, and to do anything inside what is not there. It is lenient where RFC 6902 is
not: a field that is not there may be replaced, and is null to ``test``, ``copy`` and ``move``; a value that is left out
is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_MOST_OPERATIONS = 10000


class PatchFailed(ValueError):
    """An operation that cannot be done."""


def apply(document: JsonObject, operations: list[JsonObject]) -> Json:
    """The patched document; the given one is not changed. Raises ``PatchFailed``."""
    if len(operations) > _MOST_OPERATIONS:
        raise PatchFailed(f"a patch has at most {_MOST_OPERATIONS} operations")
    whole: Json = _copy(document)
    for operation in operations:
        whole = _apply_one(whole, operation)
    return whole


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    return value


def _apply_one(whole: Json, operation: JsonObject) -> Json:
    name, path = operation.get("op"), _parts(operation.get("path"))
    value = operation.get("value")
    if name == "add":
        return _add(whole, path, _copy(value))
    if name == "replace":
        return _replace(whole, path, _copy(value))
    if name == "remove":
        return _remove(whole, path)
    if name == "test":
        if _get(whole, path) != value or _kinds(_get(whole, path)) != _kinds(value):
            raise PatchFailed(f"the value at {operation.get('path')} is another")
        return whole
    if name == "copy":
        return _add(whole, path, _copy(_get(whole, _parts(operation.get("from")))))
    if name == "move":
        source = _parts(operation.get("from"))
        moved = _get(whole, source)
        return _add(_remove(whole, source), path, moved)
    raise PatchFailed(f"no operation {name!r}")


def _kinds(value: Json) -> type:
    return type(value)


def _parts(path: Json) -> list[str]:
    if not isinstance(path, str):
        raise PatchFailed("an operation needs a path")
    if path == "":
        return []
    if not path.startswith("/"):
        raise PatchFailed(f"the path {path!r} does not begin with a slash")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _index(items: list[Json], part: str, *, end: bool = False) -> int:
    if end and part == "-":
        return len(items)
    try:
        index = int(part)
    except ValueError as problem:
        raise PatchFailed(f"{part!r} is no place in a list") from problem
    if index < 0:
        index += len(items)
    if not 0 <= index < len(items) + (1 if end else 0):
        raise PatchFailed(f"the list has no place {part}")
    return index


def _parent(whole: Json, path: list[str]) -> JsonObject | list[Json]:
    inner = _get(whole, path[:-1])
    if not isinstance(inner, (dict, list)):
        raise PatchFailed(f"there is nothing at /{'/'.join(path[:-1])} to have {path[-1]!r}")
    return inner


def _get(whole: Json, path: list[str]) -> Json:
    value = whole
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list):
            value = value[_index(value, part)]
        else:
            raise PatchFailed(f"there is nothing at {part!r}")
    return value


def _add(whole: Json, path: list[str], value: Json) -> Json:
    if not path:
        return value
    parent = _parent(whole, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent.insert(_index(parent, path[-1], end=True), value)
    return whole


def _replace(whole: Json, path: list[str], value: Json) -> Json:
    if not path:
        return value
    parent = _parent(whole, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent[_index(parent, path[-1])] = value
    return whole


def _remove(whole: Json, path: list[str]) -> Json:
    if not path:
        raise PatchFailed("the whole document cannot be removed")
    parent = _parent(whole, path)
    if isinstance(parent, dict):
        if path[-1] not in parent:
            raise PatchFailed(f"there is no {path[-1]!r} to remove")
        del parent[path[-1]]
    else:
        del parent[_index(parent, path[-1])]
    return whole


def merge(document: Json, change: Json) -> Json:
    """A merge patch (RFC 7386): null removes, objects are merged, all else replaces."""
    if not isinstance(change, dict):
        return change
    made: JsonObject = dict(document) if isinstance(document, dict) else {}
    for name, value in change.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merge(made.get(name), value)
    return made
