"""Microsoft's own examples of Microsoft.ContainerRegistry and Microsoft.Resources, sent as they are.

``WINDTUNNEL_SPECS`` is the folder of a copy of Azure/azure-rest-api-specs (the folder that has ``specification``).
The status must be a specified one and the body must fit its schema, or the example is in ``published_examples.toml``
with the answer that it gets and the reason.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.registry.conftest import Cloud, Oci
    from windtunnel_emulators.jsontypes import Json

SPECIFICATIONS = (
    "containerregistry/resource-manager/Microsoft.ContainerRegistry/stable/2023-07-01/containerregistry.json",
    "containerregistry/resource-manager/Microsoft.ContainerRegistry/preview/2019-06-01-preview/containerregistry_build.json",
    "resources/resource-manager/Microsoft.Resources/stable/2022-12-01/subscriptions.json",
    "resources/resource-manager/Microsoft.Resources/stable/2024-03-01/resources.json",
)
LISTED: dict[str, Any] = tomllib.loads(Path(__file__).with_name("published_examples.toml").read_text("utf-8"))
EXCEPTIONS: dict[str, dict[str, Any]] = {name: entry for entry in LISTED["exception"] for name in entry["examples"]}
JSONSCHEMA: Any = import_module("jsonschema")  # it has no types
SKIPPED = "WINDTUNNEL_SPECS names no copy of Azure/azure-rest-api-specs"
_DRAFT = "http://json-schema.org/draft-07/schema#"
_SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
_GUID = re.compile(r"(subscriptions/)[0-9a-f-]{36}")
_STEP = {"type": "Docker", "contextPath": "c", "dockerFilePath": "Dockerfile", "imageNames": ["i:1"]}
_TASK = {"location": "westus", "properties": {"platform": {"os": "Linux"}, "step": _STEP}}
_RUN = {
    "type": "DockerBuildRequest",
    "platform": {"os": "Linux"},
    "dockerFilePath": "Dockerfile",
    "sourceLocation": "c",
}


@dataclass(frozen=True, kw_only=True)
class Example:
    """One request that Microsoft publishes, and what it says of the answer."""

    name: str
    method: str
    path: str
    operation: dict[str, Any]
    parameters: dict[str, Any]
    specification: Path

    @property
    def title(self) -> str:
        """The specification's name: namespace, api-version, file."""
        *_, namespace, _, version, file = self.specification.parts
        return f"{namespace} {version} {file}"

    def said(self, names: dict[str, str]) -> tuple[str, Any]:
        """The path with its query, and the body, with the names that are other ones here."""
        text = _GUID.sub(rf"\g<1>{_SUBSCRIPTION}", json.dumps(self.parameters))
        for name, ours in names.items():
            text = text.replace(name, ours)
        own: dict[str, Any] = {**json.loads(text), "subscriptionId": _SUBSCRIPTION}
        body, query = None, {"api-version": own["api-version"]}
        for parameter in self.operation.get("parameters", ()):
            if parameter.get("in") == "body":
                body = own.get(parameter["name"])
            elif parameter.get("in") == "query" and parameter["name"] in own:
                query[parameter["name"]] = str(own[parameter["name"]])
        return self.path.format(**own) + "?" + "&".join(f"{name}={value}" for name, value in query.items()), body


def examples() -> Iterator[Example]:
    folder = os.environ.get("WINDTUNNEL_SPECS")
    if folder is None:
        return
    for specification in SPECIFICATIONS:
        file = Path(folder) / "specification" / specification
        for path, operations in json.loads(file.read_text("utf-8"))["paths"].items():
            for method, operation in operations.items():
                for reference in operation.get("x-ms-examples", {}).values():
                    example = file.parent / reference["$ref"]
                    yield Example(
                        name=example.stem,
                        method=method.upper(),
                        path=path,
                        operation=operation,
                        parameters=json.loads(example.read_text("utf-8"))["parameters"],
                        specification=file,
                    )


def parameters() -> list[Any]:
    found = [pytest.param(example, id=example.name) for example in examples()]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=SKIPPED), id="none")]


@pytest.mark.parametrize("example", parameters())
async def test_an_example_is_answered_as_specified(cloud: Cloud, oci: Oci, example: Example) -> None:
    address, body = example.said(await _prepare(cloud, oci, example))
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if content else {}
    answer = await cloud.client.request(example.method, address, content=content, headers=headers)
    await cloud.settled()
    exception = EXCEPTIONS.get(example.name)
    if exception is not None:
        assert (answer.status_code, _code(answer)) == (exception["status"], exception["code"])
        return
    specified = example.operation["responses"].get(str(answer.status_code))
    assert specified is not None, answer.text
    if "schema" in specified:
        JSONSCHEMA.validate(answer.json(), Schemas().whole(specified["schema"], example.specification))
    else:
        assert not answer.content


def test_the_list_of_exceptions_is_about_these_examples() -> None:
    found: dict[str, list[str]] = {}
    for example in examples():
        found.setdefault(example.title, []).append(example.name)
    if not found:
        pytest.skip(SKIPPED)
    assert {title: len(names) for title, names in found.items()} == LISTED["examples"]
    assert len(EXCEPTIONS) == sum(len(entry["examples"]) for entry in LISTED["exception"])
    for entry in LISTED["exception"]:
        assert entry["reason"]
        assert set(entry["examples"]) <= set(found[entry["specification"]])


