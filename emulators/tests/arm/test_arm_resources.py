"""A provider's resource through ARM: create, read, list, change, delete, act."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.arm.conftest import Door

THINGS = "/resourceGroups/g/providers/Fake.Things/things"


async def test_a_resource_is_created_read_listed_and_deleted(door: Door) -> None:
    body = {"location": "West US 2", "tags": {"a": "b"}, "properties": {"size": 1}}
    created = await door.call("PUT", f"{THINGS}/t", body)
    assert created.status == 201
    assert created.body == {
        "id": f"/subscriptions/{door.kernel.subscription}/resourceGroups/g/providers/Fake.Things/things/t",
        "name": "t",
        "type": "Fake.Things/things",
        "location": "westus2",
        "tags": {"a": "b"},
        "sku": {"name": "Basic"},
        "properties": {"size": 1, "provisioningState": "Succeeded", "view": "put"},
    }
    assert (await door.get()).body["properties"]["view"] == "get"
    assert (await door.call("PUT", f"{THINGS}/t", body)).status == 200
    for scope in ("/resourceGroups/G", ""):
        listed = await door.call("GET", f"{scope}/providers/fake.things/Things")
        assert [(one["name"], one["properties"]["view"]) for one in listed.body["value"]] == [("t", "list")]
    deleted = await door.call("DELETE", f"{THINGS}/T")
    assert (deleted.status, deleted.body["properties"]["view"]) == (200, "delete")
    assert (await door.call("DELETE", f"{THINGS}/t")).status == 204
    assert (await door.get()).code == "ResourceNotFound"


async def test_nulls_are_left_out_of_answers(door: Door) -> None:
    answer = await door.thing(empty=None, list=[1, None], inner={"x": None, "y": "null"})
    properties = answer.body["properties"]
    assert "empty" not in properties
    assert "nothing" not in properties
    assert properties["inner"] == {"y": "null"}
    assert properties["list"] == [1, None]


async def test_secrets_are_kept_and_never_answered(door: Door) -> None:
    answers = [await door.thing(), await door.get(), await door.call("GET", THINGS)]
    assert not any(b"s3cret" in answer.content for answer in answers)
    stored = door.kernel.resources.get(answers[0].body["id"])
    assert stored is not None
    assert stored.secrets == {"key": "s3cret"}


async def test_heads_say_whether_a_resource_is_there(door: Door) -> None:
    await door.thing()
    assert (await door.call("HEAD", f"{THINGS}/t")).status == 204
    assert (await door.call("HEAD", f"{THINGS}/u")).status == 404


@pytest.mark.parametrize(
    ("location", "status", "code"),
    [
        (None, 400, "LocationRequired"),
        ("", 400, "LocationRequired"),
        (7, 400, "InvalidRequestContent"),
        ("mars", 400, "LocationNotAvailableForResourceType"),
        ("North Europe", 400, "LocationNotAvailableForResourceType"),
    ],
)
async def test_a_location_must_be_one_of_the_types(door: Door, location: object, status: int, code: str) -> None:
    before = door.everything()
    answer = await door.call("PUT", f"{THINGS}/t", {"location": location})
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    if code.startswith("LocationNot"):
        assert "'westus2,eastus'" in answer.body["error"]["message"]
    assert door.everything() == before


async def test_a_resource_does_not_move(door: Door) -> None:
    await door.thing()
    answer = await door.call("PUT", f"{THINGS}/t", {"location": "East US"})
    assert (answer.status, answer.code) == (409, "InvalidResourceLocation")
    assert (await door.get()).body["location"] == "westus2"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ("text", "InvalidRequestContent"),
        ({"a": {"b": "c"}}, "InvalidRequestContent"),
        ({f"t{n}": "x" for n in range(51)}, "InvalidTags"),
        ({"a<b": "x"}, "InvalidTagNameCharacters"),
        ({"a" * 513: "x"}, "InvalidTagName"),
        ({" ": "x"}, "InvalidTagName"),
        ({"a": "x" * 257}, "InvalidTagValueLength"),
        ({"Owner": "x", "owner": "y"}, "InvalidTags"),
    ],
)
async def test_tags_have_rules(door: Door, tags: object, code: str) -> None:
    answer = await door.call("PUT", f"{THINGS}/t", {"location": "eastus", "tags": tags})
    assert (answer.status, answer.code) == (400, code)
    assert (await door.get()).status == 404


async def test_fifty_tags_of_the_longest_kind_are_taken(door: Door) -> None:
    tags = {f"{n:0512}": "x" * 256 for n in range(50)}
    answer = await door.call("PUT", f"{THINGS}/t", {"location": "eastus", "tags": tags})
    assert (answer.status, answer.body["tags"]) == (201, tags)


async def test_tags_of_other_simple_types_become_text(door: Door) -> None:
    tags = {"n": 1, "yes": True, "nothing": None}
    answer = await door.call("PUT", f"{THINGS}/t", {"location": "eastus", "tags": tags})
    assert answer.body["tags"] == {"n": "1", "yes": "true", "nothing": ""}


@pytest.mark.parametrize("name", ["a%3Cb", "a%26b", "a.", "a%20", "a%00b", "a%2Fb", "x" * 261, "a%3F"])
async def test_a_name_that_no_resource_may_have(door: Door, name: str) -> None:
    before = door.everything()
    answer = await door.call("PUT", f"{THINGS}/{name}", {"location": "eastus"})
    assert (answer.status, answer.code) == (400, "InvalidResourceName")
    assert door.everything() == before


async def test_a_providers_refusal_is_the_answer_and_changes_nothing(door: Door) -> None:
    await door.thing(size=1)
    before = door.everything()
    answer = await door.thing(bad=True)
    assert answer.status == 400
    assert answer.body["error"] == {
        "code": "BadThing",
        "message": "A thing must not be bad.",
        "target": "properties.bad",
    }
    assert "x-ms-failure-cause" not in answer.headers
    assert door.everything() == before


async def test_properties_must_be_an_object(door: Door) -> None:
    answer = await door.call("PUT", f"{THINGS}/t", {"location": "eastus", "properties": []})
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")


async def test_a_patch_changes_tags(door: Door) -> None:
    await door.thing(size=1)
    answer = await door.call("PATCH", f"{THINGS}/t", {"tags": {"new": "x"}})
    assert (answer.status, answer.body["tags"]) == (200, {"new": "x"})
    assert (await door.get()).body["properties"]["size"] == 1
    assert (await door.call("PATCH", f"{THINGS}/nobody", {"tags": {}})).code == "ResourceNotFound"
    assert (await door.call("PATCH", f"{THINGS}/t", {"tags": {"a%b": "x"}})).code == "InvalidTagNameCharacters"


async def test_nested_resources_live_and_die_with_their_parent(door: Door) -> None:
    await door.thing("Parent")
    answer = await door.call("PUT", f"{THINGS}/parent/PARTS/One", {"properties": {"held": True}})
    assert answer.status == 201
    assert answer.body["id"].endswith("/things/Parent/parts/One")
    assert answer.body["type"] == "Fake.Things/things/parts"
    assert "location" not in answer.body
    assert len((await door.call("GET", f"{THINGS}/parent/parts")).body["value"]) == 1
    await door.thing("Parent2")
    assert (await door.call("GET", f"{THINGS}/parent2/parts")).body == {"value": []}
    await door.call("DELETE", f"{THINGS}/parent")
    await door.kernel.operations.settled()
    assert door.service.ran == ["free One"]
    await door.thing("Parent")
    assert (await door.call("GET", f"{THINGS}/parent/parts")).body == {"value": []}


async def test_nested_resources_do_not_change_by_patch_when_their_type_has_none(door: Door) -> None:
    await door.thing()
    await door.call("PUT", f"{THINGS}/t/parts/p", {})
    assert (await door.call("PATCH", f"{THINGS}/t/parts/p", {})).code == "MethodNotAllowed"


async def test_actions_on_a_resource_a_collection_and_a_subscription(door: Door) -> None:
    await door.thing()
    assert (await door.call("POST", f"{THINGS}/T/POKE")).body == {"poked": "t", "by": "tester"}
    assert (await door.call("POST", f"{THINGS}/nobody/poke")).code == "ResourceNotFound"
    assert (await door.call("GET", f"{THINGS}/t/poke")).code == "MethodNotAllowed"
    assert (await door.call("GET", f"{THINGS}/t/pieces/Seven/log")).body == {"piece": "Seven"}
    assert (await door.call("POST", f"{THINGS}/checkthem")).body == {"poked": "nobody", "by": "tester"}
    assert (await door.call("PUT", f"{THINGS}/checkThem", {"location": "eastus"})).status == 201
    assert (await door.call("POST", THINGS)).code == "MethodNotAllowed"
    usages = "/providers/Fake.Things/locations/East%20US/usages"
    assert (await door.call("GET", usages)).body == {"value": [], "location": "East US"}
    assert (await door.call("PUT", usages)).code == "MethodNotAllowed"
    assert (await door.call("GET", usages, version="1999-01-01")).code == "NoRegisteredProviderFound"


async def test_a_name_may_be_the_word_providers(door: Door) -> None:
    assert (await door.thing("providers")).status == 201
    assert (await door.get("providers")).body["name"] == "providers"


async def test_listing_is_by_id_and_by_group(door: Door) -> None:
    await door.group("G2")
    for name, group in (("b", "g"), ("a", "g"), ("c", "G2")):
        await door.thing(name, group)
    everywhere = await door.call("GET", "/providers/Fake.Things/things")
    assert [one["name"] for one in everywhere.body["value"]] == ["a", "b", "c"]
    assert [one["name"] for one in (await door.call("GET", THINGS)).body["value"]] == ["a", "b"]
    assert door.kernel.resources.count("fake.things/things", subscription=door.kernel.subscription) == 3
    assert door.kernel.resources.count("Fake.Things/things", subscription=door.kernel.subscription, group="g2") == 1
