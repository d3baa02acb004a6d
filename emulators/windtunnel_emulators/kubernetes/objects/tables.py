"""Tables: the columns and cells that ``kubectl get`` shows of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo


def table(info: KindInfo, objects: Sequence[JsonObject], include: str = "Metadata", now: datetime | None = None) -> JsonObject:
    rows: list[Json] = [
        {
            "cells": [whole["metadata"]["name"], "x"],  # type: ignore[index,call-overload]
            "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]},
        }
        for whole in objects
    ]
    columns: list[Json] = [
        {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
        {"name": "Age", "type": "string", "format": "", "description": "", "priority": 0},
    ]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns, "rows": rows}