def _code(answer: httpx.Response) -> str:
    return answer.json()["error"]["code"] if answer.is_error else ""


async def _prepare(cloud: Cloud, oci: Oci, example: Example) -> dict[str, str]:
    """Make what the example takes to be there. Returns the names that it has to use instead of its own."""
    asked, makes = example.parameters, example.method == "PUT"
    if "my-resource-group/providers" in asked.get("scope", ""):
        await _registry(cloud, "my-resource-group", "myRegistry")
        return {"myPRNameSpace/VM/myVm": "Microsoft.ContainerRegistry/registries/myRegistry"}
    if "resourceProviderNamespace" in asked:
        return {asked["resourceProviderNamespace"]: "Microsoft.ContainerRegistry"}
    group, registry = asked.get("resourceGroupName"), asked.get("registryName")
    if group is None or (makes and "providers" not in example.path):
        return {}
    if registry is None or (makes and example.path.endswith("{registryName}")):
        await _group(cloud, group)
        return {}
    own = await _registry(cloud, group, registry)
    if example.path.endswith("/importImage"):
        return await _import_source(cloud, oci)
    if "replicationName" in asked and not makes:
        answer = await cloud.call("PUT", f"{own}/replications/{asked['replicationName']}", {"location": "eastus"})
        assert answer.is_success, answer.text
    task = asked.get("taskName") or asked.get("runRequest", {}).get("taskId")
    if task and not makes:
        answer = await cloud.call("PUT", f"{own}/tasks/{task}", _TASK, version="2019-06-01-preview")
        assert answer.is_success, answer.text
    await cloud.settled()
    if "runId" not in asked:
        return {}
    answer = await cloud.call("POST", f"{own}/scheduleRun", _RUN, version="2019-06-01-preview")
    if not example.path.endswith("/cancel"):
        await cloud.settled()
    return {asked["runId"]: answer.json()["name"]}


async def _group(cloud: Cloud, name: str) -> str:
    own = f"/subscriptions/{_SUBSCRIPTION}/resourceGroups/{name}"
    answer = await cloud.call("PUT", own, {"location": "westus"}, version="2022-09-01")
    assert answer.status_code == 201, answer.text
    return own


async def _registry(cloud: Cloud, group: str, name: str) -> str:
    """The id of a registry that has been made."""
    own = f"{await _group(cloud, group)}/providers/Microsoft.ContainerRegistry/registries/{name}"
    made = {"location": "westus", "sku": {"name": "Premium"}, "properties": {"adminUserEnabled": True}}
    answer = await cloud.call("PUT", own, made)
    assert answer.status_code == 200, answer.text
    await cloud.eventually(lambda: f"registry {own.lower()}" in cloud.listeners.apps)
    return own


async def _import_source(cloud: Cloud, oci: Oci) -> dict[str, str]:
    """The registry that is imported from. The OCI writes names in small letters, and no content has the digest 0."""
    own = await _registry(cloud, "sourceResourceGroup", "sourceRegistry")
    server = (await cloud.call("GET", own)).json()["properties"]["loginServer"]
    admin = (await cloud.call("POST", f"{own}/listCredentials")).json()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cloud.listeners.at(server)),
        base_url=f"https://{server}",
        headers=oci.basic(admin["username"], admin["passwords"][0]["value"]),
    ) as client:
        digest = await oci.push(client, "sourcerepository", "sourceTag", b"layer")
    return {
        "sourceRepository": "sourcerepository",
        "targetRepository": "targetrepository",
        f"sha256:{'0' * 64}": digest,
    }


class Schemas:
    """JSON Schema of OpenAPI 2 schemas over several files."""

    def __init__(self) -> None:
        self._definitions: dict[str, Json] = {}
        self._files: dict[Path, dict[str, Any]] = {}

    def whole(self, schema: dict[str, Any], file: Path) -> dict[str, Any]:
        made = self._plain(schema, file)
        assert isinstance(made, dict)
        return {**made, "definitions": self._definitions, "$schema": _DRAFT}

    def _plain(self, value: Json, file: Path) -> Json:
        if isinstance(value, list):
            return [self._plain(item, file) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            return {"$ref": f"#/definitions/{self._named(reference, file)}"}
        made = {name: self._plain(item, file) for name, item in value.items()}
        if made.get("required") == ["nextLink"]:  # of a list, and the answer is its last page
            del made["required"]
        words = made.pop("enum", None)
        if isinstance(words, list):  # ARM compares them without case
            made["pattern"] = f"^(?i:{'|'.join(re.escape(str(word)) for word in words)})$"
        return made

    def _named(self, reference: str, file: Path) -> str:
        """The name under which a definition, of this file or of another, is kept."""
        where, _, pointer = reference.partition("#/definitions/")
        source = (file.parent / where).resolve() if where else file
        name = f"{source.parent.name}-{source.stem}-{pointer}"
        if name not in self._definitions:
            self._definitions[name] = {}
            if source not in self._files:
                self._files[source] = json.loads(source.read_text("utf-8"))
            self._definitions[name] = self._plain(self._files[source]["definitions"][pointer], source)
        return name
