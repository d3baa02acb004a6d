"""The ``$filter`` of runs: what the Azure CLI writes, and what is no filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.providers.container_registry.filters import parse_filter, parse_top

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

RUN: JsonObject = {
    "runId": "cf1",
    "task": "it's and more",
    "status": "Failed",
    "runType": "QuickRun",
    "isArchiveEnabled": False,
    "createTime": "2026-01-02T03:04:05.1234560+00:00",
    "outputImages": [{"registry": "r", "repository": "team/hello", "tag": "v1", "digest": "sha256:ab"}],
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("TaskName eq 'it''s and more'", True),
        ("taskname eq 'other'", False),
        ("Status eq 'failed' and RunType ne 'QuickBuild'", True),
        ("Status eq 'Failed' and RunId eq 'cf2'", False),
        ("IsArchiveEnabled eq false", True),
        ("contains(OutputImageManifests, 'hello@sha256:ab')", True),
        ("contains(OutputImageManifests, 'hello:v2')", False),
        ("CreateTime ge 2026-01-02T00:00:00Z", True),
        ("CreateTime lt 2026-01-02T05:00:00+02:00", False),
        ("FinishTime gt 2020-01-01T00:00:00Z", False),
    ],
)
def test_a_filter_keeps_what_fits(text: str, fits: bool) -> None:
    assert parse_filter(text)(RUN) is fits


@pytest.mark.parametrize(
    "text", ["Status", "Colour eq 'red'", "Status like 'F'", "Status eq 'a' or Status eq 'b'", "Status eq 'a"]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(ArmError) as refused:
        parse_filter(text)
    assert (refused.value.status, refused.value.code) == (400, "InvalidFilter")


@given(text=st.text(alphabet="abTaskName'() eq,and contains\u00e9", max_size=60))
def test_any_text_is_a_filter_or_a_refusal(text: str) -> None:
    codes: list[str] = []
    try:
        parse_filter(text)(RUN)
    except ArmError as refused:
        codes.append(refused.code)
    assert codes in ([], ["InvalidFilter"])


@pytest.mark.parametrize(("text", "count"), [(None, 100), ("1", 1), ("15", 15)])
def test_how_many_are_wanted(text: str | None, count: int) -> None:
    assert parse_top(text) == count


@pytest.mark.parametrize("text", ["0", "-1", "many", "", "1.5"])
def test_a_number_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArmError, match=r"\$top"):
        parse_top(text)
