"""``/swagger.json``: versions, prefix, and a user's own documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from windtunnel_scoring import swagger
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.swagger import Description

if TYPE_CHECKING:
    from tests.scoring.conftest import Apps
    from windtunnel_scoring.jsontypes import JsonObject

SCRIPT = "def init(): pass\ndef run(data): return data\n"
NOWHERE = Path("/no/such/folder")


def build(description: Description | None = None, **changes: object) -> swagger.Swagger:
    values = {"name": "svc", "version": "1.0", "prefix": "", "app_root": NOWHERE, **changes}
    return swagger.build(description or Description(), **values)  # type: ignore[arg-type]  # a test's


def document(made: swagger.Swagger, version: str | None = None) -> JsonObject:
    return cast("JsonObject", json.loads(made.body(version)))


@pytest.mark.parametrize(
    ("query", "key", "version"),
    [
        ("", "swagger", "2.0"),
        ("?version=2", "swagger", "2.0"),
        ("?version=2.0", "swagger", "2.0"),
        ("?version=3", "openapi", "3.0.3"),
        ("?version=3.0", "openapi", "3.0.3"),
        ("?version=3.1", "openapi", "3.1.0"),
    ],
)
async def test_versions(apps: Apps, query: str, key: str, version: str) -> None:
    reply = await apps.of_script(SCRIPT).request("GET", f"/swagger.json{query}")
    value = cast("JsonObject", reply.json())
    assert (reply.status, reply.headers["content-type"], value[key]) == (200, "application/json", version)
    assert reply.headers["x-ms-run-function-failed"] == "False"
    paths = cast("dict[str, dict[str, JsonObject]]", value["paths"])
    assert {path: verb["operationId"] for path, verbs in paths.items() for verb in verbs.values()} == {
        "/": "ServiceHealthCheck",
        "/score": "RunMLService",
        "/swagger.json": "GetSwaggerSpec",
    }


@pytest.mark.parametrize("version", ["9", "", "2.1", "a b"])
async def test_other_versions(apps: Apps, version: str) -> None:
    client = apps.of_script(SCRIPT)
    reply = await client.request("GET", f"/swagger.json?version={version.replace(' ', '+')}")
    assert reply.status == 404
    assert reply.message == f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1]."


def test_a_version_that_a_script_cannot_be_described_in() -> None:
    made = build(Description(versions=("3", "3.1")))
    with pytest.raises(swagger.UnknownVersion) as caught:
        made.body(None)
    assert str(caught.value) == (
        "Swagger version [None] is not supported for the scoring script. Supported swagger versions: [3, 3.1]."
    )


def test_the_parts_that_the_documentation_names() -> None:
    made = build(name='my "service"', version="7", prefix="/pre/fix/")
    value = document(made)
    assert value["info"] == {
        "title": 'my "service"',
        "description": 'API specification for the Azure Machine Learning service my "service"',
        "version": "7",
    }
    assert value["schemes"] == ["https"]
    bearer = cast("dict[str, JsonObject]", value["securityDefinitions"])["Bearer"]
    assert (bearer["type"], bearer["name"], bearer["in"]) == ("apiKey", "Authorization", "header")
    assert list(cast("JsonObject", value["paths"])) == ["/pre/fix/", "/pre/fix/score", "/pre/fix/swagger.json"]
    (parameter,) = cast("dict[str, dict[str, dict[str, list[JsonObject]]]]", value["paths"])["/pre/fix/score"]["post"][
        "parameters"
    ]
    assert (parameter["name"], parameter["in"]) == ("serviceInputPayload", "body")
    assert parameter["schema"] == {"$ref": "#/definitions/ServiceInput"}
    definitions = cast("dict[str, JsonObject]", value["definitions"])
    assert definitions["ServiceInput"] == {"type": "object", "example": {}}
    assert definitions["ErrorResponse"] == {"type": "object", "properties": {"message": {"type": "string"}}}


@pytest.mark.parametrize("version", ["2", "3", "3.1"])
def test_every_reference_leads_somewhere(version: str) -> None:
    value = document(build(), version)

    def check(part: object) -> int:
        if isinstance(part, dict):
            fields = cast("dict[str, object]", part)
            found = 0
            if "$ref" in fields:
                target: object = value
                for step in str(fields["$ref"]).removeprefix("#/").split("/"):
                    target = cast("dict[str, object]", target)[step]
                found = 1
            return found + sum(map(check, fields.values()))
        return sum(map(check, cast("list[object]", part))) if isinstance(part, list) else 0

    assert check(value) == 5


def test_documents_of_the_user_win(tmp_path: Path) -> None:
    (tmp_path / "swagger2.json").write_text('{"mine": 2}')
    (tmp_path / "swagger3.json").write_text('{"mine": 3}')
    made = build(app_root=tmp_path)
    assert document(made) == {"mine": 2}
    assert document(made, "3.0") == {"mine": 3}
    assert document(made, "3.1")["openapi"] == "3.1.0"
    (tmp_path / "swagger.json").write_text('{"mine": "first"}')
    assert document(build(app_root=tmp_path)) == {"mine": "first"}


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "is not JSON"), (b"[]", "is not a JSON object"), (b"\xff", "cannot be read")]
)
def test_a_document_of_the_user_that_cannot_be_used(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "swagger.json").write_bytes(content)
    with pytest.raises(StartError, match=said):
        build(app_root=tmp_path)
