"""Container group profiles: kept with all revisions, checked as groups are, and nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators, Reply

    Make = Callable[..., dict[str, Any]]


async def request(emulators: Emulators, method: str, below: str = "", body: object = None) -> Reply:
    path = emulators.path("p1").replace("containerGroups", "containerGroupProfiles")
    return await emulators.request(method, f"{path}{below}?api-version=2024-05-01-preview", body)


async def test_a_profile_is_kept_with_its_revisions(emulators: Emulators, body: Make) -> None:
    first = body(volumes=[{"name": "files", "secret": {"a": "dG9wc2VjcmV0"}}])
    reply = await request(emulators, "PUT", body={**first, "tags": {}})
    assert (reply.status, reply.body["properties"]["revision"]) == (201, 1)
    assert "azure-asyncoperation" not in reply.headers
    assert reply.body["properties"]["volumes"] == [{"name": "files", "secret": {}}]
    assert reply.body["type"] == "Microsoft.ContainerInstance/containerGroupProfiles"
    second = await request(emulators, "PUT", body=body(restartPolicy="Never"))
    assert (second.status, second.body["properties"]["revision"]) == (200, 2)
    assert (await request(emulators, "GET")).body == second.body
    assert (await request(emulators, "GET", "/revisions/1")).body["properties"] == reply.body["properties"]
    listed = (await request(emulators, "GET", "/revisions")).body["value"]
    assert [entry["properties"]["revision"] for entry in listed] == [1, 2]
    assert listed[1] == second.body
    missing = await request(emulators, "GET", "/revisions/3")
    assert (missing.status, missing.code) == (404, "ContainerGroupProfileRevisionNotFound")
    assert emulators.runtime.containers == []


async def test_a_profile_is_checked_as_a_group_is(emulators: Emulators, body: Make) -> None:
    refused = await request(emulators, "PUT", body=body(osType="Plan9"))
    assert (refused.status, refused.code) == (400, "InvalidOsType")
    assert (await request(emulators, "GET")).status == 404


async def test_tags_are_changed_and_a_profile_goes(emulators: Emulators, body: Make) -> None:
    await request(emulators, "PUT", body=body())
    changed = await request(emulators, "PATCH", body={"tags": {"a": "1"}})
    assert (changed.status, changed.body["tags"]) == (200, {"a": "1"})
    gone = await request(emulators, "DELETE")
    assert (gone.status, gone.body) == (200, None)
    assert (await request(emulators, "DELETE")).status == 204
