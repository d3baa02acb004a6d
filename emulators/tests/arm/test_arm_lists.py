"""The generic list of resources: filters, pages, what may be expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.providers.resources.filters import parse

if TYPE_CHECKING:
    from tests.arm.conftest import Door

NAMES = frozenset(("name", "resourcetype", "location", "resourcegroup"))


async def names(door: Door, text: str = "", scope: str = "", query: str = "") -> list[str]:
    filtered = f"$filter={quote(text)}" if text else ""
    answer = await door.core("GET", f"{scope}/resources", query="&".join(p for p in (filtered, query) if p))
    assert answer.status == 200, answer.body
    return [one["name"] for one in answer.body["value"]]


@pytest.fixture
async def full(door: Door) -> Door:
    """Things: ``a`` and ``b`` in ``g``, ``c`` in ``other``; ``a`` has tags and something nested in it."""
    await door.group("other")
    path = "/resourceGroups/{}/providers/Fake.Things/things/{}"
    await door.call("PUT", path.format("g", "a"), {"location": "westus2", "tags": {"env": "test", "x": "y"}})
    await door.call("PUT", path.format("g", "a/parts/p"), {})
    await door.call("PUT", path.format("g", "b"), {"location": "eastus", "tags": {"env": "prod"}})
    await door.call("PUT", path.format("other", "c"), {"location": "eastus"})
    return door


async def test_resources_are_listed_with_what_every_type_has(full: Door) -> None:
    answer = await full.core("GET", "/resources")
    assert answer.body["value"][0] == {
        "id": f"/subscriptions/{full.kernel.subscription}/resourceGroups/g/providers/Fake.Things/things/a",
        "name": "a",
        "type": "Fake.Things/things",
        "sku": {"name": "Basic"},
        "location": "westus2",
        "tags": {"env": "test", "x": "y"},
    }
    assert await names(full) == ["a", "b", "c"]
    assert await names(full, scope="/resourceGroups/G") == ["a", "b"]
    assert (await full.core("GET", "/resourceGroups/none/resources")).code == "ResourceGroupNotFound"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("resourceType eq 'fake.things/THINGS'", ["a", "b", "c"]),
        ("resourceType eq 'Fake.Things/others'", []),
        ("resourceType ne 'Fake.Things/others'", ["a", "b", "c"]),
        ("name eq 'B'", ["b"]),
        ("location eq 'EastUS' and resourceGroup eq 'g'", ["b"]),
        ("name eq 'a' or name eq 'c'", ["a", "c"]),
        ("name eq 'a' or name eq 'c' and resourceGroup eq 'g'", ["a"]),
        ("(name eq 'a' or name eq 'c') and resourceGroup eq 'other'", ["c"]),
        ("substringof('THING', resourceType)", ["a", "b", "c"]),
        ("startswith(name,'a')", ["a"]),
        ("tagName eq 'ENV'", ["a", "b"]),
        ("tagName eq 'env' and tagValue eq 'prod'", ["b"]),
        ("tagName eq 'x' and tagValue eq 'test'", []),
        ("startswith(tagName, 'e')", ["a", "b"]),
        ("name eq 'it''s'", []),
    ],
)
async def test_a_filter_selects(full: Door, text: str, found: list[str]) -> None:
    assert await names(full, text) == found


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name eq",
        "name eq b",
        "name eq 'b",
        "size eq '1'",
        "name gt 'a'",
        "eq 'a'",
        "name eq 'a' and",
        "()",
        "'",
    ],
)
async def test_a_filter_that_is_none_is_refused_and_quoted(door: Door, text: str) -> None:
    answer = await door.core("GET", "/resources", query=f"$filter={quote(text)}")
    assert (answer.status, answer.code) == (400, "InvalidFilterInQueryString")
    assert text in answer.body["error"]["message"]


async def test_times_and_state_are_told_when_asked_for(full: Door) -> None:
    answer = await full.core("GET", "/resources", query="$expand=createdTime,changedTime,provisioningState")
    first = answer.body["value"][0]
    assert first["createdTime"] == first["changedTime"] == "2026-01-01T00:00:00.0000000Z"
    assert first["provisioningState"] == "Succeeded"
    assert (await full.core("GET", "/resources", query="$expand=secrets")).code == "InvalidExpandInQueryString"


async def test_pages_follow_each_other_with_the_same_filter(full: Door) -> None:
    query = f"$top=1&$filter={quote(chr(39).join(['location eq ', 'eastus', '']))}"
    first = await full.core("GET", "/resources", query=query)
    second = await full.follow(first.body["nextLink"])
    assert [one["name"] for one in first.body["value"] + second.body["value"]] == ["b", "c"]
    assert "nextLink" not in second.body


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$top=0", "InvalidTopInQueryString"),
        ("$top=many", "InvalidTopInQueryString"),
        ("$top=-1", "InvalidTopInQueryString"),
        ("$skiptoken=%ff", "InvalidSkipTokenInQueryString"),
        ("$skiptoken=a", "InvalidSkipTokenInQueryString"),
    ],
)
async def test_a_page_that_cannot_be(door: Door, query: str, code: str) -> None:
    answer = await door.core("GET", "/resources", query=query)
    assert (answer.status, answer.code) == (400, code)


words = st.sampled_from(
    [
        "name",
        "tagName",
        "tagValue",
        "eq",
        "ne",
        "and",
        "or",
        "(",
        ")",
        ",",
        "'a'",
        "'it''s'",
        "substringof",
        "startswith",
    ]
)


@given(st.one_of(st.text(), st.lists(words, max_size=30).map(" ".join)))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        found = str(parse(text, NAMES)({"name": "a"}, {"a": "it's"}))
    except ArmError as refused:
        found = refused.code
    assert found in ("InvalidFilterInQueryString", "True", "False")


@given(st.text(), st.text())
def test_a_text_in_quotes_is_compared_whole_without_case(left: str, right: str) -> None:
    quoted = left.replace("'", "''")
    assert parse(f"name eq '{quoted}'", NAMES)({"name": right}, {}) == (left.lower() == right.lower())
