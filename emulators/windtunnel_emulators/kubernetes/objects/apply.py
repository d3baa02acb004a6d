"""Server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo


def apply(
    info: KindInfo,
    live: JsonObject | None,
    applied: JsonObject,
    manager: str,
    force: bool = False,
    *,
    subresource: str = "",
    time: str = "",
) -> JsonObject:
    raise NotImplementedError


def track(
    info: KindInfo,
    old: JsonObject | None,
    new: JsonObject,
    manager: str,
    operation: str = "Update",
    subresource: str = "",
    time: str = "",
) -> JsonObject:
    return new
