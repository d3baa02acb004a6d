"""Defaults: what the API writes into fields that a client left out, as the real server (1.34) does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo


def apply_defaults(info: KindInfo, whole: JsonObject) -> JsonObject:
    """The object with its defaults; the given one is not changed."""
    if info.custom:
        from windtunnel_emulators.kubernetes.objects.structural import with_defaults

        return with_defaults(info, whole)
    return whole
