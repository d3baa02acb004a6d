"""Objects as structured merge sees them: which fields there are, which differ, and one laid over another.

What a list or a map is (a set, a map by keys, one value as a whole) comes from the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects.fieldsets import field_element, key_element, value_element
from windtunnel_emulators.kubernetes.objects.schemas import Schema, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.fieldsets import FieldSet, Path

_ANYTHING = Schema()


class StructureError(ValueError):
    """A list whose items cannot be told apart, or a value of another form than the schema's."""


class _Nothing:
    """Not there at all, which is not null."""


NOTHING = _Nothing()


def _field(schema: Schema, name: str) -> Schema:
    return schema.properties.get(name) or schema.values or _ANYTHING


def _is_leaf(schema: Schema, facts: Schema, value: Json) -> bool:
    """Whether the value is one thing: a scalar, or a list or map that is owned as a whole."""
    if isinstance(value, list):
        return schema.list_type not in ("map", "set")
    if isinstance(value, dict):
        return "atomic" in (schema.map_type, facts.map_type)
    return True


def _element(schema: Schema, items: Schema, item: Json, where: Path) -> str:
    """The element of an item of a list. Raises ``StructureError``."""
    if schema.list_type == "set":
        return value_element(item)
    if not isinstance(item, dict):
        raise StructureError(f"{_text(where)}: associative list with keys may not have non-map elements")
    keys: JsonObject = {}
    for name in schema.list_keys:
        value = item.get(name)
        if value is None:
            default = items.properties[name].default if name in items.properties else None
            if not isinstance(default, (str, int, bool)):
                message = (
                    f"associative list with keys has an element that omits key field {_quoted(name)}"
                    " (and doesn't have default value)"
                )
                raise StructureError(f"{_text(where)}: element 0: {message}")
            value = default
        keys[name] = value
    return key_element(keys)


def _text(where: Path) -> str:
    from windtunnel_emulators.kubernetes.objects.fieldsets import shown

    return shown(where)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _elements(schema: Schema, items: Schema, value: list[Json], where: Path) -> list[tuple[str, Json]]:
    return [(_element(schema, items, item, where), item) for item in value]


def field_set(schema: Schema, value: Json, *, strict: bool = True) -> FieldSet:
    """The fields that a value sets. ``strict``: an item that is there twice raises ``StructureError``."""
    found: set[Path] = set()
    _collect(schema, value, (), found, strict=strict)
    return frozenset(found)


def _collect(schema: Schema, value: Json, path: Path, found: set[Path], *, strict: bool) -> None:
    facts = resolve(schema)
    if _is_leaf(schema, facts, value):
        found.add(path)
    elif isinstance(value, dict):
        for name, inner in value.items():
            below = (*path, field_element(name))
            _collect(_field(facts, name), inner, below, found, strict=strict)
            if inner is None or inner == {} or name not in facts.properties:
                found.add(below)
    elif isinstance(value, list):
        items = resolve(schema.items)
        seen: set[str] = set()
        for element, inner in _elements(schema, items, value, path):
            if element in seen and strict:
                raise StructureError(f"{_text(path)}: duplicate entries for key {_text((element,))}")
            seen.add(element)
            below = (*path, element)
            _collect(schema.items or _ANYTHING, inner, below, found, strict=strict)
            found.add(below)


class Comparison:
    """How one state of an object differs from another."""

    def __init__(self) -> None:
        self.added: set[Path] = set()
        self.modified: set[Path] = set()
        self.removed: set[Path] = set()

    @property
    def same(self) -> bool:
        return not (self.added or self.modified or self.removed)


def compare(schema: Schema, old: Json, new: Json) -> Comparison:
    """The differences. Raises ``StructureError``."""
    found = Comparison()
    _compare(schema, old, new, (), found)
    return found


def _compare(schema: Schema, old: Json | _Nothing, new: Json | _Nothing, path: Path, found: Comparison) -> None:
    if old is new or (not isinstance(old, (dict, list)) and type(old) is type(new) and old == new):
        return
    facts = resolve(schema)
    if _compared_whole(schema, facts, old, new):
        if isinstance(old, _Nothing):
            found.added.add(path)
        elif isinstance(new, _Nothing):
            found.removed.add(path)
        elif old != new or type(old) is not type(new):
            found.modified.add(path)
        return
    pairs = _dict_pairs if isinstance(old, dict) or isinstance(new, dict) else _list_pairs
    for element, below, before, after in pairs(schema, facts, old, new, path):
        _compare(below, before, after, (*path, element), found)
    if isinstance(old, _Nothing):
        found.added.add(path)
    elif isinstance(new, _Nothing):
        found.removed.add(path)


