"""Strategic merge patches: merge patches that know which lists are merged, by which key, and in what order.

Directives: ``$patch: replace|delete|merge``, ``$retainKeys``, ``$deleteFromPrimitiveList/F``, ``$setElementOrder/F``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects.causes import BadObject
from windtunnel_emulators.kubernetes.objects.gotext import go_text
from windtunnel_emulators.kubernetes.objects.schemas import Schema, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

_PATCH, _RETAIN = "$patch", "$retainKeys"
_DELETE_FROM, _ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


def _refused(message: str) -> BadObject:
    # The real server calls these mistakes of the client 500 and gives no reason.
    return BadObject(message, code=500, reason="")


def merge(schema: Schema, original: JsonObject, patch: JsonObject) -> JsonObject:
    """The patched object; nothing given is changed. Raises ``BadObject``."""
    directive = patch.get(_PATCH)
    if directive is not None:
        rest: JsonObject = {name: value for name, value in patch.items() if name != _PATCH}
        if directive == "replace":
            return rest
        if directive == "delete":
            return {}
        if directive != "merge":
            raise _refused(f"unknown patch type: {directive} in map: {go_text(patch)}")
        patch = rest
    made: JsonObject = dict(original)
    if _RETAIN in patch:
        made = _retained(made, patch)
    for name in _list_names(patch):
        _merge_parallel(schema, made, patch, name)
    parallel = _list_names(patch)
    for name, value in patch.items():
        if name == _RETAIN or name.startswith((_DELETE_FROM, _ORDER)) or name in parallel:
            continue
        if value is None:
            made.pop(name, None)
            continue
        before = made.get(name)
        if before is None or type(before) is not type(value):
            made[name] = _without_directives(value)
            continue
        field = schema.properties.get(name) or schema.values or Schema()
        if isinstance(value, dict) and isinstance(before, dict):
            replaced = "replace" in field.patch_strategy
            made[name] = _without_directives(value) if replaced else merge(resolve(field), before, value)
        elif isinstance(value, list) and isinstance(before, list):
            merged = "merge" in field.patch_strategy.split(",")
            made[name] = merge_list(field, before, value) if merged else _without_directives(value)
        else:
            made[name] = value
    return made


def _retained(made: JsonObject, patch: JsonObject) -> JsonObject:
    retained = patch[_RETAIN]
    if not isinstance(retained, list):
        raise _refused(f"the value of {_RETAIN} is not a list")
    for name in patch:
        if not name.startswith("$") and patch[name] is not None and name not in retained:
            raise _refused(f"retainKeys list doesn't contain key {name!r} of the patch".replace("'", '"'))
    return {name: value for name, value in made.items() if name in retained}


def _list_names(patch: JsonObject) -> list[str]:
    """The lists that have a directive beside them."""
    names = [name.partition("/")[2] for name in patch if name.startswith((_DELETE_FROM, _ORDER))]
    return list(dict.fromkeys(names))


def _merge_parallel(schema: Schema, made: JsonObject, patch: JsonObject, name: str) -> None:
    field = schema.properties.get(name) or Schema()
    before = made.get(name)
    items: list[Json] = list(before) if isinstance(before, list) else []
    deleted, order, change = patch.get(_DELETE_FROM + name), patch.get(_ORDER + name), patch.get(name)
    for directive, value in ((_DELETE_FROM, deleted), (_ORDER, order)):
        if value is not None and not isinstance(value, list):
            raise _refused(f"the value of {directive}{name} is not a list")
    server_order = list(items)
    if isinstance(deleted, list):
        items = [item for item in items if item not in deleted]
    if name in patch and change is None:
        made.pop(name, None)
        return
    if isinstance(change, list):
        items = merge_list(field, items, change)
    if isinstance(order, list):
        key = field.patch_key
        in_order = [item for item in items if _place(order, item, key) >= 0]
        server_only = [item for item in items if _place(order, item, key) < 0]
        items = _ordered(in_order, server_only, order, server_order, key)
    if items or isinstance(before, list):
        made[name] = items


def merge_list(field: Schema, original: list[Json], patch: list[Json]) -> list[Json]:
    """A list that is merged item by item. Raises ``BadObject``."""
    key = field.patch_key
    every = [*original, *patch]
    if not any(isinstance(item, dict) for item in every):
        merged: list[Json] = []
        for item in every:
            if item not in merged:
                merged.append(item)
        return _partitioned(merged, patch, original, "")
    if not key:
        raise _refused("cannot merge lists without merge key")
    original, patch = _special(original, patch, key)
    items = resolve(field.items)
    merged = list(original)
    for item in patch:
        at = _place(merged, _with_key(item, key), key)
        if at < 0:
            merged.append(_without_directives(item))
        else:
            before = merged[at]
            assert isinstance(before, dict)
            assert isinstance(item, dict)
            merged[at] = merge(items, before, item)
    return _partitioned(merged, patch, original, key)


def _special(original: list[Json], patch: list[Json], key: str) -> tuple[list[Json], list[Json]]:
    """Carries out the elements that are directives."""
    kept: list[Json] = []
    replace = False
    for item in patch:
        if not isinstance(item, dict):
            raise _refused(f"unable to merge a list of objects with {go_text(item)}")
        directive = item.get(_PATCH)
        if directive is None:
            kept.append(item)
        elif directive == "delete":
            wanted = _with_key(item, key)[key]
            original = [each for each in original if not isinstance(each, dict) or each.get(key) != wanted]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise _refused("merging lists cannot yet be specified in the patch")
        else:
            raise _refused(f"unknown patch type: {directive} in list")
    return ([], kept) if replace else (original, kept)


def _with_key(item: Json, key: str) -> JsonObject:
    if not isinstance(item, dict) or item.get(key) is None:
        raise _refused(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item


def _place(items: Sequence[Json], item: Json, key: str) -> int:
    for index, other in enumerate(items):
        if key and isinstance(item, dict) and isinstance(other, dict):
            if other.get(key) == item.get(key):
                return index
        elif other == item:
            return index
    return -1


def _partitioned(merged: list[Json], patch: list[Json], server: list[Json], key: str) -> list[Json]:
    ours = [item for item in merged if _place(patch, item, key) >= 0]
    others = [item for item in merged if _place(patch, item, key) < 0]
    return _ordered(ours, others, patch, server, key)


def _ordered(ours: list[Json], others: list[Json], order: list[Json], server: list[Json], key: str) -> list[Json]:
    """The items of the patch in its order, those of the server alone put where the server had them, if possible."""
    right = sorted(ours, key=lambda item: _place(order, item, key))
    left = sorted(others, key=lambda item: _place(server, item, key))
    made: list[Json] = []
    while left and right:
        mine, theirs = _place(server, left[0], key), _place(server, right[0], key)
        made.append(left.pop(0) if 0 <= mine < theirs else right.pop(0))
    return made + left + right


def _without_directives(value: Json) -> Json:
    """A value that the object has not had, without what only says how to merge."""
    if isinstance(value, dict):
        made: JsonObject = {}
        for name, inner in value.items():
            if name in (_PATCH, _RETAIN) or name.startswith((_DELETE_FROM, _ORDER)):
                continue
            if inner is not None:
                made[name] = _without_directives(inner)
        return made
    if isinstance(value, list):
        return [
            _without_directives(inner)
            for inner in value
            if not (isinstance(inner, dict) and inner.get(_PATCH) in ("delete", "replace"))
        ]
    return value
