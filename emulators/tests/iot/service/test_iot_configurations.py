"""``/configurations``: made, read, changed, removed; what is refused, and the queries of their metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from iot_manifests import AGENT, HUB, MODULE, layer, manifest

if TYPE_CHECKING:
    from iot_api import Api
    from iot_place import Place

DEVICE = {"deviceContent": {"properties.desired.rate": 5}}


def body(content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"content": content, "targetCondition": "tags.env = 'lab'", "priority": 10, **more}


async def test_a_configuration_is_read_as_it_was_made(api: Api) -> None:
    metrics = {"queries": {"all": "SELECT deviceId FROM devices"}}
    sent = body(manifest(), id="base", schemaVersion="2.0", labels={"team": "a"}, metrics=metrics)
    made = await api("PUT", "/configurations/base", sent)
    query = "select deviceId from devices.modules where moduleId = '$edgeAgent' and configurations.[[base]].status"
    reported = (
        f"{query} = 'Applied' and properties.desired.$version = properties.reported.lastDesiredVersion"
        " and properties.reported.lastDesiredStatus.code"
    )
    assert made == {
        **sent,
        "contentType": "assignment",
        "createdTimeUtc": made["createdTimeUtc"],
        "lastUpdatedTimeUtc": made["createdTimeUtc"],
        "etag": "MQ==",
        "metrics": {**metrics, "results": {"all": 0}},
        "systemMetrics": {
            "results": {"targetedCount": 0, "appliedCount": 0, "reportedSuccessfulCount": 0, "reportedFailedCount": 0},
            "queries": {
                "targetedCount": "select deviceId from devices where capabilities.iotEdge = true"
                " and (tags.env = 'lab')",
                "appliedCount": f"{query} = 'Applied'",
                "reportedSuccessfulCount": f"{reported} = 200",
                "reportedFailedCount": f"{reported} != 200",
            },
        },
    }
    assert await api("GET", "/configurations/base") == made
    assert await api("GET", "/configurations") == [made]


async def test_the_words_of_metrics_of_all_devices_and_of_none(api: Api) -> None:
    queries: dict[str, str] = {}
    for name, content, condition in (
        ("edge", manifest(), "*"),
        ("none", DEVICE, ""),
        ("plain", DEVICE, "*"),
        ("modules", {"moduleContent": {"properties.desired.a": 1}}, "FROM devices.modules WHERE moduleId = 'm'"),
    ):
        made = await api("PUT", f"/configurations/{name}", body(content, targetCondition=condition))
        queries[name] = made["systemMetrics"]["queries"]["targetedCount"]
    assert queries == {
        "edge": "select deviceId from devices where capabilities.iotEdge = true",
        "none": "select deviceId from devices where false",
        "plain": "select deviceId from devices",
        "modules": "select deviceId from devices.modules where moduleId = 'm'",
    }


async def test_all_but_the_id_and_the_content_may_change(api: Api) -> None:
    made = await api("PUT", "/configurations/c", body(DEVICE, labels={"a": "1"}))
    changed = await api("PUT", "/configurations/c", {**made, "priority": 3, "labels": {}}, etag=made["etag"])
    assert (changed["priority"], changed["labels"], changed["etag"]) == (3, {}, "Mg==")
    assert changed["createdTimeUtc"] == made["createdTimeUtc"]
    other = {**changed, "content": {"deviceContent": {"properties.desired.rate": 6}}}
    assert await api.refused("PUT", "/configurations/c", other, etag="*") == (400, "ArgumentInvalid")
    kept = await api("PUT", "/configurations/c", {"targetCondition": "*"}, etag=f'"{changed["etag"]}"')
    assert (kept["targetCondition"], kept["content"], kept["priority"]) == ("*", DEVICE, 3)
    for method in ("PUT", "DELETE"):
        assert await api.refused(method, "/configurations/c", {}, etag='"MQ=="') == (412, "PreconditionFailed")
    await api("DELETE", "/configurations/c", etag=kept["etag"], status=204)
    for method, etag in (("GET", None), ("PUT", "*"), ("DELETE", "*")):
        assert await api.refused(method, "/configurations/c", {}, etag=etag) == (404, "ConfigurationNotFound")


async def test_one_is_made_once_and_a_hub_has_its_number(api: Api, place: Place) -> None:
    most = place.most_configurations = 10
    for number in range(most):
        await api("PUT", f"/configurations/c{number}", body(DEVICE))
    assert await api.refused("PUT", "/configurations/c1", body(DEVICE)) == (409, "ConfigurationAlreadyExists")
    assert await api.refused("PUT", "/configurations/more", body(DEVICE)) == (403, "ConfigurationCountLimitExceeded")
    for asked, expected in (("7", 7), ("1000", most), ("0", most), ("-1", most), ("", most)):
        answer = await api.client.get("/configurations", params={"top": asked})
        assert len(answer.json()) == expected
    assert (await api.client.get("/configurations", params={"top": "many"})).status_code == 400


def _agent(**more: Any) -> dict[str, Any]:
    return manifest(**{"$edgeAgent": {"properties.desired": {**AGENT, **more}}})


@pytest.mark.parametrize(
    ("id", "sent", "told"),
    [
        ("Upper", body(DEVICE), "lower-case letters"),
        ("x" * 129, body(DEVICE), "lower-case letters"),
        ("c", body(DEVICE, id="other"), "the body about 'other'"),
        ("c", {}, "'content' has one of"),
        ("c", body({}), "'content' has one of"),
        ("c", body({**DEVICE, **manifest()}), "'content' has one of"),
        ("c", body({"deviceContent": []}), "deviceContent' is not an object"),
        ("c", body({"deviceContent": {"tags.a": 1}}), "deviceContent.tags.a: is neither"),
        ("c", body({"deviceContent": {"properties.desired.a": "x" * 5000}}), "content.deviceContent"),
        ("c", body(_agent(modules={"a b": MODULE})), "modules.a b: a module's name"),
        ("c", body({"modulesContent": {"$edgeAgent": {"properties.desired": AGENT}}}), "$edgeHub.properties.desired"),
        ("c", body({"modulesContent": {"m": {"properties.desired.a": 1}}}), "is required in a layer"),
        ("c", body(layer(m={"type": "docker"})), "modules.m: 'status' is a required property"),
        (
            "c",
            body({"modulesContent": {"$edgeAgent": {"properties.desired.runtime": {}}}}),
            "may not be set by a layer",
        ),
        (
            "c",
            body({"modulesContent": {"$edgeAgent": {}, "$edgeHub": {"properties.desired": HUB}}}),
            "may not be set whole by a layer",
        ),
        ("c", body(DEVICE, targetCondition="tags.env ="), "'targetCondition' is invalid"),
        ("c", body(DEVICE, targetCondition="FROM devices.modules WHERE a = 1"), "about devices, not modules"),
        ("c", body({"moduleContent": {}}), "begins with FROM devices.modules WHERE"),
        ("c", body(DEVICE, priority=-1), "'priority' is -1"),
        ("c", body(DEVICE, metrics={"queries": {"x": "SELECT"}}), "metric 'x'"),
        ("c", body(DEVICE, labels={"a": 1}), "$.labels"),
    ],
)
async def test_what_a_configuration_may_not_be(api: Api, id: str, sent: Any, told: str) -> None:
    answer = await api.client.put(f"/configurations/{id}", json=sent)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "ArgumentInvalid"), answer.text
    assert told in answer.json()["Message"]
    assert await api("GET", "/configurations") == []


async def test_queries_are_tried_out(api: Api) -> None:
    good = {"targetCondition": "tags.a = 1", "customMetricQueries": {"q": "SELECT deviceId FROM devices"}}
    assert await api("POST", "/configurations/testQueries", good) == {
        "targetConditionError": None,
        "customMetricQueryErrors": {},
    }
    bad = {"targetCondition": "tags.a = ", "customMetricQueries": {"q": "SELECT", "r": "SELECT * FROM devices"}}
    found = await api("POST", "/configurations/testQueries", bad)
    assert "at position 9" in found["targetConditionError"]
    assert set(found["customMetricQueryErrors"]) == {"q"}
