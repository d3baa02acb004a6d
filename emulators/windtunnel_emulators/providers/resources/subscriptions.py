"""Subscriptions, tenants and locations over HTTP: one of each of the first two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.locations import Region, regions
from windtunnel_emulators.arm.responses import Answer
from windtunnel_emulators.providers.resources.tags import subscription_tags

if TYPE_CHECKING:
    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import Call
    from windtunnel_emulators.jsontypes import Json, JsonObject


def get(kernel: Kernel, call: Call) -> Answer:
    """Read the subscription."""
    return Answer(status=200, body=_shown(kernel))


def list_all(kernel: Kernel, call: Call) -> Answer:
    """The subscriptions that the caller may use."""
    return Answer(status=200, body={"value": [_shown(kernel)], "count": {"type": "Total", "value": 1}})


def tenants(kernel: Kernel, call: Call) -> Answer:
    """The tenants that the caller belongs to."""
    directory = kernel.directory
    tenant: JsonObject = {
        "id": f"/tenants/{directory.tenant}",
        "tenantId": directory.tenant,
        "tenantCategory": "Home",
        "tenantType": "AAD",
        "displayName": directory.name,
        "defaultDomain": directory.domain,
        "domains": [directory.domain],
    }
    return Answer(status=200, body={"value": [tenant]})


def locations(kernel: Kernel, call: Call) -> Answer:
    """Azure's public regions."""
    value: list[Json] = [_region(kernel, region) for region in regions().values()]
    return Answer(status=200, body={"value": value})


def _shown(kernel: Kernel) -> JsonObject:
    id = kernel.subscription
    return {
        "id": f"/subscriptions/{id}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "tags": {**subscription_tags(kernel)} or None,
        "subscriptionId": id,
        "tenantId": kernel.directory.tenant,
        "displayName": "Windtunnel",
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def _region(kernel: Kernel, region: Region) -> JsonObject:
    prefix = f"/subscriptions/{kernel.subscription}/locations/"
    metadata: JsonObject = {
        "regionType": "Physical",
        "regionCategory": "Recommended",
        "geography": region.geography,
        "geographyGroup": region.geography_group,
        "longitude": region.longitude,
        "latitude": region.latitude,
        "physicalLocation": region.place,
        "pairedRegion": [{"name": region.paired, "id": prefix + region.paired}] if region.paired else [],
    }
    return {
        "id": prefix + region.name,
        "name": region.name,
        "type": "Region",
        "displayName": region.display_name,
        "regionalDisplayName": region.regional_display_name,
        "metadata": metadata,
    }
