"""JSON, merge and strategic merge patches; answers are those of a real API server."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.client.interface import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from windtunnel_emulators.kubernetes.objects import jsonpatch, strategic
from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo
from windtunnel_emulators.kubernetes.objects.causes import BadObject, InvalidObject
from windtunnel_emulators.kubernetes.objects.patch import patch, patched
from windtunnel_emulators.kubernetes.objects.schemas import definition

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject


def _info(group: str, version: str, plural: str) -> KindInfo:
    found = Catalogue().find(group, version, plural)
    assert found is not None
    return found


_MAPS = _info("", "v1", "configmaps")
_MAP: JsonObject = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"name": "p", "labels": {"a": "b"}},
    "data": {"x": "1"},
}
_REJECTED = "the server rejected our request due to an error in our request"


def _data(body: str, kind: str) -> Json:
    return patch(_MAPS, _MAP, body.encode(), kind).get("data")


@pytest.mark.parametrize(
    ("operations", "data"),
    [
        ('[{"op":"add","path":"/data/y","value":"2"}]', {"x": "1", "y": "2"}),
        ('[{"op":"replace","path":"/data/y","value":"2"}]', {"x": "1", "y": "2"}),
        ('[{"op":"remove","path":"/data/x"}]', None),
        ('[{"op":"test","path":"/data/x","value":"1"},{"op":"move","from":"/data/x","path":"/data/z"}]', {"z": "1"}),
        ('[{"op":"copy","from":"/data/nope","path":"/data/n"}]', {"x": "1", "n": ""}),
    ],
)
def test_json_patches(operations: str, data: Json) -> None:
    before = copy.deepcopy(_MAP)
    assert _data(operations, JSON_PATCH) == data
    assert before == _MAP


@pytest.mark.parametrize(
    ("body", "kind", "code", "message"),
    [
        ('[{"op":"test","path":"/data/x","value":"2"}]', JSON_PATCH, 422, _REJECTED),
        ('[{"op":"remove","path":"/data/y"}]', JSON_PATCH, 422, _REJECTED),
        ('[{"op":"x","path":"/data/x"}]', JSON_PATCH, 422, _REJECTED),
        ('[{"op":"add","path":"/data/y/z/a","value":"a"}]', JSON_PATCH, 422, _REJECTED),
        ('[{"op":"add","path":"data","value":"a"}]', JSON_PATCH, 422, _REJECTED),
        (
            '{"op":"add"}',
            JSON_PATCH,
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        ("zz", MERGE_PATCH, 400, "error decoding patch: invalid character 'z' looking for beginning of value"),
        (
            "[]",
            MERGE_PATCH,
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "[]",
            STRATEGIC_MERGE_PATCH,
            400,
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            '{"metadata":{"$patch":"foo"}}',
            STRATEGIC_MERGE_PATCH,
            500,
            "unknown patch type: foo in map: map[$patch:foo]",
        ),
    ],
)
def test_patches_that_cannot_be_applied_are_refused(body: str, kind: str, code: int, message: str) -> None:
    with pytest.raises(BadObject) as refused:
        patch(_MAPS, _MAP, body.encode(), kind)
    assert (refused.value.code, refused.value.message) == (code, message)


def test_what_a_patch_makes_is_decoded_strictly_when_asked() -> None:
    with pytest.raises(InvalidObject) as refused:
        patched(_MAPS, _MAP, b'{"data":{"x":null},"foo":1}', STRATEGIC_MERGE_PATCH, "Strict")
    (cause,) = refused.value.causes
    assert cause.field == "patch"
    assert cause.message == (
        'Invalid value: "map[data:map[x:<nil>] foo:1]": strict decoding error: unknown field "foo"'
    )
    assert refused.value.anonymous
    found = patched(_MAPS, _MAP, b'{"foo":1}', MERGE_PATCH, "Warn")
    assert found.warnings == ('unknown field "foo"',)


def _pod(*containers: JsonObject, **spec: Json) -> JsonObject:
    return {"spec": {"containers": [*containers], **spec}}


_POD = definition("io.k8s.api.core.v1.Pod")


def _merged(original: JsonObject, change: JsonObject) -> Json:
    before = copy.deepcopy((original, change))
    made = strategic.merge(_POD, original, change)
    assert (original, change) == before
    return made["spec"]


def test_lists_are_merged_by_their_keys() -> None:
    original = _pod({"name": "a", "image": "x"}, {"name": "b", "image": "y", "env": [{"name": "q", "value": "1"}]})
    change = _pod({"name": "b", "env": [{"name": "z", "value": "2"}]})
    assert _merged(original, change) == {
        "containers": [
            {"name": "a", "image": "x"},
            {"name": "b", "image": "y", "env": [{"name": "z", "value": "2"}, {"name": "q", "value": "1"}]},
        ]
    }


def test_items_are_deleted_and_ordered_by_directives() -> None:
    original = _pod({"name": "a"}, {"name": "b"}, {"name": "s"})
    change: JsonObject = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}],
            "containers": [{"name": "c", "image": "z"}, {"name": "a", "$patch": "delete"}],
        }
    }
    found = _merged(original, change)
    assert found == {"containers": [{"name": "b"}, {"name": "c", "image": "z"}, {"name": "s"}]} or found == {
        "containers": [{"name": "b"}, {"name": "s"}, {"name": "c", "image": "z"}]
    }


def test_a_list_is_replaced_by_directive() -> None:
    change = _pod({"$patch": "replace"}, {"name": "n"})
    assert _merged(_pod({"name": "a"}), change) == {"containers": [{"name": "n"}]}


def test_a_map_is_replaced_by_directive() -> None:
    change: JsonObject = {"spec": {"nodeSelector": {"$patch": "replace", "c": "d"}}}
    assert _merged(_pod(nodeSelector={"a": "b"}), change) == {"containers": [], "nodeSelector": {"c": "d"}}


def test_keys_that_are_not_retained_go() -> None:
    original = _pod(volumes=[{"name": "v", "emptyDir": {}}])
    change: JsonObject = {
        "spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}
    }
    found = _merged(original, change)
    assert found == {"containers": [], "volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}


def test_items_of_plain_lists_are_deleted_by_directive() -> None:
    metadata = definition("io.k8s.api.core.v1.ConfigMap")
    original: JsonObject = {"metadata": {"finalizers": ["a.b/c", "a.b/d"]}}
    change: JsonObject = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"], "finalizers": ["a.b/e"]}}
    found = strategic.merge(metadata, original, change)
    assert found == {"metadata": {"finalizers": ["a.b/d", "a.b/e"]}} or found == {
        "metadata": {"finalizers": ["a.b/e", "a.b/d"]}
    }


def test_null_removes_and_lists_without_keys_are_replaced() -> None:
    original = _pod({"name": "a", "command": ["x", "y"]}, nodeName="n")
    change: JsonObject = {"spec": {"nodeName": None, "containers": [{"name": "a", "command": ["z"]}]}}
    assert _merged(original, change) == {"containers": [{"name": "a", "command": ["z"]}]}


def test_items_without_their_key_are_refused() -> None:
    with pytest.raises(BadObject, match=r"map: map\[image:b\] does not contain declared merge key: name"):
        strategic.merge(_POD, _pod({"name": "a"}), _pod({"image": "b"}))


_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.text("abc", min_size=1, max_size=2), _VALUES, max_size=4)


def _difference(old: Json, new: Json) -> Json:
    """The merge patch from one value to another."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    made: JsonObject = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            made[name] = value
        elif old[name] != value or type(old[name]) is not type(value):
            made[name] = _difference(old[name], value)
    return made


