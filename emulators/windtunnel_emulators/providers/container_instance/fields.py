"""Names and words of a body, read as Azure reads them: without regard to case.

Azure's own examples spell ``memoryInGB`` and ``memoryInGb``, ``TCP`` and ``tcp``. Before a body is converted to typed
values, the names of its fields and the words of closed sets are put in their published spelling. Keys that belong to
the user (tags, secrets, settings) are left alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json

_WORDS = "words"

Plan: TypeAlias = "_Fields | _Items | _Values | _Words | None"


def words(*spellings: str) -> msgspec.Meta:
    """Marks a string as one of these words; which of them it is, is for ``validation`` to check."""
    return msgspec.Meta(extra={_WORDS: spellings})


class _Fields:
    """Of an object: by lower-case name, the published one and what to do with the value."""

    def __init__(self) -> None:
        self.fields: dict[str, tuple[str, Plan]] = {}


class _Items:
    """Of a list: what to do with each item."""

    def __init__(self, item: Plan) -> None:
        self.item = item


class _Values:
    """Of an object with the user's keys: what to do with each value."""

    def __init__(self, value: Plan) -> None:
        self.value = value


class _Words:
    """Of a string: by lower-case word without spaces, the published one."""

    def __init__(self, spellings: tuple[str, ...]) -> None:
        self.spellings: Mapping[str, str] = {_folded(word): word for word in spellings}


def canonical(body: Json, kind: type[msgspec.Struct]) -> Json:
    """The body with names and words in their published spelling; null fields are left out. Nothing is checked."""
    return _apply(body, _plan_of(kind))


def _apply(value: Json, plan: Plan) -> Json:
    if plan is None or value is None:
        return value
    if isinstance(plan, _Words):
        return plan.spellings.get(_folded(value), value) if isinstance(value, str) else value
    if isinstance(plan, _Items):
        return [_apply(item, plan.item) for item in value] if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    if isinstance(plan, _Values):
        return {key: _apply(item, plan.value) for key, item in value.items()}
    known: dict[str, Json] = {}
    for key, item in value.items():
        name, inner = plan.fields.get(key.lower(), (key, None))
        if item is not None:
            known[name] = _apply(item, inner)
    return known


def _folded(word: str) -> str:
    return word.replace(" ", "").lower()


@cache
def _plan_of(kind: type[msgspec.Struct]) -> Plan:
    # msgspec.inspect is read on the first body only: it is not needed to start.
    from msgspec import inspect

    made: dict[type[msgspec.Struct], _Fields] = {}

    def plan(info: inspect.Type) -> Plan:
        match info:
            case inspect.Metadata(type=inner):
                marked = cast("dict[str, tuple[str, ...]]", getattr(info, "extra", None) or {})
                return _Words(marked[_WORDS]) if _WORDS in marked else plan(inner)
            case inspect.UnionType(types=types):
                return next((found for found in map(plan, types) if found is not None), None)
            case inspect.ListType(item_type=item):
                inner_plan = plan(item)
                return None if inner_plan is None else _Items(inner_plan)
            case inspect.DictType(value_type=item):
                inner_plan = plan(item)
                return None if inner_plan is None else _Values(inner_plan)
            case inspect.StructType(cls=cls, fields=fields):
                if cls not in made:
                    made[cls] = _Fields()
                    made[cls].fields.update({f.encode_name.lower(): (f.encode_name, plan(f.type)) for f in fields})
                return made[cls]
            case _:
                return None

    return plan(inspect.type_info(kind))
