"""Server-side apply and managed fields; the expected answers were read off a real API server."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.jsontypes import as_list, as_object
from windtunnel_emulators.kubernetes.objects import fieldsets
from windtunnel_emulators.kubernetes.objects.apply import LAST_APPLIED, ApplyConflict, apply, track
from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo
from windtunnel_emulators.kubernetes.objects.causes import BadObject
from windtunnel_emulators.kubernetes.objects.decode import decode
from windtunnel_emulators.kubernetes.objects.defaults import apply_defaults

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_T1, _T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def _info(group: str, version: str, plural: str) -> KindInfo:
    found = Catalogue().find(group, version, plural)
    assert found is not None
    return found


_MAPS, _DEPLOYMENTS = _info("", "v1", "configmaps"), _info("apps", "v1", "deployments")


def _applied(
    info: KindInfo, live: JsonObject | None, body: JsonObject, manager: str, *, force: bool = False, time: str = _T1
) -> JsonObject:
    whole: JsonObject = {"apiVersion": info.kind.api_version, "kind": info.kind.name, **body}
    read = decode(info, json.dumps(whole).encode(), "application/apply-patch+yaml", "Strict", bare=True)
    return apply_defaults(info, apply(info, live, read.object, manager, force, time=time))


def _managers(whole: JsonObject) -> dict[str, Json]:
    entries = as_list(as_object(whole["metadata"]).get("managedFields"))
    return {
        f"{as_object(entry)['manager']} {as_object(entry)['operation']}": as_object(entry)["fieldsV1"]
        for entry in entries
    }


def _data(data: dict[str, str]) -> JsonObject:
    return {"metadata": {"name": "a"}, "data": {**data}}


def _map(labels: JsonObject | None = None, **data: str) -> JsonObject:
    metadata: JsonObject = {"name": "a", **({"labels": labels} if labels else {})}
    return {"metadata": metadata, "data": {**data}}


def test_the_first_apply_owns_what_it_says() -> None:
    found = _applied(_MAPS, None, _map({"l": "1"}, a="1", b="1"), "m1")
    assert as_object(found["metadata"])["managedFields"] == [
        {
            "manager": "m1",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": _T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:a": {}, "f:b": {}}, "f:metadata": {"f:labels": {"f:l": {}}}},
        }
    ]


def test_another_manager_that_would_change_a_field_is_refused() -> None:
    live = _applied(_MAPS, None, _map(a="1", b="1"), "m1")
    with pytest.raises(ApplyConflict) as one:
        _applied(_MAPS, live, _map(a="2"), "m2")
    assert one.value.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    with pytest.raises(ApplyConflict) as two:
        _applied(_MAPS, live, _map(a="2", b="2"), "m2")
    assert two.value.message == 'Apply failed with 2 conflicts: conflicts with "m1":\n- .data.a\n- .data.b'
    assert [cause.json() for cause in two.value.causes] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"},
        {"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.b"},
    ]


def test_the_same_value_is_shared_and_force_takes_fields_over() -> None:
    live = _applied(_MAPS, None, _map(a="1", b="1"), "m1")
    shared = _applied(_MAPS, live, _map(a="1"), "m2")
    assert set(_managers(shared)) == {"m1 Apply", "m2 Apply"}
    joined = [as_object(entry) for entry in as_list(as_object(shared["metadata"])["managedFields"])]
    assert [entry.get("time") for entry in joined if entry["manager"] == "m2"] == [None]
    taken = _applied(_MAPS, live, _map(a="2"), "m2", force=True)
    assert taken["data"] == {"a": "2", "b": "1"}
    assert _managers(taken) == {"m1 Apply": {"f:data": {"f:b": {}}}, "m2 Apply": {"f:data": {"f:a": {}}}}


def test_fields_that_are_given_up_go_unless_another_has_them() -> None:
    live = _applied(_MAPS, None, _map(a="1", b="1", c="1"), "m1")
    live = _applied(_MAPS, live, _map(b="1"), "m2")
    found = _applied(_MAPS, live, _map(c="1"), "m1")
    assert found["data"] == {"b": "1", "c": "1"}


def test_an_apply_that_changes_nothing_leaves_all_as_it_is() -> None:
    live = _applied(_MAPS, None, _map(a="1"), "m1")
    assert apply(_MAPS, live, {"kind": "ConfigMap", "apiVersion": "v1", **_map(a="1")}, "m1", time=_T2) is live


def test_updates_take_what_they_change() -> None:
    live = _applied(_MAPS, None, _map({"l": "1"}, a="1", b="1"), "m1")
    new: JsonObject = {**live, "data": {"a": "3", "b": "1", "c": "1"}}
    found = track(_MAPS, live, new, "u1", time=_T2)
    assert _managers(found) == {
        "m1 Apply": {"f:data": {"f:b": {}}, "f:metadata": {"f:labels": {"f:l": {}}}},
        "u1 Update": {"f:data": {"f:a": {}, "f:c": {}}},
    }
    with pytest.raises(ApplyConflict) as refused:
        _applied(_MAPS, found, _map(a="2", b="2"), "m2")
    assert refused.value.message == (
        'Apply failed with 2 conflicts: conflicts with "m1":\n- .data.b\nconflicts with "u1" using v1:\n- .data.a'
    )


_DEPLOYMENT: JsonObject = {
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {
                "containers": [
                    {
                        "name": "x",
                        "image": "y",
                        "ports": [{"containerPort": 80}],
                        "env": [{"name": "A", "value": "1"}],
                        "resources": {},
                    }
                ]
            },
        },
    },
}


def test_items_are_owned_by_their_keys_with_defaults() -> None:
    found = _managers(_applied(_DEPLOYMENTS, None, _DEPLOYMENT, "m1"))
    containers: JsonObject = {
        'k:{"name":"x"}': {
            ".": {},
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:image": {},
            "f:name": {},
            "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}},
            "f:resources": {},
        }
    }
    template: JsonObject = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:containers": containers}}
    assert found == {"m1 Apply": {"f:spec": {"f:selector": {}, "f:template": template}}}


def test_conflicts_inside_lists_are_named_by_key() -> None:
    live = _applied(_DEPLOYMENTS, None, _DEPLOYMENT, "m1")
    body = copy.deepcopy(_DEPLOYMENT)
    spec = as_object(body["spec"])
    spec["selector"] = {"matchLabels": {"a": "c"}}
    spec["template"] = {"spec": {"containers": [{"name": "x", "image": "z"}]}}
    with pytest.raises(ApplyConflict) as refused:
        _applied(_DEPLOYMENTS, live, body, "m2")
    assert [cause.field for cause in refused.value.causes] == [
        ".spec.selector",
        '.spec.template.spec.containers[name="x"].image',
    ]


def test_a_created_object_is_its_creators() -> None:
    read = decode(_DEPLOYMENTS, json.dumps(_DEPLOYMENT).encode()).object
    found = _managers(track(_DEPLOYMENTS, None, apply_defaults(_DEPLOYMENTS, read), "cr", time=_T1))
    spec = as_object(as_object(found["cr Update"])["f:spec"])
    assert spec["f:selector"] == {}
    assert spec["f:strategy"] == {"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}}
    pod = as_object(as_object(spec["f:template"])["f:spec"])
    assert as_object(pod["f:containers"]).keys() == {'k:{"name":"x"}'}
    container = as_object(as_object(pod["f:containers"])['k:{"name":"x"}'])
    assert container["f:env"] == {".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}}


def test_the_status_is_managed_by_its_own_subresource() -> None:
    read = decode(_DEPLOYMENTS, json.dumps(_DEPLOYMENT).encode()).object
    old = track(_DEPLOYMENTS, None, apply_defaults(_DEPLOYMENTS, read), "cr", time=_T1)
    new: JsonObject = {**old, "status": {"replicas": 3}, "spec": {**as_object(old["spec"]), "replicas": 5}}
    found = track(_DEPLOYMENTS, old, new, "st", "Update", "status", _T2)
    (entry,) = (
        as_object(entry)
        for entry in as_list(as_object(found["metadata"])["managedFields"])
        if as_object(entry)["manager"] == "st"
    )
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:replicas": {}}}


def test_what_was_there_before_the_first_apply_is_kept() -> None:
    live: JsonObject = {"kind": "ConfigMap", "apiVersion": "v1", **_map(a="1", b="1")}
    with pytest.raises(ApplyConflict, match="before-first-apply"):
        _applied(_MAPS, live, _map(a="2"), "m1")
    found = _applied(_MAPS, live, _map(a="1"), "m1")
    assert _managers(found) == {
        "before-first-apply Update": {"f:data": {".": {}, "f:a": {}, "f:b": {}}},
        "m1 Apply": {"f:data": {"f:a": {}}},
    } or _managers(found) == {
        "before-first-apply Update": {"f:data": {"f:a": {}, "f:b": {}}},
        "m1 Apply": {"f:data": {"f:a": {}}},
    }


def test_kubectl_takes_over_what_it_applied_from_the_client() -> None:
    last = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **_map(a="1")})
    whole: JsonObject = {"kind": "ConfigMap", "apiVersion": "v1", **_map(a="1")}
    whole["metadata"] = {"name": "a", "annotations": {LAST_APPLIED: last}}
    live = track(_MAPS, None, whole, "kubectl-client-side-apply", time=_T1)
    found = _applied(_MAPS, live, _map(a="2"), "kubectl")
    assert found["data"] == {"a": "2"}
    with pytest.raises(ApplyConflict):
        _applied(_MAPS, live, _map(a="2"), "other")


def test_tracking_is_reset_and_begins_again_with_an_apply() -> None:
    live = _applied(_MAPS, None, _map(a="1"), "m1")
    reset: JsonObject = {**live, "metadata": {"name": "a", "managedFields": [{}]}}
    cleared = track(_MAPS, live, reset, "u", time=_T2)
    assert "managedFields" not in as_object(cleared["metadata"])
    again: JsonObject = {**cleared, "data": {"a": "9"}}
    assert "managedFields" not in as_object(track(_MAPS, cleared, again, "u", time=_T2)["metadata"])


def test_an_apply_says_nothing_of_managed_fields_itself() -> None:
    with pytest.raises(BadObject, match=r"metadata\.managedFields must be nil"):
        _applied(_MAPS, None, {"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}, "m1")


def test_fields_that_there_are_not_are_refused_in_the_servers_words() -> None:
    with pytest.raises(BadObject) as refused:
        _applied(_MAPS, None, {"metadata": {"name": "a"}, "foo": 1}, "m1")
    assert refused.value.message == (
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema"
    )


def test_items_that_are_there_twice_are_refused() -> None:
    body = copy.deepcopy(_DEPLOYMENT)
    pod = as_object(as_object(as_object(body["spec"])["template"])["spec"])
    pod["containers"] = [{"name": "a", "image": "z"}, {"name": "a", "image": "z"}]
    with pytest.raises(BadObject, match=r'spec\.containers: duplicate entries for key \[name="a"\]'):
        _applied(_DEPLOYMENTS, None, body, "m1")


def test_updaters_are_at_most_ten() -> None:
    whole: JsonObject = {"kind": "ConfigMap", "apiVersion": "v1", **_map()}
    whole = track(_MAPS, None, whole, "m0", time=_T1)
    for number in range(15):
        data: JsonObject = {**as_object(whole.get("data")), f"k{number}": "1"}
        whole = track(_MAPS, whole, {**whole, "data": data}, f"m{number}", time=f"2026-01-01T00:00:{number:02}Z")
    names = [name.partition(" ")[0] for name in _managers(whole)]
    assert len(names) <= 11
    assert "ancient-changes" in names


_DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["m1", "m2"]), _DATA), min_size=1, max_size=5))
def test_a_forced_apply_always_sets_what_it_says_and_owns_it(steps: list[tuple[str, dict[str, str]]]) -> None:
    live: JsonObject | None = None
    last: dict[str, dict[str, str]] = {}
    for manager, data in steps:
        live = _applied(_MAPS, live, _data(data), manager, force=True)
        found = as_object(live.get("data"))
        assert {name: found.get(name) for name in data} == data
        last[manager] = data
        others = {name for other, theirs in last.items() if other != manager for name in theirs}
        assert set(found) <= set(data) | others
        # Once more changes nothing.
        again = _applied(_MAPS, live, _data(data), manager, force=True)
        assert again.get("data", {}) == live.get("data", {})
        assert _managers(again) == _managers(live)


_PATHS = st.frozensets(
    st.lists(st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"', "i:0"]), min_size=1, max_size=3).map(tuple),
    max_size=6,
)


@given(_PATHS)
def test_sets_of_fields_are_read_as_they_are_written(paths: frozenset[tuple[str, ...]]) -> None:
    assert fieldsets.decode(fieldsets.encode(paths)) == paths
