"""Validation: what is wrong with an object, with the paths and in the words of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo
    from windtunnel_emulators.kubernetes.objects.causes import Cause


def validate_create(info: KindInfo, whole: JsonObject) -> tuple[Cause, ...]:
    """What is wrong with a new object, with its defaults."""
    return ()


def validate_update(info: KindInfo, old: JsonObject, new: JsonObject, subresource: str = "") -> tuple[Cause, ...]:
    """What is wrong with the next state of an object."""
    return ()
