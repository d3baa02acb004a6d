"""Custom kinds: what a definition makes of its objects; the expected answers were read off a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.objects.apply import apply
from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo
from windtunnel_emulators.kubernetes.objects.causes import BadObject
from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression
from windtunnel_emulators.kubernetes.objects.decode import decode
from windtunnel_emulators.kubernetes.objects.defaults import apply_defaults
from windtunnel_emulators.kubernetes.objects.jsonpath import PathError, find
from windtunnel_emulators.kubernetes.objects.structural import kind_infos, reshaped
from windtunnel_emulators.kubernetes.objects.validate import validate_create, validate_update

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_DEFINITION = yaml.safe_load((Path(__file__).parent / "data" / "foos.yaml").read_text())
_HEAD: JsonObject = {"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "x", "namespace": "default"}}


def _info() -> KindInfo:
    (info,) = kind_infos(_DEFINITION)
    return info


def _read(spec: Json, validation: str = "Warn") -> JsonObject:
    body = json.dumps({**_HEAD, "spec": spec}).encode()
    return apply_defaults(_info(), decode(_info(), body, field_validation=validation).object)


def _causes(spec: Json) -> list[str]:
    return [str(cause) for cause in validate_create(_info(), _read(spec))]


def test_the_definition_says_how_the_kind_is_served() -> None:
    info = _info()
    assert (info.kind.plural, info.list_kind, info.short_names, info.categories) == (
        "foos",
        "FooList",
        ("fo",),
        ("all",),
    )
    assert [sub.name for sub in info.subresources] == ["status", "scale"]
    assert info.scale is not None
    assert info.scale.spec_replicas == ".spec.rep"
    assert info.field_selectors == ("metadata.name", "metadata.namespace", "spec.str")


def test_defaults_are_set_and_nulls_that_may_not_be_are_dropped() -> None:
    assert _read({"str": "abc"})["spec"] == {"str": "abc", "rep": 3, "nuldef": "d", "objdef": {"a": "q"}}
    found = as_object(_read({"str": "abc", "nul": None, "nuldef": None, "obj": {}, "objdef": None})["spec"])
    assert found == {"str": "abc", "nul": None, "nuldef": "d", "obj": {"a": "q"}, "objdef": {"a": "q"}, "rep": 3}


def test_unknown_fields_are_pruned_and_told() -> None:
    spec: JsonObject = {"str": "abc", "unknown": 1, "pres": {"u": 1, "k": {"z": "1", "y": 2}}}
    assert as_object(_read(spec)["spec"])["pres"] == {"u": 1, "k": {"z": "1"}}
    with pytest.raises(BadObject) as refused:
        _read(spec, "Strict")
    assert refused.value.message == (
        'Foo in version "v1" cannot be handled as a Foo: strict decoding error: '
        'unknown field "spec.pres.k.y", unknown field "spec.unknown"'
    )


_SKIPPED = (
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"str": "abc"}, []),
        ({}, ["spec.str: Required value", _SKIPPED]),
        ("x", ['spec: Invalid value: "string": spec in body must be of type object: "string"', _SKIPPED]),
        (
            {"str": "abcdefghijklmn", "rep": 501},
            [
                "spec.str: Too long: may not be more than 10 bytes",
                "spec.rep: Invalid value: 501: spec.rep in body should be less than or equal to 500",
                _SKIPPED,
            ],
        ),
        (
            {"str": "abc", "e": "z", "m": {"a": 1, "b": 2, "c": 3}, "items": []},
            [
                'spec.e: Unsupported value: "z": supported values: "a", "b"',
                "spec.m: Too many: 3: must have at most 2 items",
                "spec.items: Invalid value: 0: spec.items in body should have at least 1 items",
                _SKIPPED,
            ],
        ),
        (
            {"str": "abc", "items": [{"name": "a"}, {"name": "a"}], "set": ["a", "a"]},
            ['spec.items[1]: Duplicate value: {"name":"a"}', 'spec.set[1]: Duplicate value: "a"'],
        ),
        (
            {"str": "bad", "rep": 77},
            [
                "spec: Invalid value: \"object\": failed rule: self.str != 'bad'",
                'spec: Invalid value: "object": bad rep',
            ],
        ),
        ({"str": "ok", "rep": 150}, ['spec: Invalid value: "object": rep too large']),
        (
            {"str": "abc", "one": {"a": "1", "b": "2"}},
            [
                '<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf).'
                " Found 2 valid alternatives",
                _SKIPPED,
            ],
        ),
    ],
)
def test_objects_are_refused_in_the_servers_words(spec: Json, causes: list[str]) -> None:
    assert sorted(_causes(spec)) == sorted(causes)


def test_rules_of_changes_compare_with_the_old_object() -> None:
    old, new = _read({"str": "ok"}), _read({"str": "other"})
    assert [str(cause) for cause in validate_update(_info(), old, new)] == ["spec.str: Forbidden: str is immutable"]
    assert validate_update(_info(), old, _read({"str": "ok", "rep": 5})) == ()


def test_metadata_is_read_as_that_of_any_object() -> None:
    body = json.dumps({**_HEAD, "metadata": {"name": "x", "labels": {"a": 1}}}).encode()
    with pytest.raises(BadObject) as refused:
        decode(_info(), body)
    assert refused.value.message == (
        'Foo in version "v1" cannot be handled as a Foo: '
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


def test_lists_are_applied_by_the_keys_of_the_schema() -> None:
    first: JsonObject = {**_HEAD, "spec": {"str": "ok", "items": [{"name": "a", "v": 1}]}}
    second: JsonObject = {**_HEAD, "spec": {"items": [{"name": "b", "v": 2}], "set": ["z"]}}
    live = apply(_info(), None, first, "m1", time="2026-01-01T00:00:00Z")
    found = apply(_info(), live, second, "m2", time="2026-01-01T00:00:00Z")
    assert as_object(found["spec"])["items"] == [{"name": "a", "v": 1}, {"name": "b", "v": 2}]
    gone = apply(_info(), found, {**_HEAD, "spec": {"str": "ok"}}, "m1", time="2026-01-01T00:00:00Z")
    assert as_object(gone["spec"])["items"] == [{"name": "b", "v": 2}]


def test_stored_objects_are_seen_with_the_schema_of_today() -> None:
    stored: JsonObject = {**_HEAD, "spec": {"str": "ok", "old": 1}}
    assert as_object(reshaped(_info(), stored)["spec"]) == {"str": "ok", "rep": 3, "nuldef": "d", "objdef": {"a": "q"}}


_FIELDS = ("str", "rep", "items", "name", "pres", "k", "z", "u", "obj", "m")
_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 600) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["str", "rep", "items", "name", "pres", "k", "z", "u", "obj", "m"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(_VALUES)
def test_any_value_is_read_checked_and_stable(spec: Json) -> None:
    once = _read(spec)
    validate_create(_info(), once)
    again = apply_defaults(_info(), decode(_info(), json.dumps(once).encode(), field_validation="Strict").object)
    assert again == once


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.rep", [3]),
        (".spec.items[*].name", ["a", "b"]),
        (".spec.items[0].name", ["a"]),
        (".spec.items[-1].name", ["b"]),
        (".spec.items[1:].name", ["b"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".spec.missing", []),
        ("{.spec.rep}", [3]),
        (".metadata.labels['a.b/c']", ["l"]),
        (r".metadata.labels.a\.b/c", ["l"]),
        ("..name", ["a", "b"]),
    ],
)
def test_paths_lead_to_values(path: str, found: list[Json]) -> None:
    whole: JsonObject = {
        "metadata": {"labels": {"a.b/c": "l"}},
        "spec": {"rep": 3, "items": [{"name": "a"}, {"name": "b"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "False"}]},
    }
    assert find(path, whole) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(x)]", ".a[b]"])
def test_other_texts_are_no_paths(path: str) -> None:
    with pytest.raises(PathError):
        find(path, {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("self.a + 1 == 2", True),
        ("has(self.b)", False),
        ("self.l.all(x, x > 0) && self.l.exists(x, x == 2)", True),
        ("self.l.isSorted() && self.l.sum() == 3 && self.l.max() == 2 && self.l.indexOf(2) == 1", True),
        ("quantity('1Gi').isGreaterThan(quantity('1Mi'))", True),
        ("quantity('500m').add(quantity('500m')).compareTo(quantity('1')) == 0", True),
        ("url('https://a.b:80/c').getHostname() == 'a.b'", True),
        ("isURL('nothing')", False),
        ("'a,b'.split(',').join('-') == 'a-b' && 'Ab'.lowerAscii() == 'ab'", True),
        ("'abc'.find('b.') == 'bc' && 'abc'.indexOf('c') == 2", True),
        ("isIP('10.0.0.1') && cidr('10.0.0.0/8').containsIP('10.1.1.1')", True),
        ("'%s-%d'.format(['a', 1]) == 'a-1'", True),
    ],
)
def test_expressions_have_kubernetes_own_functions(expression: str, value: bool) -> None:
    assert compile_expression(expression).evaluate({"self": {"a": 1, "l": [1, 2]}}) is value


@pytest.mark.parametrize("expression", ["self.a +", "", "self.?a"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(CelError, match="compilation failed"):
        compile_expression(expression)


def test_an_expression_that_cannot_be_evaluated_says_why() -> None:
    with pytest.raises(CelError, match="no such key: nope"):
        compile_expression("self.nope == 1").evaluate({"self": {}})


def test_custom_kinds_come_and_go() -> None:
    catalogue, info = Catalogue(), _info()
    assert catalogue.find("example.com", "v1", "foos") is None
    catalogue.add(info)
    assert catalogue.find_kind("example.com", "v1", "Foo") is info
    catalogue.remove(info.kind)
    assert catalogue.find("example.com", "v1", "foos") is None
    assert Catalogue().find("example.com", "v1", "foos") is None
