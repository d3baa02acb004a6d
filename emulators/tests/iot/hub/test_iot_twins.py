"""Twins and property bags as values: patches, metadata, limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.iot.hub import bags, twin_rules, twins
from windtunnel_emulators.iot.hub.errors import HubError

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)

names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=3)
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, values, max_size=4)


def rfc7396(target: Json, patch: Json) -> Json:
    """The algorithm as the RFC prints it."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = rfc7396(found.get(name), value)
    return found


def shape(value: Json) -> Json:
    """Where metadata has to be: wherever there is something."""
    return {name: shape(one) for name, one in value.items()} if isinstance(value, dict) else {}


def names_of(metadata: Json) -> Json:
    assert isinstance(metadata, dict)
    return {name: names_of(one) for name, one in metadata.items() if not name.startswith("$")}


@given(st.lists(objects, max_size=4))
def test_patches_are_merge_patches_and_everything_has_metadata(patches: list[JsonObject]) -> None:
    section, expected = twins.Section(), rfc7396({}, {})
    for patch in patches:
        section = twins.patched(section, patch, NOW, versions=True)
        expected = rfc7396(expected, patch)
    assert section.properties == expected
    assert names_of(section.metadata) == shape(expected)
    assert section.version == 1 + len(patches)


@given(objects, objects)
def test_replacing_leaves_nothing_of_before(before: JsonObject, after: JsonObject) -> None:
    section = twins.patched(twins.Section(), before, NOW, versions=True)
    section = twins.replaced(section, after, LATER, versions=True)
    assert section.properties == rfc7396({}, after)
    assert section.version == 3


def test_metadata_tells_when_and_in_which_version() -> None:
    section = twins.patched(twins.Section(), {"a": {"b": 1}, "c": 1}, NOW, versions=True)
    section = twins.patched(section, {"a": {"d": 1}}, LATER, versions=True)
    first = {"$lastUpdated": "2026-01-01T00:00:00.0000000Z", "$lastUpdatedVersion": 2}
    second = {"$lastUpdated": "2026-01-01T00:00:01.0000000Z", "$lastUpdatedVersion": 3}
    assert section.metadata == {**second, "a": {**second, "b": first, "d": second}, "c": first}
    assert section.shown(metadata=True) == {
        "a": {"b": 1, "d": 1},
        "c": 1,
        "$metadata": section.metadata,
        "$version": 3,
    }
    reported = twins.patched(twins.Section(), {"a": 1}, NOW, versions=False)
    assert reported.metadata["a"] == {"$lastUpdated": first["$lastUpdated"]}


@pytest.mark.parametrize(
    "properties",
    [
        {"a b": 1},
        {"a.b": 1},
        {"$a": 1},
        {"": 1},
        {"a\x07": 1},
        {"x" * 1025: 1},
        {"a": ["x" * 4097]},
        {"a": 2**52},
        {"a": -(2**52) - 1},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": {"k": 1}}}}}}}}}}},
        {"a": [[[[[[[[[[1]]]]]]]]]]},
    ],
)
def test_what_no_twin_may_hold_is_refused(properties: JsonObject) -> None:
    with pytest.raises(HubError) as refused:
        twin_rules.check(properties, "properties.desired")
    assert (refused.value.status, refused.value.name) == (400, "ArgumentInvalid")


def test_the_limits_themselves_may_be_held() -> None:
    twin_rules.check(
        {
            "x" * 1024: "y" * 4096,
            "é": None,
            "n": [2**52 - 1, -(2**52), 1.5, True],
            "a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {"j": 1}}}}}}}}},
        },
        "tags",
    )


def test_sizes_count_names_and_values() -> None:
    value: JsonObject = {"é": "ab", "n": 1, "b": True, "z": None, "l": [1, "x"]}
    assert twin_rules.size(value) == (2 + 2) + (1 + 8) + (1 + 4) + (1 + 1) + (1 + 8 + 1)
    with pytest.raises(HubError) as refused:
        twin_rules.check_size(value, "tags", 20)
    assert refused.value.status == 413


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=5))
def test_bags_are_read_as_they_were_written(entries: dict[str, str]) -> None:
    text = bags.encode(entries)
    assert "/" not in text
    assert bags.decode(text) == entries
    assert bags.decode(f"{text}/") == entries  # as Node ends it


@given(st.text(max_size=60))
def test_any_bag_can_be_read(text: str) -> None:
    bags.split(bags.decode(text))


def test_a_plus_is_a_plus() -> None:
    assert bags.decode("a+b=1+2&c") == {"a+b": "1+2", "c": ""}
