"""Microsoft's own examples of Microsoft.Devices/IotHubs, sent as they are and checked against their schemas.

``WINDTUNNEL_SPECS`` is the folder of a copy of Azure/azure-rest-api-specs (the folder that has ``specification``).
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.devices.conftest import Emulators
    from windtunnel_emulators.jsontypes import Json

SPECIFICATION = Path("specification/iothub/resource-manager/Microsoft.Devices/stable/2023-06-30/iothub.json")
EXCEPTIONS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("iothub_examples.toml").read_text("utf-8"))
EXAMPLES: int = EXCEPTIONS.pop("examples")
JSONSCHEMA: Any = import_module("jsonschema")  # it has no types
SKIPPED = "WINDTUNNEL_SPECS names no copy of Azure/azure-rest-api-specs"
SUBSCRIPTION = "22222222-2222-2222-2222-222222222222"
_DRAFT = "http://json-schema.org/draft-07/schema#"


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
async def test_an_example_is_answered_as_specified(emulators: Emulators, example: Example) -> None:
    etag = await prepare(emulators, example)
    headers = {"If-Match": etag} if etag is not None and "If-Match" in example.parameters else {}
    target = f"{filled(example)}?api-version={example.parameters['api-version']}"
    reply = await emulators.request(example.method, target, sent(example), **headers)
    exception = EXCEPTIONS.get(example.name)
    if exception is not None:
        assert (reply.status_code, reply.json()["error"]["code"]) == (exception["status"], exception["code"])
        return
    specified = example.operation["responses"].get(str(reply.status_code))
    assert specified is not None, reply.text
    if "schema" in specified and reply.content:
        definitions = opened(example.specification["definitions"])
        JSONSCHEMA.validate(reply.json(), {**specified["schema"], "definitions": definitions, "$schema": _DRAFT})


def test_each_exception_is_an_example_with_a_reason() -> None:
    known = [param.values[0] for param in examples()]
    if known == [None]:
        pytest.skip(SKIPPED)
    assert len(known) == EXAMPLES
    assert set(EXCEPTIONS) <= {example.name for example in known}
    assert all(exception["reason"] for exception in EXCEPTIONS.values())


def filled(example: Example) -> str:
    return example.path.format(**{**example.parameters, "subscriptionId": SUBSCRIPTION})


def sent(example: Example) -> Any:
    """The parameter that is the body."""
    for parameter in example.operation.get("parameters", ()):
        if parameter.get("in") == "body":
            return example.parameters[parameter["name"]]
    return None


def opened(value: Json) -> Json:
    """Without the enumerations that ``modelAsString`` says may get more words: Azure has added some."""
    if isinstance(value, list):
        return [opened(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: opened(one) for name, one in value.items()}
    if as_object(found.get("x-ms-enum")).get("modelAsString"):
        del found["enum"]
    return found


async def prepare(emulators: Emulators, example: Example) -> str | None:
    """What the example takes to be there: its resource group, its hub, what is below it; returns that one's etag."""
    group = example.parameters.get("resourceGroupName")
    if group is None:
        return None
    address = f"/resourcegroups/{group}?api-version=2022-09-01"
    assert (await emulators.request("PUT", address, {"location": "westus"})).status_code == 201
    name = example.parameters.get("resourceName") or example.parameters["iotHubName"]
    whole = example.path.rstrip("/").endswith("/IotHubs/{resourceName}")
    if whole and example.method == "PUT":
        return None
    hub = f"/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{name}"
    body = {"location": "westus", "sku": {"name": "S1", "capacity": 1}}
    assert (await emulators.request("PUT", hub, body)).status_code == 201
    await emulators.settled()
    if "{name}" in example.path and example.method != "PUT":
        below = f"{hub}/eventHubEndpoints/events/ConsumerGroups/{example.parameters['name']}"
        assert (await emulators.request("PUT", below, {"properties": {"name": "x"}})).status_code == 200
    if "{certificateName}" in example.path and example.method != "PUT":
        below = f"{hub}/certificates/{example.parameters['certificateName']}"
        made = await emulators.request(
            "PUT", below, {"properties": {"certificate": emulators.certificate("a lab").text}}
        )
        assert made.status_code == 201
        return str(made.json()["etag"])
    return None
