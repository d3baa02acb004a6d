"""``managedFields``: who manages which fields of an object, read and written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import fieldsets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.fieldsets import FieldSet

MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"


@dataclass(frozen=True, slots=True)
class Manager:
    """Who: a manager that writes with another version, or another subresource, is another one."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def describe(self) -> str:
        """As the message of a conflict has it."""
        text = f'"{self.name}"'
        if self.operation != "Update":
            return text
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}"


@dataclass(frozen=True, slots=True)
class Managed:
    """All managers of one object."""

    fields: dict[Manager, FieldSet]
    times: dict[Manager, str]

    def without_empty(self) -> Managed:
        return replace(self, fields={manager: fields for manager, fields in self.fields.items() if fields})


def read(entries: Json) -> Managed:
    """The managers of ``managedFields``; entries that are malformed are left out."""
    fields: dict[Manager, FieldSet] = {}
    times: dict[Manager, str] = {}
    for entry in as_list(entries):
        found = as_object(entry)
        operation = as_str(found.get("operation"))
        if operation not in ("Apply", "Update"):
            continue
        manager = Manager(
            as_str(found.get("manager")),
            operation,
            as_str(found.get("apiVersion")),
            as_str(found.get("subresource")),
        )
        fields[manager] = fieldsets.decode(found.get("fieldsV1"))
        times[manager] = as_str(found.get("time"))
    return Managed(fields, times)


def write(managed: Managed) -> list[Json]:
    """The entries, in the server's order."""
    capped = _capped(managed)
    entries: list[tuple[tuple[str, str, str, str, str], JsonObject]] = []
    for manager, fields in capped.fields.items():
        if not fields:
            continue
        time = capped.times.get(manager, "")
        entry: JsonObject = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
        }
        if time:
            entry["time"] = time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = fieldsets.encode(fields)
        if manager.subresource:
            entry["subresource"] = manager.subresource
        key = (manager.operation, time, manager.name, manager.api_version, manager.subresource)
        entries.append((key, entry))
    return [entry for _, entry in sorted(entries, key=lambda found: found[0])]


def _capped(managed: Managed) -> Managed:
    """With at most ten updaters: the oldest become one."""
    updaters = [manager for manager, fields in managed.fields.items() if manager.operation == "Update" and fields]
    if len(updaters) <= MOST_UPDATERS:
        return managed
    updaters.sort(key=lambda manager: managed.times.get(manager, ""))
    fields, times = dict(managed.fields), dict(managed.times)
    left = len(updaters)
    for manager in updaters:
        if left <= MOST_UPDATERS - 1 or manager.name == _ANCIENT:
            continue
        bucket = Manager(_ANCIENT, "Update", manager.api_version)
        grown = bucket in fields
        fields[bucket] = fields.get(bucket, fieldsets.EMPTY) | fields.pop(manager)
        times[bucket] = max(times.get(bucket, ""), times.get(manager, ""))
        left -= 1 if grown else 0
        if left <= MOST_UPDATERS:
            break
    return Managed(fields, times)


def conflicts_message(found: Iterable[tuple[Manager, list[str]]]) -> str:
    """The message of conflicts: of one, or of several grouped by manager."""
    listed = list(found)
    count = sum(len(paths) for _, paths in listed)
    if count == 1:
        manager, paths = listed[0]
        return f"Apply failed with 1 conflict: conflict with {manager.describe()}: {paths[0]}"
    lines = [
        "\n".join([f"conflicts with {manager.describe()}:", *(f"- {path}" for path in paths)])
        for manager, paths in listed
    ]
    return f"Apply failed with {count} conflicts: " + "\n".join(lines)
