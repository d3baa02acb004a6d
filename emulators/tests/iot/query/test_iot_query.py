"""The query language: what is read and refused, and what queries find; against an oracle where one is easy."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.iot.query.errors import QueryError
from windtunnel_emulators.iot.query.parsing import parse, parse_condition
from windtunnel_emulators.iot.query.query import Collection

DOCUMENT: dict[str, Any] = {
    "deviceId": "edge-1",
    "connectionState": "Connected",
    "capabilities": {"iotEdge": True},
    "tags": {"env": "lab", "floor": 3, "odd name": {"x.y": 1}, "none": None, "list": [1, 2], "from": "here"},
    "properties": {
        "desired": {"$version": 4, "limit": 10},
        "reported": {"lastDesiredVersion": 4, "lastDesiredStatus": {"code": 200}, "$version": 9},
    },
    "configurations": {"my-base": {"status": "Applied"}},
}


def holds(condition: str) -> bool:
    return parse_condition(condition, Collection.DEVICES).takes(DOCUMENT)


@pytest.mark.parametrize(
    "condition",
    [
        "deviceId = 'edge-1'",
        'deviceId = "edge-1"',
        "DEVICEID='edge-1' and devices.deviceId = 'edge-1'",
        "capabilities.iotEdge = true",
        "capabilities.iotEdge",
        "tags.env='lab' AND tags.floor >= 3",
        "tags.[[odd name]].[[x.y]] = 1",
        "tags.from = 'here'",
        "configurations.[[my-base]].status = 'Applied'",
        "properties.desired.$version = properties.reported.lastDesiredVersion"
        " and properties.reported.lastDesiredStatus.code = 200",
        "NOT (tags.floor < 3) and tags.floor <> 4 and tags.floor != 4",
        "tags.env IN ['lab', 'prod']",
        "tags.floor IN [1, 3.0]",
        "tags.env NOT IN ['prod']",
        "not tags.env in []",
        "IS_DEFINED(tags.env) and not is_defined(tags.other)",
        "tags.none = null and IS_NULL(tags.none) and not is_null(tags.other)",
        "is_string(tags.env) and is_number(tags.floor) and is_bool(capabilities.iotEdge)",
        "is_array(tags.list) and is_object(tags) and is_primitive(tags.none) and not is_primitive(tags)",
        "STARTSWITH(deviceId, 'edge') and endswith(deviceId, '-1') and contains(deviceId, 'ge-')",
        "tags.floor + 1 * 2 = 5 and (tags.floor + 1) * 2 = 8 and 7 % 4 = 3 and 7 / 2 = 3.5 and -tags.floor = -3",
        "tags.floor - -1 = 4 and 0x10 = 16 and 1e2 = 100 and .5 = 0.5",
        "true or tags.other = 1",
        "not (false and tags.other = 1)",
        "'a' < 'b' and false < true",
        r"'it\'s' = 'it\u0027s'",
        "tags.env != 1",
        "NOT NOT true",
    ],
)
def test_what_is_true(condition: str) -> None:
    assert holds(condition)


@pytest.mark.parametrize(
    "condition",
    [
        "tags.other = 1",
        "tags.other != 1",
        "NOT tags.other = 1",
        "tags.other = undefined",
        "tags.env",
        "tags.floor",
        "tags = tags",
        "tags.list = tags.list",
        "tags.floor < 'a'",
        "tags.floor = '3'",
        "true = 1",
        "1 / 0 = 1 or 1 % 0 = 0",
        "tags.env + 1 = 'lab1'",
        "TAGS.ENV = 'lab'",
        "tags.Env = 'lab'",
        "tags.other in [1]",
        "not tags.other in [1]",
        "tags.env.deeper = 1",
        "startswith(tags.floor, '3')",
        "configurations.[[other]].status = 'Applied'",
    ],
)
def test_what_is_not_true(condition: str) -> None:
    assert not holds(condition)


@pytest.mark.parametrize(
    ("query", "position", "told"),
    [
        ("", 1, "SELECT is expected"),
        ("select", 7, "FROM is missing"),
        ("SELECT * FROM things", 15, "nothing to select from"),
        ("SELECT * FROM devices.things", 15, "devices.modules"),
        ("SELECT * FROM devices WHERE", 28, "A value is expected, not the end of the query"),
        ("SELECT * FROM devices WHERE a =", 32, "A value is expected"),
        ("SELECT * FROM devices WHERE a = 'x", 33, "has no end"),
        ("SELECT * FROM devices WHERE a = 1 1", 35, "The end of the query is expected"),
        ("SELECT * FROM devices WHERE a ? 1", 31, "'?' has no meaning"),
        ("SELECT * FROM devices ORDER BY deviceId", 23, "does not sort"),
        ("SELECT * FROM devices WHERE true ORDER BY deviceId", 34, "does not sort"),
        ("SELECT * FROM devices WHERE a IN (1)", 34, "in [ ]"),
        ("SELECT * FROM devices WHERE STARTS_WITH(a, 'x')", 29, "it is called STARTSWITH here"),
        ("SELECT * FROM devices WHERE ABS(a) = 1", 29, "no function ABS"),
        ("SELECT * FROM devices WHERE IS_DEFINED()", 29, "takes 1 arguments, not 0"),
        ("SELECT * FROM devices WHERE (a = 1", 35, "')' is expected"),
        (r"SELECT * FROM devices WHERE a = '\q'", 33, "escape"),
        ("SELECT TOP x * FROM devices", 12, "TOP needs"),
        ("SELECT TOP 0 * FROM devices", 12, "TOP needs"),
        ("SELECT * FROM devices GROUP BY tags.a", 8, "cannot be selected of groups"),
        ("SELECT deviceId, COUNT() FROM devices", 8, "not in GROUP BY"),
        ("SELECT deviceId FROM devices.jobs", 22, "only *"),
        ("SELECT COUNT() FROM devices.jobs", 21, "only *"),
        ("SELECT a AS FROM devices", 18, "FROM is expected"),
        ("SELECT a AS 1 FROM devices", 13, "AS needs a name"),
        ("SELECT SUM() FROM devices", 12, "A value is expected"),
        ("SELECT * FROM devices WHERE a. = 1", 32, "after '.'"),
        ("SELECT * FROM devices WHERE " + "(" * 500 + "1" + ")" * 500, 79, "nested deeper"),
        ("SELECT * FROM devices WHERE a = " + "9" * 5000, 33, "number has over"),
        ("SELECT * FROM devices WHERE a = 1e999", 33, "too large"),
    ],
)
def test_a_mistake_has_its_place(query: str, position: int, told: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    assert told in str(caught.value)
    assert caught.value.position == position


def test_columns_have_names() -> None:
    query = parse(
        "SELECT deviceId, tags.env AS e, tags.floor + 1, tags.other, [[deviceId]] AS [[an id]] FROM devices d"
    )
    assert query.row(DOCUMENT) == {"deviceId": "edge-1", "e": "lab", "$3": 4, "an id": "edge-1"}
    assert parse("select * from devices").row(DOCUMENT) is DOCUMENT
    assert parse("select d.tags.env from devices as d where d.tags.floor = 3").row(DOCUMENT) == {"env": "lab"}
    assert parse("select tags.from from devices").row(DOCUMENT) == {"from": "here"}
    assert parse("SELECT TOP 5 * FROM devices.modules").top == 5


def test_groups_and_aggregates() -> None:
    documents: list[Any] = [
        {"tags": {"env": "a", "n": 1}},
        {"tags": {"env": "b", "n": 4}},
        {"tags": {"env": "a", "n": 3}},
        {"tags": {"env": None, "n": "text"}},
        {"tags": {}},
    ]
    query = parse(
        "SELECT tags.env AS env, COUNT() AS n, SUM(tags.n) AS s, AVG(tags.n) AS a, MIN(tags.n) AS lo, MAX(tags.n) AS hi"
        " FROM devices GROUP BY tags.env"
    )
    assert list(query.grouped(documents)) == [
        {"env": "a", "n": 2, "s": 4, "a": 2, "lo": 1, "hi": 3},
        {"env": "b", "n": 1, "s": 4, "a": 4, "lo": 4, "hi": 4},
        {"env": None, "n": 1},
        {"n": 1},
    ]
    assert list(parse("select count() from devices").grouped([])) == [{"$1": 0}]
    assert list(parse("select count() as n from devices group by tags.env").grouped([])) == []


_WORDS = """
    SELECT FROM WHERE GROUP BY ORDER AS AND OR NOT IN TOP devices devices.modules devices.jobs COUNT() SUM( * , ( ) [ ]
    ]] [[a]] . = != < >= + - / % 1 2.5 'x' tags.env deviceId IS_DEFINED( true null undefined STARTSWITH( $version '
"""
_words = st.sampled_from(_WORDS.split())
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["env", "a"]), below, max_size=3),
    max_leaves=6,
)


@given(st.lists(_words, max_size=14).map(" ".join) | st.text(max_size=40), st.dictionaries(st.text(max_size=3), _json))
def test_there_is_nothing_but_query_errors(text: str, document: dict[str, Any]) -> None:
    for query in (text, f"SELECT * FROM devices WHERE {text}", f"SELECT {text} FROM devices.modules"):
        with suppress(QueryError):
            found = parse(query)
            taken = [one for one in (DOCUMENT, document) if found.takes(one)]
            rows = list(found.grouped(taken)) if found.is_grouped else [found.row(one) for one in taken]
            assert all(type(one) is dict for one in rows)


_numbers = st.integers(-9, 9)
_expressions = st.recursive(
    st.tuples(_numbers, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), _numbers).map(
        lambda one: (f"{one[0]} {one[1]} {one[2]}", f"{one[0]} {'==' if one[1] == '=' else one[1]} {one[2]}")
    ),
    lambda below: (
        st.tuples(below, st.sampled_from(["and", "or"]), below).map(
            lambda one: (f"{one[0][0]} {one[1].upper()} {one[2][0]}", f"{one[0][1]} {one[1]} {one[2][1]}")
        )
        | below.map(lambda one: (f"NOT ({one[0]})", f"not ({one[1]})"))
        | below.map(lambda one: (f"({one[0]})", f"({one[1]})"))
    ),
    max_leaves=12,
)


def test_a_long_chain_is_no_deep_tree() -> None:
    assert holds(" OR ".join(["deviceId = 'x'"] * 3000) + " OR true")
    assert holds("1" + " + 1" * 5000 + " = 5001")
    assert holds("NOT " * 5000 + "true")


@given(_expressions)
def test_precedence_is_that_of_python(both: tuple[str, str]) -> None:
    condition, python = both
    assert holds(condition) is eval(python)  # made of numbers and signs above


@given(st.lists(st.tuples(st.sampled_from("+-*"), _numbers), min_size=1, max_size=8), _numbers)
def test_arithmetic_is_that_of_python(steps: list[tuple[str, int]], first: int) -> None:
    text = str(first) + "".join(f" {sign} {number}" for sign, number in steps)
    assert holds(f"{text} = {eval(text)}")  # made of numbers and signs above


@given(st.text(alphabet=st.characters(exclude_characters="\\'\x00", codec="utf-8"), max_size=10))
def test_any_text_is_equal_to_itself(text: str) -> None:
    query = parse_condition(f"tags.a = '{text}'", Collection.DEVICES)
    assert query.takes({"tags": {"a": text}})
