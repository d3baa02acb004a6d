"""Tables show what a real API server shows: recorded rows; and columns that definitions add."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue
from windtunnel_emulators.kubernetes.objects.durations import human
from windtunnel_emulators.kubernetes.objects.tables import table

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

_ROWS = json.loads((Path(__file__).parent / "data" / "tables.json").read_text())


@pytest.mark.parametrize("entry", _ROWS, ids=lambda e: f"{e['object']['kind']}-{e['object']['metadata']['name']}")
def test_rows_are_those_of_a_real_server(entry: dict[str, JsonObject]) -> None:
    whole = entry["object"]
    group, _, version = str(whole["apiVersion"]).rpartition("/")
    info = Catalogue().find_kind(group, version, str(whole["kind"]))
    assert info is not None
    made = table(info, [whole], "None", datetime.fromisoformat(str(entry["now"])))
    rows = json.loads(json.dumps(made["rows"]))
    assert rows[0]["cells"] == entry["cells"]
    assert rows[0].get("conditions") == entry["conditions"]
    assert len(rows[0]["cells"]) == len(json.loads(json.dumps(made["columnDefinitions"])))


def test_rows_carry_what_is_asked_for() -> None:
    info = Catalogue().find("", "v1", "configmaps")
    assert info is not None
    whole: JsonObject = {"metadata": {"name": "a"}, "data": {"b": "c"}}
    now = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    shown = {
        include: json.loads(json.dumps(table(info, [whole], include, now)["rows"]))[0]
        for include in ("None", "Object", "Metadata")
    }
    assert "object" not in shown["None"]
    assert shown["Object"]["object"] == whole
    assert shown["Metadata"]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize("info", Catalogue().kinds(), ids=lambda info: f"{info.kind.group}/{info.kind.plural}")
def test_every_kind_has_as_many_cells_as_columns(info: object) -> None:
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

    assert isinstance(info, KindInfo)
    if "list" in info.verbs and info.kind.name != "ComponentStatus":
        made = json.loads(json.dumps(table(info, [{"metadata": {"name": "a"}}], "None", datetime.now().astimezone())))
        assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (4 * 3600 + 60, "4h1m"),
        (8 * 3600, "8h"),
        (2 * 86400, "2d"),
        (3 * 86400 + 3600, "3d1h"),
        (9 * 86400, "9d"),
        (3 * 365 * 86400, "3y"),
        (-5, "<invalid>"),
    ],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    assert human(seconds) == text
