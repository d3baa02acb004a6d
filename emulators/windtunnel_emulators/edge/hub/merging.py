"""JSON merge patches, computed: what turns one document into another, and two patches made one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.twins import merged
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject


def difference(before: JsonObject, after: JsonObject) -> JsonObject:
    """The smallest patch with ``merged(before, patch) == after``, where neither has nulls; empty when they agree."""
    patch: JsonObject = dict.fromkeys(name for name in before if name not in after)
    for name, value in after.items():
        former = before.get(name)
        if isinstance(value, dict) and isinstance(former, dict):
            below = difference(former, value)
            if below:
                patch[name] = below
        elif name not in before or not _same(former, value):
            patch[name] = value
    return patch


def _same(one: Json, other: Json) -> bool:
    """As JSON: to Python ``True == 1``."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    return type(one) is type(other) and one == other


def collapsed(pending: JsonObject, patch: JsonObject, base: JsonObject) -> JsonObject:
    """One patch that does to ``base`` what ``pending`` and then ``patch`` do.

    What removes a name that ``base`` does not have stays: ``base`` may be less than what the patch will meet.
    """
    found = dict(pending)
    for name, change in patch.items():
        if not isinstance(change, dict) or name not in pending:
            found[name] = change
            continue
        former, under = pending[name], as_object(base.get(name))
        if isinstance(former, dict):
            found[name] = collapsed(former, change, under)
        else:
            # It was removed, or was no object: nothing of what the base has below it may come back.
            found[name] = difference(under, merged({}, change))
    return found
