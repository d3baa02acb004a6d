"""Defaults are those of a real API server: recorded pairs, which make_defaults.py records anew."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue
from windtunnel_emulators.kubernetes.objects.decode import decode
from windtunnel_emulators.kubernetes.objects.defaults import apply_defaults
from windtunnel_emulators.kubernetes.objects.prepare import prepare_create

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_PAIRS = json.loads((Path(__file__).parent / "data" / "defaults.json").read_text())
_NOW = "2026-01-01T00:00:00Z"
_OF_ADMISSION = {
    "Pod": ("tolerations", "priority", "preemptionPolicy", "serviceAccountName", "serviceAccount"),
    "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
}


def _info(whole: JsonObject) -> KindInfo:
    group, _, version = str(whole["apiVersion"]).rpartition("/")
    found = Catalogue().find_kind(group, version, str(whole["kind"]))
    assert found is not None
    return found


def _name(pair: dict[str, JsonObject]) -> str:
    return f"{pair['input']['kind']}-{cast('JsonObject', pair['input']['metadata'])['name']}"


def _comparable(whole: JsonObject) -> JsonObject:
    """Without what admission writes, and times."""
    made = copy.deepcopy(whole)
    cast("JsonObject", made["metadata"]).pop("namespace", None)
    spec, status = made.get("spec"), made.get("status")
    if isinstance(spec, dict):
        for field in _OF_ADMISSION.get(str(made["kind"]), ()):
            spec.pop(field, None)
        if made["kind"] == "Node":
            spec.pop("taints", None)  # of the admission that taints new nodes
    if isinstance(status, dict):
        status.pop("lastPhaseTransitionTime", None)
    return made


@pytest.mark.parametrize("pair", _PAIRS, ids=_name)
def test_defaults_are_those_of_a_real_server(pair: dict[str, JsonObject]) -> None:
    info = _info(pair["input"])
    raw = json.dumps(pair["input"]).encode()
    made = prepare_create(info, apply_defaults(info, decode(info, raw, field_validation="Strict").object), _NOW)
    assert _comparable(made) == _comparable(pair["output"])


@pytest.mark.parametrize("pair", _PAIRS, ids=_name)
def test_defaults_of_what_has_them_change_nothing(pair: dict[str, JsonObject]) -> None:
    info = _info(pair["input"])
    once = apply_defaults(info, decode(info, json.dumps(pair["input"]).encode()).object)
    before = copy.deepcopy(once)
    assert apply_defaults(info, once) == before
    assert once == before
    assert decode(info, json.dumps(once).encode(), field_validation="Strict").object == before
