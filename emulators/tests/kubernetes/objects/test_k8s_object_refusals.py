"""Objects are refused for the reasons of a real API server, at its paths and in its words: recorded refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue
from windtunnel_emulators.kubernetes.objects.decode import decode
from windtunnel_emulators.kubernetes.objects.defaults import apply_defaults
from windtunnel_emulators.kubernetes.objects.prepare import prepare_create
from windtunnel_emulators.kubernetes.objects.validate import validate_create, validate_update

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject

_ENTRIES = json.loads((Path(__file__).parent / "data" / "invalid.json").read_text())
# What differs and why: a part of the message, for which the causes are compared without their values.
_DIFFERENT = {
    "Bad_": "generated names differ",
    '"a b": a lowercase RFC 1123 subdomain': "underscores in search domains have a message of their own there",
    "spec.containers[0].securityContext": "the value is shown as the server's structure, not as JSON",
    "controller-uid": "uids differ",
    "cannot set both resource and service backends": "said by us as well",
    "x-kubernetes-validations[0].rule": "said by us as well",
    "object.foo +": "the parser's message has another form",
}


def _prepared(whole: JsonObject) -> tuple[str, ...]:
    group, _, version = str(whole["apiVersion"]).rpartition("/")
    info = Catalogue().find_kind(group, version, str(whole["kind"]))
    assert info is not None
    made = apply_defaults(info, decode(info, json.dumps(whole).encode()).object)
    metadata: JsonObject = {**as_object(made["metadata"]), "uid": "u"}
    if info.kind.namespaced:
        metadata["namespace"] = "default"
    if metadata.get("generateName"):
        metadata["name"] = f"{metadata['generateName']}xxxxx"
    made = prepare_create(info, {**made, "metadata": metadata})
    return tuple(f"{cause.field}: {cause.message} ({cause.reason})" for cause in validate_create(info, made))


def _known(line: str) -> bool:
    return any(part in line for part in _DIFFERENT)


@pytest.mark.parametrize("entry", _ENTRIES, ids=lambda entry: f"{entry['input']['kind']}-{_ENTRIES.index(entry)}")
def test_refusals_are_those_of_a_real_server(entry: JsonObject) -> None:
    ours = {line for line in _prepared(as_object(entry["input"])) if not _known(line)}
    theirs = entry["causes"]
    assert isinstance(theirs, list)
    assert ours == {str(line) for line in theirs if not _known(str(line))}


def test_what_a_real_server_accepts_is_accepted() -> None:
    pairs = json.loads((Path(__file__).parent / "data" / "defaults.json").read_text())
    for pair in pairs:
        assert _prepared(pair["input"]) == (), pair["input"]


def _updated(kind: tuple[str, str, str], old: JsonObject, new: JsonObject, subresource: str = "") -> list[str]:
    info = Catalogue().find(*kind)
    assert info is not None

    def read(whole: JsonObject) -> JsonObject:
        named: JsonObject = {"metadata": {"name": "a", "namespace": "default", "uid": "u"}, **whole}
        return apply_defaults(info, decode(info, json.dumps(named).encode()).object)

    return [str(cause) for cause in validate_update(info, read(old), read(new), subresource)]


def _pod(**spec: object) -> JsonObject:
    whole = {"spec": {"containers": [{"name": "a", "image": "x"}], **spec}}
    return json.loads(json.dumps(whole))  # type: ignore[no-any-return]


_PODS = ("", "v1", "pods")


def test_the_image_of_a_pod_may_change() -> None:
    assert _updated(_PODS, _pod(), _pod(containers=[{"name": "a", "image": "z"}])) == []


def test_nothing_else_of_a_pod_may_change() -> None:
    found = _updated(_PODS, _pod(), _pod(nodeName="n"))
    assert len(found) == 1
    assert found[0].startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    )


def test_tolerations_may_be_added_to_a_pod_and_not_removed() -> None:
    one: JsonObject = {"key": "a", "operator": "Exists"}
    assert _updated(_PODS, _pod(), _pod(tolerations=[one])) == []
    assert _updated(_PODS, _pod(tolerations=[one]), _pod()) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_containers_are_neither_added_nor_removed() -> None:
    new = _pod(containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}])
    assert _updated(_PODS, _pod(), new) == ["spec.containers: Forbidden: pod updates may not add or remove containers"]


def test_the_status_of_a_pod_is_free() -> None:
    assert _updated(_PODS, _pod(), _pod(nodeName="n"), "status") == []


def test_immutable_configuration_stays() -> None:
    old: JsonObject = {"immutable": True, "data": {"a": "1"}}
    kind = ("", "v1", "configmaps")
    assert _updated(kind, old, {"immutable": True, "data": {"a": "2"}}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert _updated(kind, old, {"data": {"a": "1"}}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    assert _updated(kind, {"data": {"a": "1"}}, {"data": {"a": "2"}}) == []


def test_the_selector_of_a_deployment_stays() -> None:
    def deployment(label: str) -> JsonObject:
        template: JsonObject = {
            "metadata": {"labels": {"a": label}},
            "spec": {"containers": [{"name": "a", "image": "x"}]},
        }
        return {"spec": {"selector": {"matchLabels": {"a": label}}, "template": template}}

    found = _updated(("apps", "v1", "deployments"), deployment("b"), deployment("c"))
    assert found == ['spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable']


def test_the_role_of_a_binding_stays() -> None:
    def binding(name: str) -> JsonObject:
        return {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}}

    found = _updated(("rbac.authorization.k8s.io", "v1", "rolebindings"), binding("a"), binding("b"))
    assert [line.partition(":")[0] for line in found] == ["roleRef"]
    assert found[0].endswith("cannot change roleRef")


def test_objects_that_are_being_deleted_get_no_new_finalizers() -> None:
    info = Catalogue().find("", "v1", "configmaps")
    assert info is not None
    metadata: JsonObject = {
        "name": "a",
        "namespace": "default",
        "uid": "u",
        "deletionTimestamp": "2026-01-01T00:00:00Z",
    }
    old: JsonObject = {"metadata": {**metadata, "finalizers": ["a.b/c"]}}
    new: JsonObject = {"metadata": {**metadata, "finalizers": ["a.b/c", "a.b/d"]}}
    assert [cause.reason for cause in validate_update(info, old, new)] == ["FieldValueForbidden"]