@given(_OBJECTS, _OBJECTS)
def test_a_merge_patch_of_the_difference_leads_to_the_other(old: JsonObject, new: JsonObject) -> None:
    before = copy.deepcopy(old)
    assert jsonpatch.merge(old, _difference(old, new)) == new
    assert old == before


@given(_OBJECTS, _OBJECTS)
def test_replacing_each_field_leads_to_the_other(old: JsonObject, new: JsonObject) -> None:
    def pointer(name: str) -> str:
        return "/" + name.replace("~", "~0").replace("/", "~1")

    operations: list[JsonObject] = [{"op": "remove", "path": pointer(name)} for name in old]
    operations += [{"op": "add", "path": pointer(name), "value": value} for name, value in new.items()]
    assert jsonpatch.apply(old, operations) == new


_NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


def _containers(names: list[str], image: str) -> list[JsonObject]:
    return [{"name": name, "image": image} for name in names]


@given(_NAMES, _NAMES)
def test_a_list_has_all_items_of_both_and_those_of_the_patch_in_its_order(old: list[str], new: list[str]) -> None:
    original = _pod(*_containers(old, "old"))
    found = strategic.merge(_POD, original, _pod(*_containers(new, "new")))
    items = json.loads(json.dumps(found))["spec"]["containers"]
    names = [item["name"] for item in items]
    assert sorted(names) == sorted({*old, *new})
    assert [name for name in names if name in new] == new
    assert [name for name in names if name not in new] == [name for name in old if name not in new]
    assert all(item["image"] == ("new" if item["name"] in new else "old") for item in items)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"data":{"a":5}}', "cannot convert int64 to string"),
        ('{"data":{"a":true}}', "unrecognized type: string"),
        ('{"data":[]}', "cannot restore map from slice"),
        ('{"data":"x"}', "cannot restore map from string"),
        ('{"metadata":"x"}', "cannot restore struct from: string"),
        ('{"immutable":"x"}', "unrecognized type: bool"),
    ],
)
def test_mistakes_of_types_in_strategic_patches_have_the_converters_words(body: str, message: str) -> None:
    with pytest.raises(InvalidObject) as refused:
        patch(_MAPS, _MAP, body.encode(), STRATEGIC_MERGE_PATCH)
    assert refused.value.causes[0].message.endswith(f": {message}")
