"""Tasks as ARM resources: stored, merged, shown without their credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.registry.conftest import Cloud, Oci

VERSION = "2025-03-01-preview"
PATH = "registries/registry1/tasks/build"
STEP = {"type": "Docker", "dockerFilePath": "Dockerfile", "contextPath": "x", "imageNames": ["hello:v1"]}


def task(**properties: object) -> dict[str, Any]:
    return {"location": "westus", "properties": {"platform": {"os": "Linux"}, "step": STEP, **properties}}


async def test_a_task_gets_its_defaults(cloud: Cloud) -> None:
    await cloud.create()
    answer = await cloud.call("PUT", PATH, task(), version=VERSION)
    assert answer.status_code == 200
    properties = answer.json()["properties"]
    assert properties["status"] == "Enabled"
    assert properties["agentConfiguration"] == {"cpu": 2}
    assert (properties["timeout"], properties["isSystemTask"]) == (3600, False)
    assert properties["step"] == STEP
    assert "tags" not in answer.json()
    assert (await cloud.call("GET", PATH, version=VERSION)).json() == answer.json()


async def test_a_patch_merges_at_every_depth(cloud: Cloud) -> None:
    await cloud.create()
    await cloud.call("PUT", PATH, task(timeout=600), version=VERSION)
    change = {"properties": {"step": {"target": "final", "type": "Docker"}, "agentConfiguration": {}, "status": None}}
    properties = (await cloud.call("PATCH", PATH, change, version=VERSION)).json()["properties"]
    assert properties["step"] == {**STEP, "target": "final"}
    assert (properties["timeout"], properties["agentConfiguration"]) == (600, {"cpu": 2})


async def test_credentials_are_shown_only_where_azure_shows_them(cloud: Cloud) -> None:
    await cloud.create()
    credentials = {"customRegistries": {"a.azurecr.io": {"password": {"type": "Opaque", "value": "hush"}}}}
    body = task(credentials=credentials, step={**STEP, "contextAccessToken": "hush-token"})
    shown = [
        (await cloud.call("PUT", PATH, body, version=VERSION)).text,
        (await cloud.call("GET", PATH, version=VERSION)).text,
        (await cloud.call("GET", "registries/registry1/tasks", version=VERSION)).text,
        (await cloud.call("PATCH", PATH, {"tags": {"a": "b"}}, version=VERSION)).text,
    ]
    assert not any("hush" in text for text in shown)
    details = (await cloud.call("POST", f"{PATH}/listDetails", version=VERSION)).json()
    assert details["properties"]["credentials"] == credentials
    assert details["tags"] == {"a": "b"}


async def test_tasks_are_listed_as_they_were_made_and_deleted(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    for name in ("zebra", "apple"):
        await cloud.call("PUT", f"registries/registry1/tasks/{name}", task(), version=VERSION)
        await cloud.clock.advance(1)
    found = (await cloud.call("GET", "registries/registry1/tasks", version=VERSION)).json()["value"]
    assert [one["name"] for one in found] == ["zebra", "apple"]
    assert (await cloud.call("DELETE", "registries/registry1/tasks/zebra", version=VERSION)).status_code == 200
    assert oci.refusal(await cloud.call("GET", "registries/registry1/tasks/zebra", version=VERSION))[0] == 404


@pytest.mark.parametrize(
    ("name", "properties", "expected"),
    [
        ("four", {}, (400, "InvalidResourceName")),
        ("build", {"step": None}, (400, "InvalidTaskStep")),
        ("build", {"step": {"type": "Docker"}}, (400, "InvalidTaskStep")),
        ("build", {"step": {"type": "Magic"}}, (400, "InvalidParameter")),
        ("build", {"step": "Docker"}, (400, "InvalidRequestContent")),
        ("build", {"timeout": 10}, (400, "InvalidTimeout")),
        ("build", {"timeout": "10"}, (400, "InvalidRequestContent")),
        ("build", {"platform": {}}, (400, "InvalidPlatform")),
        ("build", {"status": "Sleeping"}, (400, "InvalidParameter")),
        ("build", {"agentPoolName": "pool"}, (501, "NotImplemented")),
        ("build", {"trigger": {"timerTriggers": [{"name": "t", "schedule": "0 * * * *"}]}}, (501, "NotImplemented")),
        ("build", {"trigger": {"sourceTriggers": [{"name": "t", "status": "Enabled"}]}}, (501, "NotImplemented")),
    ],
)
async def test_what_no_task_may_be(
    cloud: Cloud, oci: Oci, name: str, properties: dict[str, Any], expected: tuple[int, str]
) -> None:
    await cloud.create()
    answer = await cloud.call("PUT", f"registries/registry1/tasks/{name}", task(**properties), version=VERSION)
    assert oci.refusal(answer) == expected
    assert (await cloud.call("GET", "registries/registry1/tasks", version=VERSION)).json() == {"value": []}


async def test_a_task_keeps_its_identity(cloud: Cloud) -> None:
    await cloud.create()
    body = {**task(), "identity": {"type": "SystemAssigned"}}
    made = (await cloud.call("PUT", PATH, body, version=VERSION)).json()["identity"]
    changed = await cloud.call("PATCH", PATH, {"tags": {"a": "b"}}, version=VERSION)
    assert changed.json()["identity"] == made
    gone = await cloud.call("PATCH", PATH, {"identity": {"type": "None"}}, version=VERSION)
    assert "identity" not in gone.json()


async def test_a_system_task_needs_no_step(cloud: Cloud) -> None:
    await cloud.create()
    body = {"location": "westus", "properties": {"isSystemTask": True, "status": "enabled"}}
    answer = await cloud.call("PUT", "registries/registry1/tasks/quicktask", body, version=VERSION)
    assert answer.status_code == 200
    assert answer.json()["properties"]["status"] == "Enabled"


async def test_a_task_needs_its_registry(cloud: Cloud, oci: Oci) -> None:
    answer = await cloud.call("PUT", PATH, task(), version=VERSION)
    assert oci.refusal(answer) == (404, "ParentResourceNotFound")