def _compared_whole(schema: Schema, facts: Schema, old: Json | _Nothing, new: Json | _Nothing) -> bool:
    for value in (old, new):
        if not isinstance(value, _Nothing) and value is not None and _is_leaf(schema, facts, value):
            return True
    # Empty or null on both sides: the difference between the two is kept.
    return not (isinstance(old, (dict, list)) and old) and not (isinstance(new, (dict, list)) and new)


def _dict_pairs(
    schema: Schema, facts: Schema, old: Json | _Nothing, new: Json | _Nothing, path: Path
) -> Iterator[tuple[str, Schema, Json | _Nothing, Json | _Nothing]]:
    before = old if isinstance(old, dict) else {}
    after = new if isinstance(new, dict) else {}
    for name, inner in before.items():
        yield field_element(name), _field(facts, name), inner, after.get(name, NOTHING)
    for name, inner in after.items():
        if name not in before:
            yield field_element(name), _field(facts, name), NOTHING, inner


def _list_pairs(
    schema: Schema, facts: Schema, old: Json | _Nothing, new: Json | _Nothing, path: Path
) -> Iterator[tuple[str, Schema, Json | _Nothing, Json | _Nothing]]:
    items, below = resolve(schema.items), schema.items or _ANYTHING
    before = dict(_elements(schema, items, old, path)) if isinstance(old, list) else {}
    after = dict(_elements(schema, items, new, path)) if isinstance(new, list) else {}
    for element, inner in before.items():
        yield element, below, inner, after.get(element, NOTHING)
    for element, inner in after.items():
        if element not in before:
            yield element, below, NOTHING, inner


def merge(schema: Schema, live: Json, applied: Json, path: Path = ()) -> Json:
    """The applied value laid over the live one. Raises ``StructureError``."""
    facts = resolve(schema)
    if isinstance(applied, dict) and isinstance(live, dict) and not _is_leaf(schema, facts, applied):
        made = dict(live)
        for name, inner in applied.items():
            below = (*path, field_element(name))
            made[name] = merge(_field(facts, name), live[name], inner, below) if name in live else inner
        return made
    if isinstance(applied, list) and isinstance(live, list) and not _is_leaf(schema, facts, applied):
        return _merged_list(schema, live, applied, path)
    return applied


def _merged_list(schema: Schema, live: list[Json], applied: list[Json], path: Path) -> list[Json]:
    """The applied items in their order; those of the live list alone stay in front of what they were in front of."""
    items, below = resolve(schema.items), schema.items or _ANYTHING
    left = _elements(schema, items, live, path)
    right = _elements(schema, items, applied, path)
    wanted = {element for element, _ in right}
    known = dict(left)
    made: list[Json] = []
    done: set[str] = set()
    at = 0
    for element, inner in right:
        while at < len(left) and (left[at][0] not in wanted or left[at][0] in done):
            if left[at][0] not in wanted:
                made.append(left[at][1])
            at += 1
        if element in known:
            made.append(merge(below, known[element], inner, (*path, element)))
            done.add(element)
        else:
            made.append(inner)
    made.extend(inner for element, inner in left[at:] if element not in wanted)
    return made


def without(schema: Schema, value: Json, fields: FieldSet, path: Path = ()) -> Json:
    """The value without those of its fields and items that are in the set."""
    facts = resolve(schema)
    if _is_leaf(schema, facts, value):
        return value
    if isinstance(value, dict):
        made: JsonObject = {}
        for name, inner in value.items():
            below = (*path, field_element(name))
            if below not in fields:
                made[name] = without(_field(facts, name), inner, fields, below)
        return made
    assert isinstance(value, list)
    items = resolve(schema.items)
    kept: list[Json] = []
    for element, inner in _elements(schema, items, value, path):
        below = (*path, element)
        if below not in fields:
            kept.append(without(schema.items or _ANYTHING, inner, fields, below))
    return kept


def with_named_parents(schema: Schema, fields: FieldSet) -> FieldSet:
    """The set with the structures that its fields are in: named fields, not keys of maps and not items."""
    found = set(fields)
    for path in fields:
        at = resolve(schema)
        below = schema
        for index, element in enumerate(path[:-1], 1):
            if element.startswith("f:"):
                name = element[2:]
                if name in at.properties:
                    found.add(path[:index])
                below = _field(at, name)
            else:
                below = below.items or _ANYTHING
            at = resolve(below)
    return frozenset(found)
