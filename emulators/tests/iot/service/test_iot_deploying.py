"""Automatic configurations: whom they target, which applies, how layers are merged, what a restart takes up again."""

from __future__ import annotations

import asyncio
from random import Random  # noqa: TC003 (Hypothesis reads it)
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_api import Api
from iot_manifests import AGENT, HUB, MODULE, layer, manifest
from iot_place import Place
from windtunnel_emulators.iot.hub.changes import Change

OTHER = {**MODULE, "settings": {"image": "localhost:5000/other:2"}}


async def deploy(
    api: Api, id: str, content: Any, *, priority: int = 0, condition: str = "tags.env = 'lab'", **more: Any
) -> None:
    sent = {"content": content, "priority": priority, "targetCondition": condition, **more}
    await api("PUT", f"/configurations/{id}", sent)


async def tag(api: Api, device: str, **tags: Any) -> None:
    await api("PATCH", f"/twins/{device}", {"tags": tags})


async def desired(api: Api, path: str) -> Any:
    found = (await api("GET", f"/twins/{path}"))["properties"]["desired"]
    return {name: value for name, value in found.items() if name not in ("$metadata", "$version")}


async def modules(api: Api, device: str = "edge") -> Any:
    """The images of what an edge device shall run."""
    found = (await desired(api, f"{device}/modules/$edgeAgent")).get("modules", {})
    return {name: one["settings"]["image"].rpartition("/")[2] for name, one in found.items()}


async def statuses(api: Api, path: str = "edge/modules/$edgeAgent") -> dict[str, str]:
    found = (await api("GET", f"/twins/{path}")).get("configurations", {})
    return {id: one["status"] for id, one in found.items()}


async def metrics(api: Api, id: str) -> list[int]:
    return [*(await api("GET", f"/configurations/{id}"))["systemMetrics"]["results"].values()]


