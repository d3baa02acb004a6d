"""Resource groups: names, places, tags, and deletion with all that is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.arm.conftest import Door, Open

THINGS = "/resourceGroups/g/providers/Fake.Things/things"


async def test_a_group_is_created_changed_and_read(door: Door) -> None:
    answer = await door.core("PUT", "/resourcegroups/My-Group_(1).x", {"location": "West US 2", "tags": {"a": "b"}})
    assert answer.status == 201
    assert answer.body == {
        "id": f"/subscriptions/{door.kernel.subscription}/resourceGroups/My-Group_(1).x",
        "name": "My-Group_(1).x",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westus2",
        "tags": {"a": "b"},
        "properties": {"provisioningState": "Succeeded"},
    }
    again = await door.core("PUT", "/resourceGroups/MY-group_(1).x", {"location": "westus2", "managedBy": "me"})
    assert (again.status, again.body["name"], again.body["managedBy"]) == (200, "My-Group_(1).x", "me")
    assert "tags" not in again.body
    patched = await door.core("PATCH", "/resourceGroups/my-group_(1).x", {"tags": {"c": "d"}})
    assert (patched.status, patched.body["tags"], patched.body["managedBy"]) == (200, {"c": "d"}, "me")
    assert (await door.core("GET", "/resourceGroups/my-group_(1).x")).body == patched.body


async def test_heads_say_whether_a_group_is_there(door: Door) -> None:
    assert (await door.core("HEAD", "/resourceGroups/G")).status == 204
    assert (await door.core("HEAD", "/resourceGroups/other")).status == 404


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_group_that_is_not_there(door: Door, method: str) -> None:
    answer = await door.core(method, "/resourceGroups/other", {} if method == "PATCH" else None)
    assert (answer.status, answer.code) == (404, "ResourceGroupNotFound")


@pytest.mark.parametrize("name", ["a" * 91, "a%20b", "a%23", "ends.", "a%3Cb"])
async def test_a_name_that_no_group_may_have(door: Door, name: str) -> None:
    before = door.everything()
    answer = await door.core("PUT", f"/resourceGroups/{name}", {"location": "eastus"})
    assert (answer.status, answer.code) == (400, "InvalidResourceGroup")
    assert door.everything() == before


async def test_letters_of_all_alphabets_make_a_group_name(door: Door) -> None:
    assert (await door.core("PUT", "/resourceGroups/Gr%C3%BC%C3%9Fe", {"location": "eastus"})).body["name"] == "Grüße"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "LocationRequired"),
        ({"location": "atlantis"}, "LocationNotAvailableForResourceType"),
        ({"location": ["eastus"]}, "InvalidRequestContent"),
        ({"location": "eastus", "tags": 5}, "InvalidRequestContent"),
        ({"location": "eastus", "properties": 5}, "InvalidRequestContent"),
        ({"location": "eastus", "managedBy": 5}, "InvalidRequestContent"),
    ],
)
async def test_a_group_of_a_wrong_shape(door: Door, body: object, code: str) -> None:
    before = door.everything()
    answer = await door.core("PUT", "/resourceGroups/new", body)
    assert (answer.status, answer.code) == (400, code)
    assert door.everything() == before


async def test_a_group_does_not_move(door: Door) -> None:
    answer = await door.core("PUT", "/resourceGroups/g", {"location": "westus2"})
    assert (answer.status, answer.code) == (409, "InvalidResourceGroupLocation")


async def test_deleting_a_group_deletes_everything_in_it(door: Door) -> None:
    await door.thing("plain")
    await door.thing("held", held=True)
    await door.call("PUT", f"{THINGS}/held/parts/p", {"properties": {"held": True}})
    await door.group("kept")
    await door.thing("other", "kept")
    answer = await door.core("DELETE", "/resourceGroups/G")
    assert (answer.status, answer.content) == (202, b"")
    link = answer.headers["location"]
    assert link.startswith(f"{door.base}/subscriptions/{door.kernel.subscription}/operationresults/")
    assert "azure-asyncoperation" not in answer.headers
    assert answer.headers["x-ms-retry-after-ms"] == "50"
    assert (await door.core("GET", "/resourceGroups/g")).body["properties"]["provisioningState"] == "Deleting"
    await door.kernel.operations.settled()
    done = await door.follow(link)
    assert (done.status, done.content) == (200, b"")
    assert door.service.ran == ["free p", "free held"]
    assert (await door.core("GET", "/resourceGroups/g")).code == "ResourceGroupNotFound"
    assert (await door.get("plain")).code == "ResourceGroupNotFound"
    assert (await door.get("other", "kept")).status == 200
    await door.group()
    assert (await door.call("GET", THINGS)).body == {"value": []}


async def test_a_group_that_is_being_deleted_takes_nothing_new(door: Door) -> None:
    await door.thing(slow=True)
    first = await door.core("DELETE", "/resourceGroups/g")
    for answer in (
        await door.thing("new"),
        await door.group(),
        await door.core("PATCH", "/resourceGroups/g", {"tags": {}}),
    ):
        assert (answer.status, answer.code) == (409, "ResourceGroupBeingDeleted")
    waiting = await door.follow(first.headers["location"])
    assert (waiting.status, waiting.headers["location"]) == (202, first.headers["location"])
    assert (await door.core("DELETE", "/resourceGroups/g")).headers["location"] == first.headers["location"]
    door.service.finish("t")
    await door.kernel.operations.settled()
    assert (await door.follow(first.headers["location"])).status == 200


async def test_deleting_a_group_cancels_the_work_in_it(door: Door) -> None:
    link = (await door.thing(work="run", held=True)).headers["azure-asyncoperation"]
    await door.service.begun.wait()
    assert (await door.follow(link)).body["status"] == "Working"
    await door.core("DELETE", "/resourceGroups/g")
    await door.kernel.operations.settled()
    assert door.service.cancelled == ["t"]
    assert door.service.ran == ["run t", "free t"]
    assert (await door.follow(link)).body["status"] == "Canceled"


async def test_a_resource_that_refuses_to_go_keeps_its_group(door: Door) -> None:
    await door.thing(deletable=False)
    before = door.everything()
    answer = await door.core("DELETE", "/resourceGroups/g")
    assert (answer.status, answer.code) == (409, "ScopeLocked")
    assert door.everything() == before


async def test_a_removal_that_fails_leaves_the_group_usable(door: Door) -> None:
    await door.thing(held=True, stuck=True)
    link = (await door.core("DELETE", "/resourceGroups/g")).headers["location"]
    await door.kernel.operations.settled()
    failed = await door.follow(link)
    assert (failed.status, failed.code) == (409, "ThingStuck")
    assert (await door.core("GET", "/resourceGroups/g")).body["properties"]["provisioningState"] == "Succeeded"
    assert (await door.thing(size=3)).status == 200


async def test_at_azures_pace_a_deletion_says_retry_after_as_recorded(opened: Open) -> None:
    store, clock = Store(None), ManualClock()
    async with opened(store, pace="azure", clock=clock) as door:
        await door.group()
        answer = await door.core("DELETE", "/resourceGroups/g")
        assert answer.headers["retry-after"] == "15"
        assert "x-ms-retry-after-ms" not in answer.headers
        await clock.advance(72)
        assert (await door.follow(answer.headers["location"])).headers["retry-after"] == "15"
        await clock.advance(2)
        assert (await door.follow(answer.headers["location"])).status == 200
    store.close()


async def test_a_deletion_goes_on_after_a_restart(opened: Open, tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    async with opened(store) as door:
        await door.group()
        await door.thing(slow=True)
        link = (await door.core("DELETE", "/resourceGroups/g")).headers["location"]
    store.close()
    store = Store(tmp_path / "state.db")
    async with opened(store) as door:
        assert (await door.follow(link)).status == 202
        door.service.finish("t")
        await door.kernel.operations.settled()
        assert (await door.follow(link)).status == 200
        assert (await door.core("GET", "/resourceGroups/g")).status == 404
    store.close()


async def test_groups_are_listed_and_filtered_by_tag(door: Door) -> None:
    await door.group("a", tags={"env": "test", "owner": "me"})
    await door.group("b", tags={"env": "prod", "owner": "test"})
    assert [g["name"] for g in (await door.core("GET", "/resourceGroups")).body["value"]] == ["a", "b", "g"]

    async def found(text: str) -> list[str]:
        answer = await door.core("GET", "/resourcegroups", query="$filter=" + text.replace(" ", "%20"))
        return [group["name"] for group in answer.body["value"]]

    assert await found("tagName eq 'ENV'") == ["a", "b"]
    assert await found("tagName eq 'env' and tagValue eq 'test'") == ["a"]
    page = await door.core("GET", "/resourcegroups", query="$top=2")
    assert [g["name"] for g in page.body["value"]] == ["a", "b"]
    assert [g["name"] for g in (await door.follow(page.body["nextLink"])).body["value"]] == ["g"]


async def test_what_is_not_emulated_says_so(door: Door) -> None:
    for method, path, body in (
        ("POST", "/resourceGroups/g/exportTemplate", b"{}"),
        ("PUT", "/resourceGroups/g/providers/Microsoft.Resources/deployments/d", b"{properties: /* no JSON */ }"),
        ("POST", "/providers/Microsoft.Resources/deployments/d/validate", b"{}"),
        ("POST", "/resourceGroups/g/moveResources", b"{}"),
    ):
        answer = await door.core(method, path, body)
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert "is not emulated" in answer.body["error"]["message"]
