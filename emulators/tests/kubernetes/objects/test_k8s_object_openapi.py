"""OpenAPI documents have the facts that clients look for; and the catalogue is complete and quick to load."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from windtunnel_emulators.kubernetes.objects import descriptions
from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue
from windtunnel_emulators.kubernetes.objects.openapi import document_v2, document_v3
from windtunnel_emulators.kubernetes.objects.schemas import definition, definition_names
from windtunnel_emulators.kubernetes.objects.structural import kind_infos

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json

_SECOND = json.loads(json.dumps(document_v2(Catalogue())))
_APPS = json.loads(json.dumps(document_v3(Catalogue(), "apps", "v1")))


def _references(value: Json) -> set[str]:
    if isinstance(value, dict):
        inner = set[str]().union(*(_references(item) for item in value.values()))
        reference = value.get("$ref")
        return inner | {reference} if isinstance(reference, str) else inner
    if isinstance(value, list):
        return set[str]().union(*(_references(item) for item in value))
    return set()


def test_all_references_of_the_second_form_lead_somewhere() -> None:
    assert {name.removeprefix("#/definitions/") for name in _references(_SECOND)} <= set(_SECOND["definitions"])


@pytest.mark.parametrize(
    ("group", "version"), sorted({(info.kind.group, info.kind.version) for info in Catalogue().kinds()})
)
def test_all_references_of_the_third_form_lead_somewhere(group: str, version: str) -> None:
    document = json.loads(json.dumps(document_v3(Catalogue(), group, version)))
    known = set(document["components"]["schemas"])
    assert {name.removeprefix("#/components/schemas/") for name in _references(document)} <= known


def test_patches_take_field_validation_which_kubectl_looks_for() -> None:
    patch = _APPS["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= {one["name"] for one in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}


def test_merge_keys_and_kinds_are_told() -> None:
    for schemas in (_SECOND["definitions"], _APPS["components"]["schemas"]):
        containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
        assert containers["x-kubernetes-patch-merge-key"] == "name"
        assert containers["x-kubernetes-list-map-keys"] == ["name"]
        deployment = schemas["io.k8s.api.apps.v1.Deployment"]
        assert deployment["x-kubernetes-group-version-kind"] == [
            {"group": "apps", "version": "v1", "kind": "Deployment"}
        ]


@pytest.mark.skipif(importlib.util.find_spec("kubernetes") is None, reason="descriptions come from this client")
def test_fields_are_described_in_the_words_of_the_python_client() -> None:
    spec = _APPS["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]
    assert "pods" in spec["replicas"]["description"]
    assert "noqa" not in spec["replicas"]["description"]


def test_kinds_are_described_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptions, "_models", lambda: None)
    document = json.loads(json.dumps(document_v3(Catalogue(), "batch", "v1")))
    job = document["components"]["schemas"]["io.k8s.api.batch.v1.Job"]
    assert job["description"]
    assert "description" not in job["properties"]["spec"]


def test_custom_kinds_are_in_the_documents() -> None:
    catalogue = Catalogue()
    for info in kind_infos(yaml.safe_load((Path(__file__).parent / "data" / "foos.yaml").read_text())):
        catalogue.add(info)
    third = json.loads(json.dumps(document_v3(catalogue, "example.com", "v1")))
    foo = third["components"]["schemas"]["com.example.v1.Foo"]
    assert foo["properties"]["spec"]["properties"]["rep"]["default"] == 3
    assert foo["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Foo"}]
    second = json.loads(json.dumps(document_v2(catalogue)))
    one = second["definitions"]["com.example.v1.Foo"]["properties"]["spec"]["properties"]["one"]
    assert "oneOf" not in one
    assert "/apis/example.com/v1/namespaces/{namespace}/foos/{name}/scale" in third["paths"]


def test_every_kind_has_its_schema() -> None:
    for info in Catalogue().kinds():
        kind = info.kind
        if info.verbs != ("create",) or kind.name == "Binding":
            assert (kind.group, kind.version, kind.name) in definition(info.schema).kinds


def test_no_definition_carries_prose() -> None:
    for name in definition_names():
        assert "description" not in json.dumps(sorted(vars(type(definition(name)))))
    data = Path(descriptions.__file__).parent / "data"
    for path in data.glob("*.json"):
        assert '"description":' not in path.read_text().replace('"description":{', "")


def test_importing_the_catalogue_imports_nothing_heavy() -> None:
    program = (
        "import sys; from windtunnel_emulators.kubernetes.objects import catalogue, decode, defaults, validate, tables,"
        " apply, patch; catalogue.Catalogue(); "
        "print([name for name in ('yaml', 'kubernetes', 'cel', 'cryptography', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
