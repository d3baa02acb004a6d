"""Subscriptions, tenants, locations, providers, tags: what ARM itself knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.arm.locations import regions

if TYPE_CHECKING:
    from tests.arm.conftest import Door

SUBSCRIPTION = "5b5b5b5b-0000-4000-8000-000000000001"
TENANT = "5b5b5b5b-0000-4000-8000-000000000002"
THING = "/resourceGroups/g/providers/Fake.Things/things/t"
TAGS = "/providers/Microsoft.Resources/tags/default"


async def test_the_subscription_and_its_tenant(door: Door) -> None:
    listed = await door.core("GET", "//subscriptions")
    (subscription,) = listed.body["value"]
    assert (await door.core("GET", "")).body == subscription
    assert subscription["subscriptionId"] == SUBSCRIPTION
    assert subscription["tenantId"] == TENANT
    assert subscription["state"] == "Enabled"
    (tenant,) = (await door.core("GET", "//tenants")).body["value"]
    assert (tenant["tenantId"], tenant["tenantCategory"]) == (TENANT, "Home")


async def test_locations_have_what_clients_read(door: Door) -> None:
    value = (await door.core("GET", "/locations")).body["value"]
    assert len(value) == len(regions()) > 35
    west = next(one for one in value if one["name"] == "westus2")
    assert west["displayName"] == "West US 2"
    assert west["regionalDisplayName"] == "(US) West US 2"
    assert west["id"] == f"/subscriptions/{SUBSCRIPTION}/locations/westus2"
    assert west["metadata"]["geographyGroup"] == "US"
    assert west["metadata"]["pairedRegion"][0]["name"] == "westcentralus"


def test_every_region_is_what_its_name_says() -> None:
    for name, region in regions().items():
        assert region.display_name.replace(" ", "").lower() == name
        assert region.regional_display_name.endswith(region.display_name)
        assert -90 < float(region.latitude) < 90
        assert -180 < float(region.longitude) < 180


async def test_providers_list_their_types_newest_version_first(door: Door) -> None:
    listed = (await door.core("GET", "/providers")).body["value"]
    assert [one["namespace"] for one in listed] == ["Microsoft.Resources", "Fake.Things"]
    fake = (await door.core("GET", "/providers/fake.things")).body
    assert fake == listed[1]
    assert fake["registrationState"] == "Registered"
    types = {one["resourceType"]: one for one in fake["resourceTypes"]}
    assert set(types) == {"things", "things/parts", "locations/usages"}
    assert types["things"]["apiVersions"] == ["2024-01-01", "2020-01-01"]
    assert types["things"]["locations"] == ["West US 2", "East US"]
    assert (await door.core("GET", "/providers/Fake.Things/resourceTypes")).body["value"] == fake["resourceTypes"]
    everywhere = (await door.core("GET", "//providers/Fake.Things")).body
    assert everywhere["resourceTypes"] == fake["resourceTypes"]
    assert "registrationState" not in everywhere
    assert len((await door.core("GET", "//providers")).body["value"]) == 2


async def test_a_provider_that_is_not_there(door: Door) -> None:
    for method, path in (("GET", "/providers/No.Such"), ("POST", "/providers/No.Such/register")):
        answer = await door.core(method, path)
        assert (answer.status, answer.code) == (404, "InvalidResourceNamespace")


@pytest.mark.parametrize(
    ("name", "status"),
    [("fine", "Allowed"), ("Azure", "Reserved"), ("my-Microsoft-1", "Reserved"), ("loginpage", "Reserved")],
)
async def test_reserved_names(door: Door, name: str, status: str) -> None:
    path = "//providers/Microsoft.Resources/checkResourceName"
    answer = await door.core("POST", path, {"name": name, "type": "Fake.Things/things"})
    assert answer.body == {"name": name, "type": "Fake.Things/things", "status": status}
    assert (await door.core("POST", path, {"name": name})).code == "InvalidRequestContent"


@pytest.mark.parametrize("scope", ["", "/resourceGroups/G", THING])
async def test_tags_of_every_scope_are_read_replaced_merged_and_deleted(door: Door, scope: str) -> None:
    await door.thing()

    async def patched(operation: str, **tags: str) -> dict[str, str]:
        body = {"operation": operation, "properties": {"tags": tags}}
        answer = await door.core("PATCH", scope + TAGS, body)
        assert answer.status == 200
        return dict(answer.body["properties"]["tags"])

    put = await door.core("PUT", scope + TAGS, {"properties": {"tags": {"Env": "test", "a": "b"}}})
    assert put.status == 200
    assert put.body["id"].lower() == f"/subscriptions/{SUBSCRIPTION}{scope}{TAGS}".lower()
    assert put.body["properties"]["tags"] == {"Env": "test", "a": "b"}
    assert await patched("Merge", env="prod", c="d") == {"Env": "prod", "a": "b", "c": "d"}
    assert await patched("Delete", a="other", C="d") == {"Env": "prod", "a": "b"}
    assert await patched("Replace", x="y") == {"x": "y"}
    assert (await door.core("GET", scope + TAGS)).body["properties"]["tags"] == {"x": "y"}
    shown = await (door.call("GET", scope) if scope == THING else door.core("GET", scope))
    assert shown.body["tags"] == {"x": "y"}
    assert (await door.core("DELETE", scope + TAGS)).status == 200
    assert (await door.core("GET", scope + TAGS)).body["properties"] == {"tags": {}}


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("/resourceGroups/none", "ResourceGroupNotFound"),
        ("/resourceGroups/none/providers/Fake.Things/things/t", "ResourceGroupNotFound"),
        ("/resourceGroups/g/providers/Fake.Things/things/none", "ResourceNotFound"),
        ("/somewhere/else", "NotFound"),
    ],
)
async def test_tags_of_what_is_not_there(door: Door, scope: str, code: str) -> None:
    answer = await door.core("GET", scope + TAGS)
    assert (answer.status, answer.code) == (404, code)


async def test_a_type_without_tags_has_none(door: Door) -> None:
    await door.thing()
    await door.call("PUT", f"{THING}/parts/p", {})
    answer = await door.core("GET", f"{THING}/parts/p{TAGS}")
    assert (answer.status, answer.code) == (400, "TagsNotSupportedForType")


@pytest.mark.parametrize(
    "body",
    [{}, {"properties": {}}, {"properties": {"tags": []}}, {"operation": "Explode", "properties": {"tags": {}}}],
)
async def test_a_change_of_tags_of_a_wrong_shape(door: Door, body: object) -> None:
    before = door.everything()
    assert (await door.core("PATCH", TAGS, body)).code == "InvalidRequestContent"
    assert door.everything() == before


async def test_merging_may_not_go_over_fifty_tags(door: Door) -> None:
    many = {f"t{n}": "x" for n in range(50)}
    assert (await door.core("PUT", TAGS, {"properties": {"tags": many}})).status == 200
    answer = await door.core("PATCH", TAGS, {"operation": "Merge", "properties": {"tags": {"one": "more"}}})
    assert (answer.status, answer.code) == (400, "InvalidTags")


async def test_tag_names_are_those_predefined_and_those_in_use(door: Door) -> None:
    assert (await door.core("PUT", "/tagNames/env/tagValues/test")).code == "TagNameNotFound"
    assert (await door.core("PUT", "/tagNames/env")).status == 201
    assert (await door.core("PUT", "/tagNames/env")).status == 200
    assert (await door.core("PUT", "/tagNames/env/tagValues/test")).status == 201
    await door.group("tagged", tags={"env": "test", "owner": "me"})
    value = (await door.core("GET", "/tagNames")).body["value"]
    assert {one["tagName"]: one["count"]["value"] for one in value} == {"env": 1, "owner": 1}
    assert (await door.core("DELETE", "/tagNames/env/tagValues/test")).status == 200
    assert (await door.core("DELETE", "/tagNames/env")).status == 200
    assert (await door.core("DELETE", "/tagNames/env")).status == 204
    assert (await door.core("DELETE", "/tagNames/env/tagValues/test")).status == 204
