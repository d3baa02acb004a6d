"""Custom kinds: what a CustomResourceDefinition makes of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo


def kind_infos(definition: JsonObject) -> list[KindInfo]:
    """The kinds, one for each served version."""
    return []


def reshaped(info: KindInfo, whole: JsonObject) -> JsonObject:
    """A stored object as today's schema has it: pruned, with defaults."""
    return whole


def fit_custom(info: KindInfo, whole: JsonObject) -> tuple[JsonObject, list[str]]:
    """An object without what its schema does not know, and notes of that."""
    return whole, []


def with_defaults(info: KindInfo, whole: JsonObject) -> JsonObject:
    """The object with the defaults of its schema."""
    return whole
