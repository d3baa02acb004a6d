"""Maintenance windows of clusters: kept, checked and answered. Nothing here upgrades by itself and waits for one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.provider import Change, Removal, Resource, ResourceType, View
from windtunnel_emulators.jsontypes import as_object, as_str

from . import checks
from .api_versions import API_VERSIONS

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import JsonObject

    from .service import ContainerService

_NAMES = ("default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def put(call: Call, current: Resource | None, service: ContainerService) -> Change:
    """Create or replace one. Raises ``ArmError`` 400."""
    if call.id is None:
        raise TypeError("a PUT has the id of its resource")
    if call.id.name.lower() not in {name.lower() for name in _NAMES}:
        raise checks.invalid("configName", f"'{call.id.name}' is none of {', '.join(_NAMES)}")
    given = as_object(as_object(call.body).get("properties"))
    properties: JsonObject = {key: value for key, value in given.items() if value is not None}
    window = checks.obj(properties, "maintenanceWindow", "properties")
    if call.id.name.lower() != "default":
        if window is None:
            raise checks.invalid("maintenanceWindow", f"maintenanceWindow is required for {call.id.name}")
        properties["maintenanceWindow"] = _window(window, call)
    elif window is not None:
        raise checks.invalid("maintenanceWindow", "the configuration 'default' has timeInWeek, not a window")
    return Change(
        resource=Resource(
            id=call.id,
            location=None,
            tags=None,
            properties=properties,
            etag="" if current is None else current.etag,
        ),
        status=200,  # recorded, for a new one too
    )


def delete(call: Call, current: Resource, service: ContainerService) -> Removal:
    return Removal(status=200)


def view(resource: Resource, service: ContainerService, how: View) -> JsonObject:
    """As recorded, with a type or without one."""
    return {"properties": resource.properties}


def _window(window: JsonObject, call: Call) -> JsonObject:
    hours = checks.number(window, "durationHours", "maintenanceWindow")
    if hours is None or not 4 <= hours <= 24:
        raise checks.invalid("maintenanceWindow.durationHours", "durationHours is required, from 4 to 24")
    start = checks.text(window, "startTime", "maintenanceWindow")
    if start is None or not _TIME.fullmatch(start):
        raise checks.invalid("maintenanceWindow.startTime", "startTime is required, as HH:MM")
    schedule: JsonObject = {
        k: v for k, v in (checks.obj(window, "schedule", "maintenanceWindow") or {}).items() if v is not None
    }
    if len(schedule) != 1 or not schedule.keys() <= {"daily", "weekly", "absoluteMonthly", "relativeMonthly"}:
        raise checks.invalid(
            "maintenanceWindow.schedule",
            "schedule needs one of daily, weekly, absoluteMonthly and relativeMonthly",
        )
    made: JsonObject = {
        "schedule": schedule,
        "durationHours": hours,
        "utcOffset": as_str(window.get("utcOffset")) or "+00:00",
        "startDate": as_str(window.get("startDate")) or f"{call.now:%Y-%m-%d}",
        "startTime": start,
    }
    if window.get("notAllowedDates") is not None:
        made["notAllowedDates"] = window["notAllowedDates"]
    return made


MAINTENANCE_CONFIGURATIONS: ResourceType[ContainerService] = ResourceType(
    name="managedClusters/maintenanceConfigurations",
    api_versions=API_VERSIONS,
    locations=(),
    view=view,
    put=put,
    delete=delete,
    tracked=False,
)
