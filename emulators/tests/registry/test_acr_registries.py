"""Registries as ARM resources: what may be asked for, what is answered, what is refused and leaves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.registry.conftest import Cloud, Oci

PREMIUM = {"location": "westus", "sku": {"name": "Premium"}}
GROUP = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/other"


def policy(name: str, **value: object) -> dict[str, Any]:
    return {"properties": {"policies": {name: value}}}


async def test_a_registry_is_made_at_once_and_listens(cloud: Cloud) -> None:
    body = {"location": "West US", "sku": {"name": "basic"}, "properties": {}, "tags": {"a": "b"}}
    answer = await cloud.call("PUT", "registries/Registry1", body)
    assert answer.status_code == 200
    assert "azure-asyncoperation" not in answer.headers
    found = answer.json()
    assert (found["name"], found["type"], found["location"]) == (
        "Registry1",
        "Microsoft.ContainerRegistry/registries",
        "westus",
    )
    assert (found["sku"], found["tags"]) == ({"name": "Basic", "tier": "Basic"}, {"a": "b"})
    assert found["systemData"]["createdByType"] == "Application"
    properties = found["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["adminUserEnabled"] is False
    assert properties["policies"]["retentionPolicy"] == {
        "days": 7,
        "lastUpdatedTime": "2026-01-01T00:00:00.0000000+00:00",
        "status": "disabled",
    }
    assert properties["loginServer"] == "localhost:5000"
    await cloud.eventually(lambda: bool(cloud.listeners.apps))
    async with cloud.registry("Registry1") as client:
        assert (await client.get("/v2/")).status_code == 401
    assert "networkRuleSet" not in properties
    assert (await cloud.call("GET", "registries/registry1")).json() == found
    assert (await cloud.call("GET", "registries")).json() == {"value": [found]}


async def test_a_second_put_replaces_and_keeps_what_a_registry_is_born_with(cloud: Cloud) -> None:
    before = await cloud.create(adminUserEnabled=True)
    password = (await cloud.admin())[1]
    await cloud.clock.advance(60)
    answer = await cloud.call("PUT", "registries/registry1", PREMIUM)
    assert answer.status_code == 200
    after = answer.json()
    assert after["properties"]["adminUserEnabled"] is False
    for name in ("loginServer", "creationDate"):
        assert after["properties"][name] == before["properties"][name]
    assert after["systemData"]["createdAt"] != after["systemData"]["lastModifiedAt"]
    await cloud.call("PATCH", "registries/registry1", {"properties": {"adminUserEnabled": True}})
    assert (await cloud.admin())[1] == password


async def test_a_patch_changes_only_what_it_names(cloud: Cloud) -> None:
    await cloud.create(adminUserEnabled=True)
    policies = {"retentionPolicy": {"days": 30, "status": "enabled"}, "trustPolicy": {"status": "Enabled"}}
    body = {"tags": {"a": "b"}, "properties": {"policies": policies, "adminUserEnabled": None}}
    properties = (await cloud.call("PATCH", "registries/registry1", body)).json()["properties"]
    assert properties["adminUserEnabled"] is True
    assert properties["policies"]["retentionPolicy"]["days"] == 30
    assert properties["policies"]["trustPolicy"] == {"type": "Notary", "status": "enabled"}
    assert properties["policies"]["exportPolicy"] == {"status": "enabled"}
    changed = (await cloud.call("PATCH", "registries/registry1", {"sku": {"name": "Standard"}})).json()
    assert (changed["sku"]["tier"], changed["tags"]) == ("Standard", {"a": "b"})


async def test_a_name_belongs_to_one_registry_of_all(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    await cloud.call("PUT", GROUP, {"location": "westus"})
    taken = await cloud.call("PUT", f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/REGISTRY1", PREMIUM)
    assert oci.refusal(taken) == (409, "AlreadyInUse")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("registry1", (False, "AlreadyExists")),
        ("Registry1", (False, "AlreadyExists")),
        ("free2", (True, None)),
        ("four", (False, "Invalid")),
        ("with-dash", (False, "Invalid")),
        ("x" * 51, (False, "Invalid")),
    ],
)
async def test_whether_a_name_is_free(cloud: Cloud, name: str, expected: tuple[bool, str | None]) -> None:
    await cloud.create()
    path = "/subscriptions/22222222-2222-2222-2222-222222222222/providers/Microsoft.ContainerRegistry"
    body = {"name": name, "type": "Microsoft.ContainerRegistry/registries"}
    found = (await cloud.call("POST", f"{path}/checkNameAvailability", body)).json()
    assert (found["nameAvailable"], found.get("reason")) == expected


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("four", {}, (400, "InvalidResourceName")),
        ("under_score", {}, (400, "InvalidResourceName")),
        ("registry1", {"sku": None}, (400, "MissingSku")),
        ("registry1", {"sku": {"name": "Classic"}}, (400, "InvalidParameter")),
        ("registry1", {"sku": {}}, (400, "InvalidRequestContent")),
        ("registry1", {"sku": "Basic"}, (400, "InvalidRequestContent")),
        ("registry1", {"location": None}, (400, "LocationRequired")),
        ("registry1", {"properties": {"adminUserEnabled": "yes"}}, (400, "InvalidRequestContent")),
        ("registry1", {"properties": []}, (400, "InvalidRequestContent")),
        ("registry1", {"properties": {"zoneRedundancy": "Perhaps"}}, (400, "InvalidParameter")),
        ("registry1", {"properties": {"encryption": {"status": "enabled"}}}, (501, "NotImplemented")),
        ("registry1", {"properties": {"dataEndpointEnabled": True}}, (501, "NotImplemented")),
        (
            "registry1",
            {"properties": {"policies": {"quarantinePolicy": {"status": "enabled"}}}},
            (501, "NotImplemented"),
        ),
        (
            "registry1",
            {"properties": {"policies": {"softDeletePolicy": {"status": "enabled"}}}},
            (501, "NotImplemented"),
        ),
        (
            "registry1",
            {"properties": {"policies": {"retentionPolicy": {"days": 400}}}},
            (400, "InvalidRetentionPolicy"),
        ),
        ("registry1", {"properties": {"networkRuleSet": {"ipRules": [{"value": "x"}]}}}, (400, "InvalidNetworkRule")),
        ("registry1", {"properties": {"networkRuleSet": {"ipRules": [{"a": "b"}]}}}, (400, "InvalidRequestContent")),
        ("registry1", {"properties": {"roleAssignmentMode": "AbacRepositoryPermissions"}}, (501, "NotImplemented")),
        ("registry1", {"identity": {"type": "Nobody"}}, (400, "InvalidParameter")),
    ],
)
async def test_what_no_registry_may_be_is_refused_and_leaves_nothing(
    cloud: Cloud, oci: Oci, name: str, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    answer = await cloud.call("PUT", f"registries/{name}", {**PREMIUM, **change})
    assert oci.refusal(answer) == expected
    assert (await cloud.call("GET", "registries")).json() == {"value": []}
    assert cloud.listeners.ports == {}


@pytest.mark.parametrize(
    "properties",
    [
        {"publicNetworkAccess": "Disabled"},
        {"networkRuleSet": {"defaultAction": "Deny"}},
        {"policies": {"retentionPolicy": {"status": "enabled"}}},
        {"policies": {"trustPolicy": {"status": "enabled"}}},
        {"policies": {"exportPolicy": {"status": "disabled"}}},
        {"anonymousPullEnabled": True},
    ],
)
async def test_what_a_basic_registry_has_not(cloud: Cloud, oci: Oci, properties: dict[str, Any]) -> None:
    body = {"location": "westus", "sku": {"name": "Basic"}, "properties": properties}
    assert oci.refusal(await cloud.call("PUT", "registries/registry1", body)) == (400, "SkuNotSupported")
    assert (await cloud.call("PUT", "registries/registry1", {**body, "sku": {"name": "Premium"}})).status_code == 200


async def test_credentials_are_for_registries_with_an_admin_user(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    for action, body in (("listCredentials", None), ("regenerateCredential", {"name": "password"})):
        answer = await cloud.call("POST", f"registries/registry1/{action}", body)
        assert oci.refusal(answer) == (400, "UnAuthorizedForCredentialOperations")
    await cloud.call("PATCH", "registries/registry1", {"properties": {"adminUserEnabled": True}})
    found = (await cloud.call("POST", "registries/registry1/listCredentials")).json()
    assert found["username"] == "registry1"
    assert [password["name"] for password in found["passwords"]] == ["password", "password2"]
    shown = (await cloud.call("GET", "registries/registry1")).text + (await cloud.call("GET", "registries")).text
    assert not any(password["value"] in shown for password in found["passwords"])
    wrong = await cloud.call("POST", "registries/registry1/regenerateCredential", {"name": "password3"})
    assert oci.refusal(wrong) == (400, "InvalidParameter")


async def test_usages_are_those_of_the_tier(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True, sku="Standard")
    async with await cloud.signed_in() as client:
        await oci.push(client, "hello", "v1", b"layer")
    found = (await cloud.call("GET", "registries/registry1/listUsages")).json()["value"]
    size = len(b"{}") + len(b"layer") + len(oci.image(b"{}", b"layer"))
    assert found[0] == {"name": "Size", "limit": 100 * 1024**3, "currentValue": size, "unit": "Bytes"}
    assert found[1] == {"name": "Webhooks", "limit": 10, "currentValue": 0, "unit": "Count"}


async def test_deletion_takes_content_and_port(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as client:
        await oci.push(client, "hello", "v1")
        answer = await cloud.call("DELETE", "registries/registry1")
        assert (answer.status_code, answer.content) == (200, b"")
        assert oci.problem(await client.get("/v2/")) == (404, "NAME_UNKNOWN")
    assert oci.refusal(await cloud.call("GET", "registries/registry1")) == (404, "ResourceNotFound")
    await cloud.settled()
    assert cloud.listeners.ports == {}
    assert cloud.content.usage(cloud.registry_id().lower()) == 0
    assert (await cloud.call("DELETE", "registries/registry1")).status_code == 204


async def test_a_registry_of_the_same_name_begins_empty(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True)
    async with await cloud.signed_in() as client:
        await oci.push(client, "hello", "v1")
    await cloud.call("DELETE", "registries/registry1")
    await cloud.create(adminUserEnabled=True)  # before the removal's work has run
    async with await cloud.signed_in() as client:
        assert (await client.get("/v2/_catalog")).json() == {"repositories": []}
        await oci.push(client, "new", "v1")
        await cloud.settled()
        assert (await client.get("/v2/_catalog")).json() == {"repositories": ["new"]}


async def test_deleting_a_group_takes_its_registries(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    group = "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg"
    assert (await cloud.call("DELETE", group)).status_code == 202
    await cloud.settled()
    assert cloud.listeners.ports == {}
    assert oci.refusal(await cloud.call("GET", "registries/registry1")) == (404, "ResourceGroupNotFound")


async def test_ports_come_back_after_a_restart_and_a_moved_one_is_written_down(cloud: Cloud) -> None:
    before = (await cloud.create())["properties"]["loginServer"]
    await cloud.restart()
    assert (await cloud.call("GET", "registries/registry1")).json()["properties"]["loginServer"] == before
    cloud.listeners.moved = 100
    await cloud.restart()
    moved = (await cloud.call("GET", "registries/registry1")).json()["properties"]["loginServer"]
    assert moved == "localhost:5100"
    async with cloud.registry() as client:
        assert moved in (await client.get("/v2/")).headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "version", ["2017-03-01", "2019-05-01", "2019-12-01-preview", "2021-09-01", "2023-07-01", "2025-11-01"]
)
async def test_every_published_version_answers_the_newest_shape(cloud: Cloud, version: str) -> None:
    answer = await cloud.call("PUT", "registries/registry1", PREMIUM, version=version)
    assert answer.status_code == 200
    assert answer.json()["properties"]["policies"]["softDeletePolicy"]["retentionDays"] == 7


async def test_identities_keep_their_ids(cloud: Cloud) -> None:
    user = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
    nothing: dict[str, str] = {}
    identity = {"type": "systemassigned, userassigned", "userAssignedIdentities": {user: nothing}}
    first = (await cloud.call("PUT", "registries/registry1", {**PREMIUM, "identity": identity})).json()["identity"]
    assert first["type"] == "SystemAssigned, UserAssigned"
    second = (await cloud.call("PUT", "registries/registry1", {**PREMIUM, "identity": identity})).json()["identity"]
    assert first == second
    none = await cloud.call("PATCH", "registries/registry1", {"identity": {"type": "None"}})
    assert "identity" not in none.json()


async def test_replications_are_for_premium_registries(cloud: Cloud, oci: Oci) -> None:
    await cloud.create()
    body = {"location": "westeurope", "properties": {"regionEndpointEnabled": False}}
    answer = await cloud.call("PUT", "registries/registry1/replications/europe", body)
    assert answer.status_code == 201
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    link = answer.headers["azure-asyncoperation"]
    assert "/replications/europe/operationStatuses/replications-" in link
    await cloud.settled()
    assert (await cloud.client.get(link)).json() == {"status": "Succeeded"}
    found = (await cloud.call("GET", "registries/registry1/replications/europe")).json()
    assert found["properties"]["status"]["displayStatus"] == "Ready"
    home = await cloud.call("PUT", "registries/registry1/replications/home1", {"location": "westus"})
    assert oci.refusal(home) == (409, "ReplicationInHomeRegion")
    changed = await cloud.call(
        "PATCH", "registries/registry1/replications/europe", {"properties": {"regionEndpointEnabled": True}}
    )
    assert changed.json()["properties"]["regionEndpointEnabled"] is True
    gone = await cloud.call("DELETE", "registries/registry1/replications/europe")
    assert gone.status_code == 202
    await cloud.settled()
    assert (await cloud.call("GET", "registries/registry1/replications")).json() == {"value": []}
    await cloud.create("standard2", sku="Standard")
    refused = await cloud.call("PUT", "registries/standard2/replications/europe", body)
    assert oci.refusal(refused) == (400, "SkuNotSupported")


@pytest.mark.parametrize("kind", ["webhooks", "scopeMaps", "tokens", "agentPools", "cacheRules", "taskRuns"])
async def test_what_is_not_emulated_says_so_with_the_way_out(cloud: Cloud, oci: Oci, kind: str) -> None:
    await cloud.create()
    answer = await cloud.call("PUT", f"registries/registry1/{kind}/one", {"properties": {}})
    assert oci.refusal(answer) == (501, "NotImplemented")
    assert "is not emulated. " in answer.json()["error"]["message"]
    assert (await cloud.call("GET", f"registries/registry1/{kind}")).json() == {"value": []}
    assert oci.refusal(await cloud.call("PATCH", f"registries/registry1/{kind}/one", {})) == (404, "ResourceNotFound")
    assert (await cloud.call("DELETE", f"registries/registry1/{kind}/one")).status_code == 204


async def test_the_retention_policy_removes_what_has_no_tag(cloud: Cloud, oci: Oci) -> None:
    await cloud.create(adminUserEnabled=True, policies={"retentionPolicy": {"days": 2, "status": "enabled"}})
    async with await cloud.signed_in() as client:
        old = await oci.push(client, "hello", "", b"old")
        await oci.push(client, "hello", "kept", b"tagged")
        await cloud.clock.advance(24 * 3600)
        young = await oci.push(client, "hello", "", b"young")
        await cloud.clock.advance(24 * 3600 + 3600)
        assert (await client.get(f"/v2/hello/manifests/{old}")).status_code == 404
        assert (await client.get(f"/v2/hello/manifests/{young}")).status_code == 200
        assert (await client.get("/v2/hello/tags/list")).json()["tags"] == ["kept"]
