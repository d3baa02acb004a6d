"""Signing in with ``az``, and what belongs to the subscription: groups, resources, providers, locations, tags."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.azure_cli.conftest import Az

pytestmark = pytest.mark.azure_cli


def test_one_is_logged_in_as_the_service_principal(az: Az) -> None:
    ready = json.loads((az.state / "ready.json").read_text("utf-8"))
    account = az.json("account", "show")
    assert account["id"] == ready["environment"]["AZURE_SUBSCRIPTION_ID"]
    assert account["tenantId"] == ready["environment"]["AZURE_TENANT_ID"]
    assert account["user"] == {"name": ready["environment"]["AZURE_CLIENT_ID"], "type": "servicePrincipal"}
    assert account["environmentName"] == "Windtunnel"
    token = az.json("account", "get-access-token")
    assert token["subscription"] == account["id"]
    assert token["accessToken"].count(".") == 2


def test_a_wrong_secret_is_refused(az: Az, tmp_path_factory: pytest.TempPathFactory) -> None:
    ready = json.loads((az.state / "ready.json").read_text("utf-8"))["environment"]
    who = ("--username", "11111111-1111-1111-1111-111111111111", "--tenant", ready["AZURE_TENANT_ID"])
    unknown = az.refused(1, "login", "--service-principal", *who, "--password", "wrong")
    assert "AADSTS700016" in unknown
    # az keeps a token by the application's id, so that only another configuration asks again.
    fresh = tmp_path_factory.mktemp("fresh")
    other = type(az)(state=fresh, environment=az.environment)
    (fresh / "ready.json").write_bytes((az.state / "ready.json").read_bytes())
    who = ("--username", ready["AZURE_CLIENT_ID"], "--tenant", ready["AZURE_TENANT_ID"])
    wrong = other.refused(1, "login", "--service-principal", *who, "--password", "wrong")
    assert "AADSTS7000215" in wrong
    assert other.json("account", "show")["tenantId"] == ready["AZURE_TENANT_ID"], "the right one still is accepted"


def test_the_life_of_a_resource_group(az: Az) -> None:
    made = az.json("group", "create", "--name", "life", "--location", "West US", "--tags", "owner=ann", "empty=")
    assert made["id"].endswith("/resourceGroups/life")
    assert (made["location"], made["tags"]) == ("westus", {"owner": "ann", "empty": ""})
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert az.json("group", "show", "--name", "LIFE") == made
    assert "life" in [each["name"] for each in az.json("group", "list")]
    assert [each["name"] for each in az.json("group", "list", "--tag", "owner=ann")] == ["life"]
    assert az.json("group", "update", "--name", "life", "--set", "tags.more=1")["tags"]["more"] == "1"
    az.said("group", "delete", "--name", "life", "--yes")
    assert az.json("group", "exists", "--name", "life") is False
    assert "ResourceGroupNotFound" in az.refused(3, "group", "show", "--name", "life")


def test_a_group_is_deleted_while_one_does_not_wait(az: Az) -> None:
    az.said("group", "create", "--name", "later", "--location", "westus")
    az.said("group", "delete", "--name", "later", "--yes", "--no-wait")
    az.said("group", "wait", "--name", "later", "--deleted", "--interval", "1", "--timeout", "20")
    assert az.json("group", "exists", "--name", "later") is False


def test_a_resource_is_shown_tagged_and_deleted_by_its_id(az: Az, group: str) -> None:
    kind = "Microsoft.ContainerRegistry/registries"
    body = json.dumps({"location": "westus", "sku": {"name": "Basic"}, "properties": {}})
    named = ("--resource-group", group, "--name", "generic1", "--resource-type", kind)
    made = az.json("resource", "create", *named, "--is-full-object", "--properties", body)
    assert made["properties"]["provisioningState"] == "Succeeded"
    shown = az.json("resource", "show", "--ids", made["id"].upper())
    assert (shown["name"], shown["type"]) == ("generic1", kind)
    assert [each["name"] for each in az.json("resource", "list", "--name", "generic1")] == ["generic1"]
    tagged = az.json("tag", "create", "--resource-id", made["id"], "--tags", "stage=test", "none=")
    assert tagged["properties"]["tags"] == {"stage": "test", "none": ""}
    merged = az.json("tag", "update", "--resource-id", made["id"], "--operation", "Merge", "--tags", "more=1")
    assert merged["properties"]["tags"] == {"stage": "test", "none": "", "more": "1"}
    assert [each["name"] for each in az.json("resource", "list", "--tag", "stage=test")] == ["generic1"]
    az.said("resource", "delete", "--ids", made["id"])
    assert az.json("resource", "list", "--name", "generic1") == []
    assert "ResourceNotFound" in az.refused(3, "resource", "show", "--ids", made["id"])


def test_providers_and_locations_are_told(az: Az) -> None:
    provider = az.json("provider", "show", "--namespace", "Microsoft.ContainerInstance")
    assert provider["registrationState"] == "Registered"
    types = {each["resourceType"]: each for each in provider["resourceTypes"]}
    assert "2023-05-01" in types["containerGroups"]["apiVersions"]
    assert "West US" in types["containerGroups"]["locations"]
    listed = az.json("provider", "list", "--query", "[].namespace")
    assert {"Microsoft.ContainerInstance", "Microsoft.ContainerRegistry", "Microsoft.Resources"} <= set(listed)
    locations = {each["name"]: each["displayName"] for each in az.json("account", "list-locations")}
    assert locations["westeurope"] == "West Europe"


def test_what_is_not_emulated_says_so(az: Az, group: str, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text('{"$schema": "x", "contentVersion": "1.0.0.0", "resources": []}', "utf-8")
    deployment = ("deployment", "group", "create", "--resource-group", group, "--template-file", str(template))
    assert "Deploying a template is not emulated" in az.refused(1, *deployment)
    assert "InvalidResourceNamespace" in az.refused(3, "role", "assignment", "list")
    assert "Microsoft Graph is not emulated" in az.refused(1, "ad", "sp", "list")
    assert "NotImplemented" in az.refused(1, "group", "export", "--name", group)


def test_any_request_can_be_made_by_hand(az: Az, group: str) -> None:
    path = f"/subscriptions/{{subscriptionId}}//RESOURCEGROUPS/{group.upper()}?api-version=2022-09-01"
    shown = az.json("rest", "--url", path)
    assert (shown["name"], shown["location"]) == (group, "westus")
    assert "InvalidApiVersionParameter" in az.refused(1, "rest", "--url", path.replace("2022-09-01", "1999-01-01"))
    assert "MissingApiVersionParameter" in az.refused(1, "rest", "--url", path.partition("?")[0])
