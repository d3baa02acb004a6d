"""A second PUT: what it may change, what it restarts, and what it may not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

PUBLIC = {"type": "Public", "ports": [{"port": 80}]}
SUBNET = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v/subnets/n"


async def test_everything_is_started_anew_and_the_address_stays(emulators: Emulators, body: Make) -> None:
    await emulators.created("other", body(ipAddress=PUBLIC))
    before = await emulators.created("g1", body(ipAddress=PUBLIC))
    await emulators.delete("other")
    await emulators.settled()
    (old,) = emulators.runtime.running
    changed = body(ipAddress={**PUBLIC, "dnsNameLabel": "label"})
    container = changed["properties"]["containers"][0]["properties"]
    container["image"], container["command"] = "run/2", ["new"]
    reply = await emulators.put("g1", changed)
    assert reply.status == 200
    assert "azure-asyncoperation" in reply.headers
    assert reply.body["properties"]["provisioningState"] == "Pending"
    assert reply.body["properties"]["ipAddress"]["ip"] == before.body["properties"]["ipAddress"]["ip"]
    await emulators.settled()
    (new,) = emulators.runtime.running
    assert not old.running
    assert new.spec.command == ("new",)
    shown = await emulators.get("g1")
    assert shown.body["properties"]["ipAddress"]["ip"] == before.body["properties"]["ipAddress"]["ip"]
    view = shown.body["properties"]["containers"][0]["properties"]["instanceView"]
    assert (view["restartCount"], view["currentState"]["state"]) == (0, "Running")


async def test_what_is_left_out_goes_back_to_its_default(emulators: Emulators, body: Make) -> None:
    asked: dict[str, Any] = {**body(dnsConfig={"nameServers": ["1.1.1.1"]}), "tags": {"a": "1"}}
    asked["properties"]["containers"][0]["properties"]["command"] = ["x"]
    await emulators.created("g1", asked)
    shown = await emulators.created("g1", body())
    assert "tags" not in shown.body
    assert "dnsConfig" not in shown.body["properties"]
    assert "command" not in shown.body["properties"]["containers"][0]["properties"]


def _cpu(asked: dict[str, Any]) -> None:
    asked["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = 2


def _memory(asked: dict[str, Any]) -> None:
    asked["properties"]["containers"][0]["properties"]["resources"]["requests"]["memoryInGB"] = 1


def _policy(asked: dict[str, Any]) -> None:
    asked["properties"]["restartPolicy"] = "Never"


def _network(asked: dict[str, Any]) -> None:
    asked["properties"]["subnetIds"] = [{"id": SUBNET}]


def _private(asked: dict[str, Any]) -> None:
    asked["properties"]["ipAddress"] = {**PUBLIC, "type": "Private"}
    asked["properties"]["subnetIds"] = [{"id": SUBNET}]


def _priority(asked: dict[str, Any]) -> None:
    asked["properties"]["priority"] = "Spot"


def _zones(asked: dict[str, Any]) -> None:
    asked["zones"] = ["2"]


@pytest.mark.parametrize("change", [_cpu, _memory, _policy, _network, _private, _priority, _zones])
async def test_what_may_not_change(emulators: Emulators, body: Make, change: Callable[[Any], None]) -> None:
    before = await emulators.created("g1", body())
    asked = body()
    change(asked)
    reply = await emulators.put("g1", asked)
    assert (reply.status, reply.code) == (400, "InvalidContainerGroupUpdate")
    assert reply.message.startswith("The updates on container group 'g1' are invalid. If you are going to update the ")
    assert (await emulators.get("g1")).body == before.body
    assert len(emulators.runtime.containers) == 1


async def test_a_group_that_has_ended_or_was_stopped_is_deployed_anew(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(image="exit/0", restartPolicy="Never"))
    await emulators.eventually(lambda: not emulators.runtime.running)
    larger = body(restartPolicy="Always")
    _cpu(larger)
    assert (await emulators.put("g1", larger)).status == 200
    await emulators.settled()
    await emulators.post("g1", "stop")
    assert (await emulators.put("g1", body())).status == 200
    await emulators.settled()
    assert (await emulators.get("g1")).body["properties"]["instanceView"]["state"] == "Running"


async def test_another_region_is_refused(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await emulators.put("g1", {**body(), "location": "eastus"})
    assert (reply.status, reply.code) == (409, "InvalidResourceLocation")


async def test_ids_are_compared_without_case(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    path = (
        emulators.path("g1")
        .replace("resourceGroups/rg", "RESOURCEGROUPS/RG")
        .replace("containerGroups/g1", "CONTAINERGROUPS/G1")
    )
    shown = await emulators.request("GET", path)
    assert shown.body["id"] == emulators.path("g1")
    assert (await emulators.request("PUT", path, body())).status == 200
