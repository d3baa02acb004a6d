"""What tables show of custom kinds: the columns of their definition, or their age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.objects.catalogue import PrinterColumn
from windtunnel_emulators.kubernetes.objects.durations import moment, since
from windtunnel_emulators.kubernetes.objects.jsonpath import PathError, find

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_AGE = PrinterColumn(name="Age", type="date", json_path=".metadata.creationTimestamp")


def _columns(info: KindInfo) -> tuple[PrinterColumn, ...]:
    return info.columns or (_AGE,)


def column_definitions(info: KindInfo) -> list[Json]:
    """The columns, the name first."""
    made: list[Json] = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    for column in _columns(info):
        told = column.description or f"Custom resource definition column (in JSONPath format): {column.json_path}"
        made.append(
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": told,
                "priority": column.priority,
            }
        )
    return made


def cells_of(info: KindInfo) -> Callable[[JsonObject, datetime], list[Json]]:
    """The function that gives the cells of a row."""
    columns = _columns(info)

    def cells(whole: JsonObject, now: datetime) -> list[Json]:
        name = as_str(as_object(whole.get("metadata")).get("name"))
        return [name, *(_cell(column, whole, now) for column in columns)]

    return cells


def _cell(column: PrinterColumn, whole: JsonObject, now: datetime) -> Json:
    try:
        found = find(column.json_path, whole)
    except PathError:
        return None
    if not found:
        return None
    value = found[0]
    if column.type == "integer":
        return _whole(value)
    if column.type == "number":
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if column.type == "boolean":
        return value if isinstance(value, bool) else None
    if column.type == "date":
        return since(value, now) if moment(value) is not None else "<unknown>" if value == "" else "<invalid>"
    return _text(value)


def _whole(value: Json) -> Json:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value)
    try:
        return int(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: Json) -> Json:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
