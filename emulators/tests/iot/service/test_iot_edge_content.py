"""``applyConfigurationContent``: whose twins it sets, whom it makes, and what it refuses whole."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from iot_manifests import AGENT, HUB, manifest
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.manifests.reading import parse_agent
from windtunnel_emulators.iot.mqtt.packets import Publish, SubAck

if TYPE_CHECKING:
    from iot_api import Api

APPLY = "/devices/edge/applyConfigurationContent"


async def desired(api: Api, module: str) -> Any:
    found = (await api("GET", f"/twins/edge/modules/{module}"))["properties"]["desired"]
    return {name: value for name, value in found.items() if name not in ("$metadata", "$version")}


@pytest.fixture(autouse=True)
async def edge(api: Api) -> None:
    await api("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}})


async def test_a_manifest_sets_twins_and_makes_modules(api: Api) -> None:
    assert await api("POST", APPLY, manifest(score={"properties.desired": {"limit": 3}}), status=204) is None
    assert await desired(api, "$edgeAgent") == AGENT
    assert await desired(api, "$edgeHub") == HUB
    assert await desired(api, "score") == {"limit": 3}
    modules = await api("GET", "/devices/edge/modules")
    assert [(one["moduleId"], one["managedBy"]) for one in modules] == [
        ("$edgeAgent", "iotEdge"),
        ("$edgeHub", "iotEdge"),
        ("score", "IotEdge"),
    ]
    twin = await api("GET", "/twins/edge/modules/$edgeAgent")
    assert parse_agent(twin["properties"]["desired"]).version == twin["properties"]["desired"]["$version"] == 2


async def test_the_same_again_changes_no_version(api: Api) -> None:
    await api("POST", APPLY, manifest(), status=204)
    before = await api("GET", "/twins/edge/modules/$edgeAgent")
    await api("POST", APPLY, manifest(), status=204)
    assert await api("GET", "/twins/edge/modules/$edgeAgent") == before


async def test_paths_set_what_they_name(api: Api) -> None:
    await api("POST", APPLY, manifest(score={"properties.desired": {"a": {"b": 1, "c": 2}, "d": 3}}), status=204)
    part = {"score": {"properties.desired.a.b": {"new": True}}, "$edgeHub": {"properties.desired.routes.r2": "FROM /x"}}
    await api("POST", APPLY, {"modulesContent": part}, status=204)
    assert await desired(api, "score") == {"a": {"b": {"new": True}, "c": 2}, "d": 3}
    assert set((await desired(api, "$edgeHub"))["routes"]) == {"up", "r2"}
    assert await desired(api, "$edgeAgent") == AGENT


async def test_a_connected_module_is_told_what_has_changed(api: Api) -> None:
    await api("POST", APPLY, manifest(score={"properties.desired": {"keep": 1, "drop": 2}}), status=204)
    peer = await api.place.connected("edge", "score", key=api.place.hub.identities.keys(Who("edge", "score")).primary)
    peer.subscribe("$iothub/twin/PATCH/properties/desired/#")
    await peer.until(SubAck)
    await api("POST", APPLY, manifest(score={"properties.desired": {"keep": 1, "new": 3}}), status=204)
    told = await peer.until(Publish)
    assert told.topic == "$iothub/twin/PATCH/properties/desired/?$version=3"
    assert told.payload == b'{"drop":null,"keep":1,"new":3,"$version":3}'


async def test_who_is_no_edge_device_has_no_modules_set(api: Api) -> None:
    await api("PUT", "/devices/plain", {})
    assert await api.refused("POST", "/devices/plain/applyConfigurationContent", manifest()) == (400, "ArgumentInvalid")
    assert await api.refused("POST", "/devices/none/applyConfigurationContent", manifest()) == (404, "DeviceNotFound")


def _without_hub() -> dict[str, Any]:
    agent = copy.deepcopy(AGENT)
    del agent["systemModules"]["edgeHub"]
    return manifest(**{"$edgeAgent": {"properties.desired": agent}})


def _too_large() -> dict[str, Any]:
    return manifest(score={"properties.desired": {f"p{number}": "x" * 4000 for number in range(9)}})


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({}, 400, "modulesContent: is not an object"),
        ({"modulesContent": []}, 400, "modulesContent: is not an object"),
        (_without_hub(), 400, "$edgeAgent.properties.desired.systemModules: 'edgeHub' is a required property"),
        (manifest(score={"properties": {}}), 400, "score.properties: is neither properties.desired nor a path"),
        (manifest(score={"properties.desired": {"a b": 1}}), 400, "score.properties.desired"),
        (manifest(score={"properties.desired.a": {"$b": 1}}), 400, "score.properties.desired"),
        (manifest(score={"properties.desired": {"a": "x" * 4097}}), 400, "score.properties.desired.a"),
        (_too_large(), 413, "score.properties.desired takes"),
        (manifest(**{"$other": {}}), 400, "is no module's id"),
        (manifest(**{"a/b": {}}), 400, "is no module's id"),
        (manifest(**{f"m{number}": {} for number in range(49)}), 403, "50 modules"),
        ({"modulesContent": {"$edgeHub": {"properties.desired.routes.r": "FROM /*"}}}, 400, "'schemaVersion'"),
    ],
)
async def test_a_manifest_is_taken_whole_or_not_at_all(api: Api, body: Any, status: int, told: str) -> None:
    answer = await api.client.post(APPLY, json=body)
    assert answer.status_code == status, answer.text
    assert told in answer.json()["Message"]
    assert await desired(api, "$edgeAgent") == {}
    assert [one["moduleId"] for one in await api("GET", "/devices/edge/modules")] == ["$edgeAgent", "$edgeHub"]
