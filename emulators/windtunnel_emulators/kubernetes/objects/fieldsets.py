"""Sets of fields: paths into objects, and the form ``FieldsV1`` in which ``managedFields`` keep them.

A path is a tuple of elements as FieldsV1 writes them: ``f:name``, ``k:{"name":"a"}``, ``v:"x"``, ``i:0``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]
EMPTY: FieldSet = frozenset()


def field_element(name: str) -> str:
    """The element of a field or of a key of a map."""
    return f"f:{name}"


def key_element(keys: JsonObject) -> str:
    """The element of an item of a list that is a map."""
    return "k:" + json.dumps(keys, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def value_element(value: Json) -> str:
    """The element of an item of a list that is a set."""
    return "v:" + json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def encode(fields: Iterable[Path]) -> JsonObject:
    """The FieldsV1 form, its elements sorted."""
    root: dict[str, object] = {}
    for path in sorted(fields, key=_sorting):
        node = root
        for element in path:
            node = cast("dict[str, object]", node.setdefault(element, {}))
        node["."] = {}
    return cast("JsonObject", _tidied(root))


def _sorting(path: Path) -> Path:
    return path


def _tidied(node: dict[str, object]) -> dict[str, object]:
    """A member without fields below it is ``{}``."""
    made: dict[str, object] = {}
    if "." in node:
        made["."] = {}
    for element in sorted(name for name in node if name != "."):
        inner = cast("dict[str, object]", node[element])
        made[element] = {} if inner.keys() == {"."} else _tidied(inner)
    return made


def decode(value: Json) -> FieldSet:
    """The set of a FieldsV1 value; what is malformed in it is left out."""
    found: set[Path] = set()
    _decode(value, (), found)
    return frozenset(found)


def _decode(value: Json, path: Path, found: set[Path]) -> None:
    if not isinstance(value, dict):
        return
    if not value and path:
        found.add(path)
        return
    for element, inner in value.items():
        if element == ".":
            if path:
                found.add(path)
        elif element[:2] in ("f:", "k:", "v:", "i:"):
            _decode(inner, (*path, element), found)


def shown(path: Path) -> str:
    """A path as messages have it: ``.spec.containers[name="x"].image``."""
    text = ""
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "k:":
            keys = json.loads(rest)
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in keys.items()) + "]"
        elif kind == "v:":
            text += f"[={rest}]"
        else:
            text += f"[{rest}]"
    return text


def ordered(fields: Iterable[Path]) -> list[Path]:
    """The paths in the order in which messages list them."""
    return sorted(fields)
