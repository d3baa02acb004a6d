"""Cloud metadata: what a client that knows only the resource manager's address asks first.

One document in the two shapes that clients expect: a list of clouds at api-versions before 2022-09-01 (az's
``ARM_CLOUD_METADATA_URL``), one cloud from then on (``az cloud register``). Every link starts with what the client
called the front door by, so it works behind a proxy and under another name.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from windtunnel_emulators.arm.errors import ArmError

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

CLOUD = "Windtunnel"

_OBJECT_SINCE = date(2022, 9, 1)
_FIRST = date(2015, 1, 1)

_SUFFIXES = {
    "acrLoginServer": "azurecr.io",
    "storage": "core.windows.net",
    "keyVaultDns": "vault.azure.net",
    "sqlServerHostname": "database.windows.net",
    "mhsmDns": "managedhsm.azure.net",
    "mysqlServerEndpoint": "mysql.database.azure.com",
    "postgresqlServerEndpoint": "postgres.database.azure.com",
    "mariadbServerEndpoint": "mariadb.database.azure.com",
    "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
    "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
    "storageSyncEndpointSuffix": "afs.azure.net",
    "synapseAnalytics": "dev.azuresynapse.net",
    "attestationEndpoint": "attest.azure.net",
    "azureFrontDoorEndpointSuffix": "azurefd.net",
}


def endpoints(api_version: str | None, base_url: str) -> Json:
    """The answer to ``/metadata/endpoints``. Raises ``ArmError`` without a published api-version's form."""
    if not api_version:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    try:
        day = date.fromisoformat(api_version.removesuffix("-preview"))
    except ValueError:
        day = date.min
    if day < _FIRST:
        raise ArmError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{api_version}' is invalid. The supported versions are"
            " '2022-09-01,2020-06-01,2019-05-01'.",
        )
    cloud = _cloud(base_url)
    return cloud if day >= _OBJECT_SINCE else [cloud]


def _cloud(base_url: str) -> JsonObject:
    here = f"{base_url}/"
    suffixes: JsonObject = dict(_SUFFIXES)
    return {
        "name": CLOUD,
        "portal": here,
        "authentication": {
            "loginEndpoint": login_endpoint(base_url),
            "audiences": [here, "https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": here,
        "graph": here,
        "graphAudience": here,
        "microsoftGraphResourceId": here,
        "gallery": here,
        "media": here,
        "batch": here,
        "sqlManagement": here,
        "activeDirectoryDataLake": here,
        "vmImageAliasDoc": f"{base_url}/aliases.json",
        "appInsightsResourceId": base_url,
        "appInsightsTelemetryChannelResourceId": base_url,
        "logAnalyticsResourceId": base_url,
        "attestationResourceId": base_url,
        "synapseAnalyticsResourceId": base_url,
        "ossrdbmsResourceId": base_url,
        "appServiceResourceId": base_url,
        "suffixes": suffixes,
    }


def login_endpoint(base_url: str) -> str:
    """Where to log in: here, except for a client that reaches us, by a proxy, under Azure's own name for ARM."""
    host = urlsplit(base_url).hostname or ""
    return "https://login.microsoftonline.com" if host == "management.azure.com" else base_url
