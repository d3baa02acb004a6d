"""Times and authorship as this provider's answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import JsonObject, as_object

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.arm.provider import Call, Resource


def zulu(moment: datetime) -> str:
    """``2026-11-22T16:37:12.1234560Z``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def offset(moment: datetime) -> str:
    """``2026-11-22T16:37:12.1234560+00:00``, as in ``systemData``, tasks and runs."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f0+00:00")


def seconds(moment: datetime) -> str:
    """``2026-11-22T16:37:12+00:00``, as in a run's ``lastUpdatedTime``."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def system_data(call: Call, existing: Resource | None) -> JsonObject:
    """Who made a resource, and who changed it last."""
    now = offset(call.now)
    before = as_object(existing.envelope.get("systemData")) if existing else {}
    return {
        "createdBy": before.get("createdBy", call.caller.name),
        "createdByType": before.get("createdByType", call.caller.kind),
        "createdAt": before.get("createdAt", now),
        "lastModifiedBy": call.caller.name,
        "lastModifiedByType": call.caller.kind,
        "lastModifiedAt": now,
    }
