"""Defaults: what the API writes into fields that a client left out, as the real server (1.34) does.

What only admission adds (tokens, tolerations, priorities, cluster addresses) is not here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects.defaulthooks import HOOKS
from windtunnel_emulators.kubernetes.objects.defaulttables import DEFAULTS
from windtunnel_emulators.kubernetes.objects.schemas import Schema, definition

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo


def apply_defaults(info: KindInfo, whole: JsonObject) -> JsonObject:
    """The object with its defaults; the given one is not changed."""
    if info.custom:
        from windtunnel_emulators.kubernetes.objects.structural import with_defaults

        return with_defaults(info, whole)
    return _defaulted(info.schema, whole)


def _defaulted(name: str, value: JsonObject) -> JsonObject:
    made = dict(value)
    for field, default in DEFAULTS.get(name, {}).items():
        if made.get(field) is None or (made[field] == "" and default != ""):
            made[field] = _copy(default)
        elif made[field] == 0 and name in _ZERO_IS_NOTHING and made[field] is not False:
            made[field] = default
    for field, schema in _fields(name):
        inner = made.get(field)
        if inner is not None:
            made[field] = _inside(schema, inner)
    hook = HOOKS.get(name)
    if hook is not None:
        hook(made)
    return made


# Numbers of these are plain: zero cannot be told from nothing.
_ZERO_IS_NOTHING = frozenset({"io.k8s.api.core.v1.Probe", "io.k8s.api.flowcontrol.v1.FlowSchemaSpec"})


def _inside(schema: Schema, value: Json) -> Json:
    if schema.ref:
        return _defaulted(schema.ref, value) if isinstance(value, dict) else value
    if schema.items is not None and isinstance(value, list):
        items = schema.items
        return [_inside(items, item) for item in value]
    if schema.values is not None and isinstance(value, dict):
        values = schema.values
        return {key: _inside(values, item) for key, item in value.items()}
    return value


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, list) else value


@cache
def _fields(name: str) -> tuple[tuple[str, Schema], ...]:
    """The fields of a definition in which there is something to default, or to copy before a hook changes it."""
    found: list[tuple[str, Schema]] = []
    for field, schema in definition(name).properties.items():
        target = _target(schema)
        if target and _reaches(target):
            found.append((field, schema))
    return tuple(found)


def _target(schema: Schema | None) -> str:
    while schema is not None and not schema.ref:
        schema = schema.items or schema.values
    return "" if schema is None else schema.ref


@cache
def _reaching() -> frozenset[str]:
    """The definitions that have defaults, and those that contain such."""
    from windtunnel_emulators.kubernetes.objects.schemas import definition_names

    contains: dict[str, set[str]] = {}
    for name in definition_names():
        for schema in definition(name).properties.values():
            target = _target(schema)
            if target:
                contains.setdefault(target, set()).add(name)
    found: set[str] = set()
    waiting = [name for name in (*DEFAULTS, *HOOKS, "io.k8s.api.core.v1.ResourceRequirements")]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(contains.get(name, ()))
    return frozenset(found)


def _reaches(name: str) -> bool:
    return name in _reaching()