@pytest.fixture
async def edge(api: Api) -> None:
    await api("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}})
    await tag(api, "edge", env="lab")


async def test_a_device_is_given_what_is_meant_for_it_and_reports(api: Api, edge: None) -> None:
    await deploy(api, "base", manifest(score={"properties.desired": {"limit": 1}}))
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    assert await desired(api, "edge/modules/$edgeHub") == HUB
    assert await desired(api, "edge/modules/score") == {"limit": 1}
    assert await statuses(api) == {"base": "Applied"}
    assert await metrics(api, "base") == [1, 1, 0, 0]
    version = (await api("GET", "/twins/edge/modules/$edgeAgent"))["properties"]["desired"]["$version"]
    who = api.place.hub.identities.each()
    agent = next(one.who for one in who if one.module == "$edgeAgent")
    for code, expected in ((200, [1, 1, 1, 0]), (500, [1, 1, 0, 1])):
        api.place.hub.report(agent, {"lastDesiredVersion": version, "lastDesiredStatus": {"code": code}})
        assert await metrics(api, "base") == expected


async def test_only_edge_devices_that_fulfil_the_condition_are_targeted(api: Api, edge: None) -> None:
    await api("PUT", "/devices/plain", {})
    await api("PUT", "/devices/other", {"capabilities": {"iotEdge": True}})
    await tag(api, "plain", env="lab")
    await deploy(api, "base", manifest())
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    assert (await modules(api, "other"), await metrics(api, "base")) == ({}, [1, 1, 0, 0])
    await tag(api, "other", env="lab")
    await api.eventually(lambda: modules(api, "other"), {"score": "score:1"})
    await api("PUT", "/devices/late", {"capabilities": {"iotEdge": True}})
    await api("PATCH", "/twins/late", {"tags": {"env": "lab"}})
    await api.eventually(lambda: modules(api, "late"), {"score": "score:1"})
    assert await statuses(api, "plain") == {}


async def test_the_highest_priority_applies_then_the_next_and_at_last_what_was_stays(api: Api, edge: None) -> None:
    await deploy(api, "low", manifest(), priority=1)
    await deploy(
        api,
        "high",
        manifest(**{"$edgeAgent": {"properties.desired": {**AGENT, "modules": {"other": OTHER}}}}),
        priority=2,
    )
    await api.eventually(lambda: modules(api), {"other": "other:2"})
    assert await statuses(api) == {"low": "Targeted", "high": "Applied"}
    await api("PUT", "/configurations/low", {"priority": 3}, etag="*")
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    await api("PUT", "/configurations/low", {"targetCondition": "tags.env = 'none'"}, etag="*")
    await api.eventually(lambda: modules(api), {"other": "other:2"})
    await api("DELETE", "/configurations/high", etag="*", status=204)
    await api.eventually(lambda: statuses(api), {})
    assert await modules(api) == {"other": "other:2"}


async def test_of_two_alike_the_newer_applies(api: Api, place: Place, edge: None) -> None:
    await deploy(api, "z", manifest())
    await place.clock.advance(1)
    await deploy(api, "a", manifest(**{"$edgeAgent": {"properties.desired": {**AGENT, "modules": {"other": OTHER}}}}))
    await api.eventually(lambda: statuses(api), {"z": "Targeted", "a": "Applied"})


async def test_layers_are_put_over_the_base_the_lowest_first(api: Api, edge: None) -> None:
    route = {"route": "FROM /messages/modules/m/* INTO $upstream", "priority": 1}
    await deploy(api, "base", manifest(score={"properties.desired": {"a": 1, "b": {"c": 1}}}), priority=5)
    await deploy(api, "below", layer(never=OTHER), priority=1)
    two = layer(m=OTHER, score=OTHER)
    two["modulesContent"] |= {
        "$edgeHub": {"properties.desired.routes.m": route},
        "score": {"properties.desired.b.d": 2},
    }
    await deploy(api, "two", two, priority=6)
    await deploy(api, "three", layer(m=MODULE), priority=7)
    quiet = {"modulesContent": {"$edgeAgent": {}, "m": {"properties.desired": {"x": 1}}}}
    await deploy(api, "quiet", quiet, priority=8)
    await api.eventually(lambda: modules(api), {"score": "other:2", "m": "score:1"})
    assert (await desired(api, "edge/modules/$edgeHub"))["routes"] == {**HUB["routes"], "m": route}
    assert await desired(api, "edge/modules/score") == {"a": 1, "b": {"c": 1, "d": 2}}
    assert await desired(api, "edge/modules/m") == {"x": 1}
    expected = {"base": "Applied", "below": "Targeted", "two": "Applied", "three": "Applied", "quiet": "Targeted"}
    assert await statuses(api) == expected
    await api("DELETE", "/configurations/two", etag="*", status=204)
    await api.eventually(lambda: modules(api), {"score": "score:1", "m": "score:1"})
    await api("DELETE", "/configurations/base", etag="*", status=204)
    await api.eventually(lambda: statuses(api), {"below": "Targeted", "three": "Targeted", "quiet": "Targeted"})


async def test_what_is_set_by_hand_is_overwritten(api: Api, edge: None) -> None:
    await deploy(api, "base", manifest(score={"properties.desired": {"limit": 1}}))
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    mine = manifest(score={"properties.desired": {"limit": 9}})
    mine["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"] = {"mine": OTHER}
    await api("POST", "/devices/edge/applyConfigurationContent", mine, status=204)
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    assert await desired(api, "edge/modules/score") == {"limit": 1}
    await api("PATCH", "/twins/edge/modules/score", {"properties": {"desired": {"limit": 5}}})
    await tag(api, "edge", more=1)
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    assert await desired(api, "edge/modules/score") == {"limit": 5}


async def test_what_does_not_fit_together_is_targeted_and_nothing_changes(api: Api, edge: None) -> None:
    large = {f"m{number}": OTHER for number in range(49)}
    await deploy(api, "base", manifest())
    await api.eventually(lambda: statuses(api), {"base": "Applied"})
    many = layer(**large)
    many["modulesContent"] |= {name: {"properties.desired": {}} for name in large}
    await deploy(api, "many", many, priority=1)
    await api.eventually(lambda: statuses(api), {"base": "Targeted", "many": "Targeted"})
    assert await modules(api) == {"score": "score:1"}
    await api("DELETE", "/configurations/many", etag="*", status=204)
    await api.eventually(lambda: statuses(api), {"base": "Applied"})


async def test_a_device_that_is_made_anew_is_given_all_again(api: Api, edge: None) -> None:
    await deploy(api, "base", manifest(), condition="*")
    await api.eventually(lambda: modules(api), {"score": "score:1"})
    assert ("edge", "") in api.place.hub.configurations.deployed()
    await api("DELETE", "/devices/edge", etag="*", status=204)
    assert api.place.hub.configurations.deployed() == {}
    await api("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}})
    await api.eventually(lambda: modules(api), {"score": "score:1"})


async def test_twins_of_devices_and_modules_are_set(api: Api) -> None:
    for device in ("d1", "d2"):
        await api("PUT", f"/devices/{device}", {})
        await api("PUT", f"/devices/{device}/modules/m", {})
    await tag(api, "d1", env="lab")
    await api("PATCH", "/twins/d1", {"properties": {"desired": {"mine": 1}}})
    await deploy(api, "rate", {"deviceContent": {"properties.desired.rate": {"s": 5}}})
    content = {"moduleContent": {"properties.desired": {"on": True}}}
    await deploy(api, "whole", content, condition="FROM devices.modules", priority=1)
    part = {"moduleContent": {"properties.desired.on": False}}
    await deploy(api, "part", part, condition="FROM devices.modules WHERE deviceId = 'd2'", priority=2)
    await api.eventually(lambda: desired(api, "d1"), {"mine": 1, "rate": {"s": 5}})
    assert (await statuses(api, "d1"), await statuses(api, "d2")) == ({"rate": "Applied"}, {})
    assert (await desired(api, "d1/modules/m"), await desired(api, "d2/modules/m")) == ({"on": True}, {"on": False})
    assert await statuses(api, "d2/modules/m") == {"whole": "Targeted", "part": "Applied"}
    assert [await metrics(api, id) for id in ("rate", "whole", "part")] == [[1, 1], [2, 1], [1, 1]]


async def test_what_changes_while_devices_are_given_theirs_is_not_missed(api: Api) -> None:
    """A hundred devices take several slices; between two of them a layer is made, and a device is tagged."""
    names = [f"d{number:03}" for number in range(100)]
    entries = [{"id": name, "importMode": "create", "capabilities": {"iotEdge": True}} for name in names]
    assert (await api("POST", "/devices", entries))["isSuccessful"]
    await deploy(api, "base", manifest(), condition="*")
    await tag(api, names[0], env="lab")
    await deploy(api, "over", layer(m=OTHER), priority=1)
    await tag(api, names[-1], env="lab")
    await api.eventually(lambda: modules(api, names[0]), {"score": "score:1", "m": "other:2"})
    await api.eventually(lambda: modules(api, names[-1]), {"score": "score:1", "m": "other:2"})
    assert await modules(api, names[1]) == {"score": "score:1"}
    assert await metrics(api, "base") == [100, 100, 0, 0]


async def test_what_was_taken_before_a_crash_is_applied_after_it(place: Place) -> None:
    """The hub ends between the answer and its work; its file is all that is left."""
    before = Api(place)
    async with before.client:
        await before("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}})
        sent = {"content": manifest(), "targetCondition": "*"}
        made = await before("PUT", "/configurations/base", sent)
        place.hub.changes.tell(Change.STOPPED)
        assert await modules(before) == {}
    await place.restart()
    after = Api(place)
    running = asyncio.create_task(place.hub.run())
    async with after.client:
        await after.eventually(lambda: modules(after), {"score": "score:1"})
        found = await after("GET", "/configurations/base")
        assert (found["etag"], found["createdTimeUtc"]) == (made["etag"], made["createdTimeUtc"])
        assert await statuses(after) == {"base": "Applied"}
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_applied_before_a_crash_is_not_given_again(place: Place) -> None:
    before = Api(place)
    async with before.client:
        await before("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}})
        sent = {"content": manifest(score={"properties.desired": {"limit": 1}}), "targetCondition": "*"}
        await before("PUT", "/configurations/base", sent)
        await before.eventually(lambda: modules(before), {"score": "score:1"})
        await before("PATCH", "/twins/edge/modules/score", {"properties": {"desired": {"limit": 5}}})
    await place.restart()
    after = Api(place)
    async with after.client:
        await after("PATCH", "/twins/edge", {"tags": {"a": 1}})
        await deploy(after, "marker", {"deviceContent": {}}, condition="*")
        await after.eventually(lambda: statuses(after, "edge"), {"marker": "Applied"})
        assert await desired(after, "edge/modules/score") == {"limit": 5}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    configurations=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
)
async def test_what_applies_does_not_depend_on_the_order_of_making(
    tmp_path_factory: pytest.TempPathFactory, configurations: list[tuple[int, bool]], order: Random
) -> None:
    """Different priorities, some of layers: the same images come out, whichever was made first."""
    wanted = dict(configurations)
    results: list[Any] = []
    for _ in range(2):
        made = list(wanted.items())
        order.shuffle(made)
        results.append(await _deployed(Place(folder=tmp_path_factory.mktemp("hub")), made))
    bases = [priority for priority, layered in wanted.items() if not layered]
    top = max(wanted)
    assert results[0] == results[1]
    assert results[0][0] == ({"m": f"{top}:{top}"} if bases else {})


async def _deployed(place: Place, made: list[tuple[int, bool]]) -> tuple[Any, Any]:
    """What an edge device shall run when these were made one after the other, and the statuses of all."""
    api = Api(place)
    async with api.client:
        await api("PUT", "/devices/edge", {"capabilities": {"iotEdge": True}})
        for priority, layered in made:
            one = {**MODULE, "settings": {"image": f"localhost:5000/{priority}:{priority}"}}
            agent = {"$edgeAgent": {"properties.desired": {**AGENT, "modules": {"m": one}}}}
            content = layer(m=one) if layered else manifest(**agent)
            await deploy(api, f"c{priority}", content, priority=priority, condition="*")
        await deploy(api, "marker", {"deviceContent": {}}, condition="*")
        await api.eventually(lambda: statuses(api, "edge"), {"marker": "Applied"})
        found = await modules(api), await statuses(api)
    await place.stop()
    return found
