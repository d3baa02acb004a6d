"""Tables: the columns and cells that ``kubectl get`` shows of each kind."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.objects.cells import CELLS, created
from windtunnel_emulators.kubernetes.objects.podcells import pod_cells, pod_conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_FILE = Path(__file__).parent / "data" / "columns.json"
_POD = "core/Pod"


@cache
def _columns() -> dict[str, list[tuple[str, str, str, int]]]:
    return msgspec.json.decode(_FILE.read_bytes(), type=dict[str, list[tuple[str, str, str, int]]])


def table(
    info: KindInfo, objects: Sequence[JsonObject], include: str = "Metadata", now: datetime | None = None
) -> JsonObject:
    """A ``Table`` of ``meta.k8s.io/v1`` with a row for each object.

    ``include`` says what of the object is in its row: ``None``, ``Metadata`` (default) or ``Object``.
    """
    moment = datetime.now(UTC) if now is None else now
    cells = _cells_of(info)
    rows: list[Json] = []
    for whole in objects:
        row: JsonObject = {"cells": cells(whole, moment)}
        if info.strategy == _POD:
            conditions = pod_conditions(whole)
            if conditions:
                row["conditions"] = conditions
        shown = _included(whole, include)
        if shown is not None:
            row["object"] = shown
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": _definitions(info),
        "rows": rows,
    }


def _included(whole: JsonObject, include: str) -> Json:
    if include == "None":
        return None
    if include == "Object":
        return whole
    metadata = as_object(whole.get("metadata"))
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}


def _cells_of(info: KindInfo) -> Callable[[JsonObject, datetime], list[Json]]:
    if info.custom:
        from windtunnel_emulators.kubernetes.objects.customcells import cells_of

        return cells_of(info)
    return pod_cells if info.strategy == _POD else CELLS.get(info.strategy, created)


def _definitions(info: KindInfo) -> list[Json]:
    if info.custom:
        from windtunnel_emulators.kubernetes.objects.customcells import column_definitions

        return column_definitions(info)
    found = _columns().get(info.strategy, [("Name", "string", "name", 0), ("Created At", "date", "", 0)])
    return [
        {"name": name, "type": type_, "format": format_, "description": "", "priority": priority}
        for name, type_, format_, priority in found
    ]
