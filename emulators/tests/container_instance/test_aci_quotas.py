"""Quotas and rates, and what a location says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.providers.container_instance.quotas import OVERRIDES, Entry, Quotas
from windtunnel_emulators.providers.container_instance.rates import Rate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

LOCATIONS = "/subscriptions/22222222-2222-2222-2222-222222222222/providers/Microsoft.ContainerInstance/locations"


def limit(emulators: Emulators, **limits: int) -> None:
    lines = "\n".join(f"{name} = {value}" for name, value in limits.items())
    (emulators.folder / OVERRIDES).write_text(f"[limits]\n{lines}\n")


async def test_a_quota_of_groups_is_per_region(emulators: Emulators, body: Make) -> None:
    limit(emulators, ContainerGroups=2)
    await emulators.created("a", body(image="exit/0", restartPolicy="Never"))
    await emulators.created("b", body())
    reply = await emulators.put("c", body())
    assert (reply.status, reply.code) == (400, "ContainerGroupQuotaReached")
    assert reply.message == (
        "Resource type 'Microsoft.ContainerInstance/containerGroups' container group quota 'ContainerGroups' exceeded"
        " in region 'westus'. Limit: '2', Usage: '2' Requested: '1'."
    )
    assert (await emulators.get("c")).status == 404
    assert (await emulators.put("b", body())).status == 200
    assert (await emulators.put("c", {**body(), "location": "East US"})).status == 201
    await emulators.settled()
    await emulators.delete("a")
    assert (await emulators.put("d", body())).status == 201


async def test_a_quota_of_cores_counts_whole_cores(emulators: Emulators, body: Make) -> None:
    limit(emulators, StandardCores=3)
    large = body()
    large["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = 1.1
    assert (await emulators.put("a", large)).status == 201
    reply = await emulators.put("b", large)
    assert reply.code == "ContainerGroupQuotaReached"
    assert reply.message.endswith("'StandardCores' exceeded in region 'westus'. Limit: '3', Usage: '2' Requested: '2'.")
    assert (await emulators.put("b", body())).status == 201
    assert (await emulators.put("c", body(priority="Spot"))).status == 201


async def test_usages_say_what_is_used(emulators: Emulators, body: Make) -> None:
    await emulators.created("a", body())
    await emulators.created("b", body(priority="Spot"))
    reply = await emulators.request("GET", f"{LOCATIONS}/West US/usages")
    used = {entry["name"]["value"]: (entry["currentValue"], entry["limit"]) for entry in reply.body["value"]}
    assert used == {
        "ContainerGroups": (2, 100),
        "StandardCores": (1, 100),
        "StandardSpotCores": (1, 100),
        "DedicatedContainerGroups": (0, 100),
        "ConfidentialCores": (0, 100),
    }
    assert {entry["unit"] for entry in reply.body["value"]} == {"Count"}
    elsewhere = await emulators.request("GET", f"{LOCATIONS}/eastus/usages")
    assert {entry["currentValue"] for entry in elsewhere.body["value"]} == {0}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[limits", "cannot be used"),
        ("limits = 3", "'limits' is no table"),
        ("[limits]\nGroups = 3", "there is no quota 'Groups'"),
        ("[limits]\nContainerGroups = -1", "must be a whole number"),
        ("[limits]\nContainerGroups = true", "must be a whole number"),
    ],
)
async def test_overrides_that_cannot_be_used_are_refused_with_the_file(
    emulators: Emulators, body: Make, text: str, sentence: str
) -> None:
    path = emulators.folder / OVERRIDES
    path.write_text(text)
    reply = await emulators.put("a", body())
    assert (reply.status, reply.code) == (409, "InvalidQuotaOverride")
    assert str(path) in reply.message
    assert sentence in reply.message
    path.unlink()
    assert (await emulators.put("a", body())).status == 201


def test_overrides_replace_single_numbers(tmp_path: Path) -> None:
    (tmp_path / OVERRIDES).write_text("[limits]\nContainerGroups = 5000\n")
    assert dict(Quotas(tmp_path).limits) == {
        "ContainerGroups": 5000,
        "StandardCores": 100,
        "StandardSpotCores": 100,
        "DedicatedContainerGroups": 100,
        "ConfidentialCores": 100,
    }


def test_dedicated_groups_have_a_quota_of_their_own(tmp_path: Path) -> None:
    (tmp_path / OVERRIDES).write_text("[limits]\nDedicatedContainerGroups = 0\n")
    asked = Entry(key="k", subscription="s", location="westus", sku="Dedicated", spot=False, cores=1, fqdn=None)
    refusal = Quotas(tmp_path).refusal(asked, [])
    assert refusal is not None
    assert "'DedicatedContainerGroups'" in refusal.message


async def test_creations_are_limited_at_azures_pace() -> None:
    clock = ManualClock()
    rate = Rate(clock, Pace.parse("azure"))
    for number in range(100):
        headers = rate.take("s", "westus")
        assert headers["x-ms-ratelimit-remaining-subscription-resource-requests-pt5m"] == str(99 - number)
        assert headers["x-ms-ratelimit-remaining-subscription-resource-requests-pt1h"] == str(299 - number)
    with pytest.raises(ArmError) as refused:
        rate.take("s", "westus")
    assert (refused.value.status, refused.value.code) == (429, "TooManyRequests")
    assert refused.value.headers["Retry-After"] == "300"
    assert rate.take("s", "eastus")
    assert rate.take("s", "westus", refuse=False)
    await clock.advance(300)
    for _ in range(2):
        for _ in range(99):
            rate.take("s", "westus")
        await clock.advance(300)
    left = rate.take("s", "westus")["x-ms-ratelimit-remaining-subscription-resource-requests-pt1h"]
    for _ in range(int(left)):
        rate.take("s", "westus")
    with pytest.raises(ArmError, match="an hour"):
        rate.take("s", "westus")


async def test_creations_are_not_limited_at_a_fast_pace() -> None:
    rate = Rate(ManualClock(), Pace.parse("fast"))
    assert {
        rate.take("s", "westus")["x-ms-ratelimit-remaining-subscription-resource-requests-pt1h"] for _ in range(400)
    } == {"299"}


async def test_capabilities_of_a_location(emulators: Emulators) -> None:
    reply = await emulators.request("GET", f"{LOCATIONS}/westus2/capabilities")
    assert reply.body["value"][0] == {
        "resourceType": "containerGroups",
        "osType": "Linux",
        "location": "West US 2",
        "ipAddressType": "Public",
        "gpu": "None",
        "capabilities": {"maxMemoryInGB": 240.0, "maxCpu": 31.0, "maxGpuCount": 0},
    }
    assert (await emulators.request("GET", f"{LOCATIONS}/westus2/cachedImages")).body == {"value": []}
    for below in ("usages", "capabilities", "cachedImages"):
        unknown = await emulators.request("GET", f"{LOCATIONS}/mars/{below}")
        assert (unknown.status, unknown.code) == (400, "LocationNotAvailableForResourceType")


async def test_operations_are_listed_without_a_subscription(emulators: Emulators) -> None:
    reply = await emulators.request("GET", "/providers/Microsoft.ContainerInstance/operations")
    assert reply.status == 200
    assert "Microsoft.ContainerInstance/containerGroups/read" in {entry["name"] for entry in reply.body["value"]}
    assert all(
        set(entry["display"]) == {"provider", "resource", "operation", "description"} for entry in reply.body["value"]
    )
