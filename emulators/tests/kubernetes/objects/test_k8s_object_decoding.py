"""Bodies of writes: what is read, what is noted, and what is refused in which words (taken from a real API server)."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo
from windtunnel_emulators.kubernetes.objects.causes import BadObject
from windtunnel_emulators.kubernetes.objects.decode import decode


def _info(group: str, version: str, plural: str) -> KindInfo:
    found = Catalogue().find(group, version, plural)
    assert found is not None
    return found


_DEPLOYMENT = _info("apps", "v1", "deployments")
_PREFIX = 'Deployment in version "v1" cannot be handled as a Deployment: '
_UNREAD = (
    "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: "
)
_QUANTITY = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def _struct(word: str, where: str, go: str) -> str:
    return f"{_PREFIX}json: cannot unmarshal {word} into Go struct field {where} of type {go}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"spec":{"replicas":"x"}}', _struct("string", "DeploymentSpec.spec.replicas", "int32")),
        ('{"spec":{"replicas":1.5}}', _struct("number 1.5", "DeploymentSpec.spec.replicas", "int32")),
        ('{"spec":{"replicas":99999999999}}', _struct("number 99999999999", "DeploymentSpec.spec.replicas", "int32")),
        ('{"spec":[]}', _struct("array", "Deployment.spec", "v1.DeploymentSpec")),
        ('{"metadata":"x"}', _struct("string", "Deployment.metadata", "v1.ObjectMeta")),
        ('{"metadata":{"labels":{"a":1}}}', _struct("number", "ObjectMeta.metadata.labels", "string")),
        ('{"spec":{"paused":"true"}}', _struct("string", "DeploymentSpec.spec.paused", "bool")),
        (
            '{"spec":{"template":{"spec":{"containers":{}}}}}',
            _struct("object", "PodSpec.spec.template.spec.containers", "[]v1.Container"),
        ),
        (
            '{"spec":{"template":{"spec":{"tolerations":[{"operator":1}]}}}}',
            _struct("number", "Toleration.spec.template.spec.tolerations.operator", "v1.TolerationOperator"),
        ),
        (
            '{"spec":{"template":{"spec":{"nodeSelector":[]}}}}',
            _struct("array", "PodSpec.spec.template.spec.nodeSelector", "map[string]string"),
        ),
        (
            '{"spec":{"strategy":{"rollingUpdate":{"maxSurge":true}}}}',
            _struct("bool", "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge", "int32"),
        ),
        ('{"spec":{"template":{"spec":{"containers":[{"resources":{"limits":{"cpu":"x1"}}}]}}}}', _PREFIX + _QUANTITY),
        (
            '{"metadata":{"creationTimestamp":"zz"}}',
            _PREFIX + 'parsing time "zz" as "2006-01-02T15:04:05Z07:00": cannot parse "zz" as "2006"',
        ),
        ("zz", _UNREAD + "invalid character 'z' looking for beginning of value (7a7a)"),
        ("", _UNREAD + "unexpected end of JSON input (<empty>)"),
        (
            '{"kind":3}',
            _UNREAD + 'json: cannot unmarshal number into Go struct field .kind of type string ({"kind":3})',
        ),
        (
            '{"kind":"Foo"}',
            'Foo in version "v1" cannot be handled as a Deployment: no kind "Foo" is registered for version "apps/v1"'
            ' in scheme "pkg/runtime/scheme.go:110"',
        ),
        (
            '{"apiVersion":"apps/v1","kind":"ReplicaSet"}',
            'ReplicaSet in version "v1" cannot be handled as a Deployment: '
            "converting (v1.ReplicaSet) to (apps.Deployment): unknown conversion",
        ),
    ],
)
def test_bodies_of_other_types_are_refused_in_the_servers_words(body: str, message: str) -> None:
    with pytest.raises(BadObject) as refused:
        decode(_DEPLOYMENT, body.encode())
    assert refused.value.message == message
    assert refused.value.code == 400


_ODD = '{"spec":{"foo":1,"replicas":1,"replicas":2,"template":{"spec":{"containers":[{"a":1,"c":{}}]}}},"sp":1}'
_NOTES = (
    'unknown field "spec.foo"',
    'duplicate field "spec.replicas"',
    'unknown field "spec.template.spec.containers[0].a"',
    'unknown field "spec.template.spec.containers[0].c"',
    'unknown field "sp"',
)


def test_unknown_and_repeated_fields_are_warned_of() -> None:
    found = decode(_DEPLOYMENT, _ODD.encode(), field_validation="Warn")
    assert found.warnings == _NOTES
    assert "sp" not in found.object


def test_unknown_and_repeated_fields_are_refused_when_asked_to_be_strict() -> None:
    with pytest.raises(BadObject) as refused:
        decode(_DEPLOYMENT, _ODD.encode(), field_validation="Strict")
    assert refused.value.message == f"{_PREFIX}strict decoding error: {', '.join(_NOTES)}"


def test_nothing_is_said_of_unknown_fields_when_they_are_to_be_ignored() -> None:
    assert decode(_DEPLOYMENT, _ODD.encode(), field_validation="Ignore").warnings == ()


def test_yaml_is_read_and_its_repeated_keys_are_noticed_by_line() -> None:
    body = b"metadata: {name: a, name: b}\nspec:\n  replicas: 1\n  replicas: 2\n  foo: 1\n"
    with pytest.raises(BadObject) as refused:
        decode(_DEPLOYMENT, body, "application/yaml", "Strict")
    assert refused.value.message == (
        f"{_PREFIX}strict decoding error: yaml: unmarshal errors:\n"
        '  line 1: key "name" already set in map\n  line 4: key "replicas" already set in map, unknown field "spec.foo"'
    )


def test_dates_in_yaml_are_texts() -> None:
    info = _info("", "v1", "configmaps")
    found = decode(info, b"metadata: {name: a}\ndata: {a: 2024-01-01}\n", "application/yaml")
    assert found.object["data"] == {"a": "2024-01-01"}


def test_another_type_of_content_is_unsupported() -> None:
    with pytest.raises(BadObject) as refused:
        decode(_DEPLOYMENT, b"{}", "text/plain")
    assert refused.value.code == 415


def test_base64_is_checked() -> None:
    with pytest.raises(BadObject, match="illegal base64 data at input byte 0"):
        decode(_info("", "v1", "secrets"), b'{"data":{"a":"%%"}}')


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "metadata", "template", "containers", "name", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        found = decode(_DEPLOYMENT, json.dumps(value).encode())
    except BadObject as refused:
        if refused.code != 400:
            raise
        return
    again = decode(_DEPLOYMENT, json.dumps(found.object).encode(), field_validation="Strict")
    assert again.object == found.object


@given(st.binary(max_size=40), st.sampled_from(["application/json", "application/yaml"]))
def test_any_bytes_are_read_or_refused(raw: bytes, kind: str) -> None:
    with contextlib.suppress(BadObject):
        decode(_DEPLOYMENT, raw, kind)


_BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{after}: &{after} [{','.join(['*' + before] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(("body", "message"), [(_BOMB, "excessive aliasing"), ("data: &a {b: *a}", "recursive node")])
def test_yaml_that_unfolds_without_end_is_refused(body: str, message: str) -> None:
    with pytest.raises(BadObject, match=message):
        decode(_DEPLOYMENT, body.encode(), "application/yaml")


def test_letters_of_yaml_are_truths() -> None:
    with pytest.raises(BadObject, match=r"cannot unmarshal bool into Go struct field ConfigMap\.data of type string"):
        decode(_info("", "v1", "configmaps"), b"data: {a: y}", "application/yaml")


@pytest.mark.parametrize("depth", [900, 100_000])
def test_json_that_is_too_deep_is_refused(depth: int) -> None:
    body = '{"spec":{"template":' + "[" * depth + "]" * depth + "}}"
    with pytest.raises(BadObject):
        decode(_DEPLOYMENT, body.encode())
