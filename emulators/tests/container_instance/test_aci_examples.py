"""Microsoft's own examples of Microsoft.ContainerInstance, sent as they are and checked against their schemas.

``WINDTUNNEL_SPECS`` is the folder of a copy of Azure/azure-rest-api-specs (the folder that has ``specification``).
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.container_instance.conftest import Emulators
    from windtunnel_emulators.jsontypes import Json

    Make = Callable[..., dict[str, Any]]

SPECIFICATION = Path(
    "specification/containerinstance/resource-manager/Microsoft.ContainerInstance/stable/2023-05-01/containerInstance.json"
)
EXCEPTIONS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("aci_examples.toml").read_text("utf-8"))
EXAMPLES: int = EXCEPTIONS.pop("examples")
JSONSCHEMA: Any = import_module("jsonschema")  # it has no types
_DRAFT = "http://json-schema.org/draft-07/schema#"
SKIPPED = "WINDTUNNEL_SPECS names no copy of Azure/azure-rest-api-specs"


@dataclass(frozen=True, kw_only=True)
class Example:
    name: str
    method: str
    path: str
    operation: dict[str, Any]
    parameters: dict[str, Any]
    specification: dict[str, Any]


def examples() -> Iterator[Any]:
    folder = os.environ.get("WINDTUNNEL_SPECS")
    file = Path(folder or "") / SPECIFICATION
    if not folder or not file.is_file():
        yield pytest.param(None, marks=pytest.mark.skip(reason=SKIPPED), id="none")
        return
    specification = json.loads(file.read_text("utf-8"))
    for path, operations in specification["paths"].items():
        for method, operation in operations.items():
            for reference in operation.get("x-ms-examples", {}).values():
                example_file = file.parent / reference["$ref"]
                yield pytest.param(
                    Example(
                        name=example_file.stem,
                        method=method.upper(),
                        path=path,
                        operation=operation,
                        parameters=json.loads(example_file.read_text("utf-8"))["parameters"],
                        specification=specification,
                    ),
                    id=example_file.stem,
                )


@pytest.mark.parametrize("example", list(examples()))
async def test_an_example_is_answered_as_specified(emulators: Emulators, body: Make, example: Example) -> None:
    await _prepare(emulators, body, example)
    query = f"?api-version={example.parameters['api-version']}"
    if "tail" in example.parameters:
        query += f"&tail={example.parameters['tail']}"
    reply = await emulators.request(example.method, _filled(example) + query, _sent(example))
    exception = EXCEPTIONS.get(example.name)
    if exception is not None:
        assert (reply.status, reply.code) == (exception["status"], exception["code"])
        return
    specified = example.operation["responses"].get(str(reply.status))
    assert specified is not None, reply.body
    if "schema" in specified:
        JSONSCHEMA.validate(reply.body, _schema(specified["schema"], example.specification))
    else:
        assert reply.body is None


def test_each_exception_is_an_example_with_a_reason() -> None:
    known = [param.values[0] for param in examples()]
    if known == [None]:
        pytest.skip(SKIPPED)
    assert len(known) == EXAMPLES
    assert set(EXCEPTIONS) <= {example.name for example in known}
    assert all(exception["reason"] for exception in EXCEPTIONS.values())


def _filled(example: Example) -> str:
    values = {**example.parameters, "subscriptionId": "22222222-2222-2222-2222-222222222222"}
    return example.path.format(**values)


def _sent(example: Example) -> Any:
    """The parameter that is the body."""
    for parameter in example.operation.get("parameters", ()):
        if parameter.get("in") == "body":
            return example.parameters[parameter["name"]]
    return None


async def _prepare(emulators: Emulators, body: Make, example: Example) -> None:
    """What the example takes to be there: its resource group, and the container group that it is about."""
    group = example.parameters.get("resourceGroupName")
    if group is None:
        return
    address = f"/subscriptions/22222222-2222-2222-2222-222222222222/resourcegroups/{group}?api-version=2022-09-01"
    assert (await emulators.request("PUT", address, {"location": "westus"})).status == 201
    name = example.parameters.get("containerGroupName")
    if name is None or example.method == "PUT":
        return
    made = body(ipAddress={"type": "Public", "ports": [{"port": 80}]})
    made["properties"]["containers"][0]["name"] = example.parameters.get("containerName", "main")
    assert (await emulators.put(name, made, group=group)).status == 201
    await emulators.settled()


def _schema(schema: dict[str, Any], specification: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of an OpenAPI 2 schema: what is secret is required of nobody, as it is never answered."""
    secret = {
        name
        for definition in specification["definitions"].values()
        for name, field in definition.get("properties", {}).items()
        if field.get("x-ms-secret") and name != "password"
    }

    def plain(value: Json) -> Json:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {name: plain(item) for name, item in value.items()}
        required = made.get("required")
        if isinstance(required, list):
            made["required"] = [name for name in required if name not in secret]
        return made

    return cast("dict[str, Any]", plain({**schema, "definitions": specification["definitions"], "$schema": _DRAFT}))
