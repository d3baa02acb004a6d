"""Cloud metadata, in the shapes that az and the SDKs read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from tests.access.conftest import Client

BASE = "https://localhost:4580"

READ_BY_AZ = (
    "name portal resourceManager graphAudience graph gallery media batch activeDirectoryDataLake sqlManagement"
    " vmImageAliasDoc microsoftGraphResourceId appInsightsResourceId logAnalyticsResourceId attestationResourceId"
    " synapseAnalyticsResourceId ossrdbmsResourceId appServiceResourceId"
)
SUFFIXES = (
    "acrLoginServer storage keyVaultDns sqlServerHostname mhsmDns mysqlServerEndpoint postgresqlServerEndpoint"
    " mariadbServerEndpoint azureDataLakeStoreFileSystem azureDataLakeAnalyticsCatalogAndJob storageSyncEndpointSuffix"
    " synapseAnalytics attestationEndpoint"
)


@pytest.mark.parametrize("version", ["2022-09-01", "2023-12-01", "2025-01-01-preview"])
async def test_one_cloud_at_newer_versions(client: Client, version: str) -> None:
    cloud = (await client.get(f"//metadata/endpoints?api-version={version}")).json
    assert set(READ_BY_AZ.split()) <= set(cloud)
    assert set(SUFFIXES.split()) <= set(cloud["suffixes"])
    assert cloud["resourceManager"] == f"{BASE}/"
    assert cloud["authentication"]["loginEndpoint"] == BASE
    assert cloud["authentication"]["audiences"][0] == f"{BASE}/"
    assert cloud["authentication"]["identityProvider"] == "AAD"


@pytest.mark.parametrize("version", ["2019-05-01", "2020-06-01"])
async def test_a_list_of_clouds_at_older_versions(client: Client, version: str) -> None:
    clouds = msgspec.json.decode((await client.get(f"/metadata/endpoints?api-version={version}")).body)
    assert [cloud["name"] for cloud in clouds] == ["Windtunnel"]


async def test_links_begin_with_what_the_client_called_us(client: Client) -> None:
    cloud = (await client.get("/metadata/endpoints?API-VERSION=2022-09-01", host="127.0.0.1:1")).json
    assert cloud["resourceManager"] == "https://127.0.0.1:1/"
    proxied = (await client.get("/metadata/endpoints?api-version=2022-09-01", host="management.azure.com")).json
    assert proxied["resourceManager"] == "https://management.azure.com/"
    assert proxied["authentication"]["loginEndpoint"] == "https://login.microsoftonline.com"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "MissingApiVersionParameter"),
        ("?api-version=", "MissingApiVersionParameter"),
        ("?api-version=latest", "InvalidApiVersionParameter"),
        ("?api-version=2014-01-01", "InvalidApiVersionParameter"),
        ("?api-version=2022-13-01", "InvalidApiVersionParameter"),
    ],
)
async def test_api_versions_are_required_and_checked(client: Client, query: str, code: str) -> None:
    reply = await client.get(f"/metadata/endpoints{query}")
    assert (reply.status, reply.json["error"]["code"]) == (400, code)
