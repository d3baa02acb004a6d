"""``/jobs``: twins are changed and methods called for many devices; times, limits, and jobs that a restart takes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from iot_api import Api
from mqtt_peers import KEY, OTHER
from windtunnel_emulators.iot.hub.changes import Change
from windtunnel_emulators.iot.mqtt.packets import Publish, SubAck
from windtunnel_emulators.iot.service.jobs import MOST_ACTIVE

if TYPE_CHECKING:
    from iot_place import Place
    from mqtt_peers import Peer

METHODS = "$iothub/methods/POST/#"
UPDATE = {"type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {"etag": "*", "tags": {"done": True}}}
CALL: dict[str, Any] = {
    "type": "scheduleDeviceMethod",
    "queryCondition": "deviceId IN ['d0', 'd1', 'd2']",
    "cloudToDeviceMethod": {"methodName": "ping", "payload": {"n": 1}, "responseTimeoutInSeconds": 30},
}
KEYS = {"authentication": {"symmetricKey": {"primaryKey": KEY, "secondaryKey": OTHER}}}


async def status(api: Api, job: str = "j") -> str:
    return str((await api("GET", f"/jobs/v2/{job}"))["status"])


async def parts(api: Api, condition: str = "jobId = 'j'") -> list[Any]:
    answer = await api.client.post("/devices/query", json={"query": f"SELECT * FROM devices.jobs WHERE {condition}"})
    assert answer.headers["x-ms-item-type"] == "deviceJob"
    return list(answer.json())


async def tags(api: Api, device: str) -> Any:
    return (await api("GET", f"/twins/{device}"))["tags"]


async def devices(api: Api, count: int) -> None:
    for number in range(count):
        await api("PUT", f"/devices/d{number}", KEYS)


async def answering(api: Api, device: str) -> Peer:
    peer = await api.place.connected(device)
    peer.subscribe(METHODS)
    await peer.until(SubAck)
    return peer


async def answered(peer: Peer, code: int = 200, payload: bytes = b'"pong"') -> Publish:
    """The call that a device got, after it has answered it."""
    call: Publish = await peer.until(Publish)
    peer.publish(f"$iothub/methods/res/{code}/?{call.topic.partition('?')[2]}", payload)
    return call


async def test_twins_are_changed(api: Api) -> None:
    await devices(api, 3)
    sent = {**UPDATE, "jobId": "j", "queryCondition": "deviceId != 'd1'", "maxExecutionTimeInSeconds": 60}
    made = await api("PUT", "/jobs/v2/j", sent)
    assert made == {
        **sent,
        "createdTime": made["createdTime"],
        "startTime": made["createdTime"],
        "status": "queued",
    }
    await api.eventually(lambda: status(api), "completed")
    done = await api("GET", "/jobs/v2/j")
    assert done["deviceJobStatistics"] == {
        "deviceCount": 2,
        "failedCount": 0,
        "succeededCount": 2,
        "runningCount": 0,
        "pendingCount": 0,
    }
    assert "endTime" in done
    assert [await tags(api, device) for device in ("d0", "d1", "d2")] == [{"done": True}, {}, {"done": True}]
    found = await parts(api)
    assert [(one["deviceId"], one["jobType"], one["status"]) for one in found] == [
        ("d0", "scheduleUpdateTwin", "completed"),
        ("d2", "scheduleUpdateTwin", "completed"),
    ]
    assert await parts(api, "deviceId = 'd1'") == []


async def test_methods_are_called_and_what_became_of_each_is_told(api: Api) -> None:
    await devices(api, 3)
    first, second = await answering(api, "d0"), await answering(api, "d1")
    await api("PUT", "/jobs/v2/j", CALL)
    call = await answered(first)
    assert (call.topic, call.payload) == (f"$iothub/methods/POST/ping/?{call.topic.partition('?')[2]}", b'{"n":1}')
    await answered(second, 500, b"null")
    await api.eventually(lambda: status(api), "completed")
    found = {one["deviceId"]: one for one in await parts(api)}
    assert found["d0"]["outcome"] == {"deviceMethodResponse": {"status": 200, "payload": "pong"}}
    assert found["d1"]["outcome"] == {"deviceMethodResponse": {"status": 500, "payload": None}}
    assert (found["d2"]["status"], found["d2"]["error"]["code"]) == ("failed", "404103")
    statistics = (await api("GET", "/jobs/v2/j"))["deviceJobStatistics"]
    assert (statistics["deviceCount"], statistics["succeededCount"], statistics["failedCount"]) == (3, 2, 1)


async def test_a_job_for_modules(api: Api) -> None:
    await devices(api, 2)
    for device in ("d0", "d1"):
        await api("PUT", f"/devices/{device}/modules/m", {})
    condition = "FROM devices.modules WHERE moduleId = 'm' AND deviceId = 'd1'"
    await api("PUT", "/jobs/v2/j", {**UPDATE, "queryCondition": condition})
    await api.eventually(lambda: status(api), "completed")
    assert (await tags(api, "d1/modules/m"), [one["moduleId"] for one in await parts(api)]) == ({"done": True}, ["m"])


async def test_a_job_begins_at_its_time_with_who_is_there_then(api: Api, place: Place) -> None:
    await devices(api, 1)
    made = await api("PUT", "/jobs/v2/j", {**UPDATE, "startTime": "2026-01-01T01:00:00+01:00"})
    assert made["status"] == "queued"  # midnight in UTC is now
    await api.eventually(lambda: status(api), "completed")
    made = await api("PUT", "/jobs/v2/past", {**UPDATE, "startTime": "0001-01-01T00:00:00"})  # .NET's way to say now
    assert made["startTime"] == made["createdTime"]
    await api.eventually(lambda: status(api, "past"), "completed")
    assert (await api("GET", "/jobs/v2/past"))["deviceJobStatistics"]["succeededCount"] == 1
    made = await api("PUT", "/jobs/v2/later", {**UPDATE, "startTime": "2026-01-01T01:00:00Z"})
    assert (made["status"], made["startTime"]) == ("scheduled", "2026-01-01T01:00:00.000000Z")
    await api("PUT", "/devices/late", {})
    await place.clock.advance(3599)
    assert await status(api, "later") == "scheduled"
    await place.clock.advance(2)
    await api.eventually(lambda: status(api, "later"), "completed")
    assert await tags(api, "late") == {"done": True}


async def test_a_cancelled_job_begins_nothing_more(api: Api) -> None:
    await devices(api, 3)
    peer = await answering(api, "d0")
    await answering(api, "d1")
    await api("PUT", "/jobs/v2/j", CALL)
    await answered(peer)
    await api.eventually(lambda: _states(api), ["completed", "running", "failed"])
    cancelled = await api("POST", "/jobs/v2/j/cancel")
    assert cancelled["status"] == "cancelled"
    assert await _states(api) == ["completed", "canceled", "failed"]
    await api("PUT", "/jobs/v2/later", {**UPDATE, "startTime": "2030-01-01T00:00:00Z"})
    assert (await api("POST", "/jobs/v2/later/cancel"))["status"] == "cancelled"
    assert await api.refused("POST", "/jobs/v2/later/cancel") == (400, "InvalidOperation")
    assert await api.refused("POST", "/jobs/v2/none/cancel") == (404, "JobNotFound")


async def _states(api: Api) -> list[str]:
    return [one["status"] for one in await parts(api)]


async def test_the_time_of_a_job_ends(api: Api, place: Place) -> None:
    await devices(api, 60)
    for number in range(60):
        await answering(api, f"d{number}")
    await api("PUT", "/jobs/v2/j", {**CALL, "queryCondition": "*", "maxExecutionTimeInSeconds": 10})
    await api.eventually(lambda: _count(api, "running"), 50)
    await place.clock.advance(31)
    await api.eventually(lambda: status(api), "completed")
    codes = [one["error"]["code"] for one in await parts(api)]
    assert (codes.count("504101"), codes.count("JobExpired")) == (50, 10)


async def _count(api: Api, state: str) -> int:
    return len(await parts(api, f"status = '{state}'"))


async def test_jobs_are_found_by_type_and_status(api: Api) -> None:
    await api("PUT", "/jobs/v2/a", UPDATE)
    await api("PUT", "/jobs/v2/b", {**CALL, "startTime": "2030-01-01T00:00:00Z"})
    await api.eventually(lambda: status(api, "a"), "completed")
    for asked, expected in (
        ({}, {"a", "b"}),
        ({"jobType": "scheduleUpdateTwin"}, {"a"}),
        ({"jobStatus": "scheduled"}, {"b"}),
        ({"jobType": "scheduleUpdateTwin", "jobStatus": "scheduled"}, set[str]()),
    ):
        answer = await api.client.get("/jobs/v2/query", params=asked)
        assert ({one["jobId"] for one in answer.json()}, answer.headers["x-ms-item-type"]) == (expected, "jobResponse")


@pytest.mark.parametrize(
    ("id", "sent", "told"),
    [
        ("j_1", UPDATE, "1 to 64 letters"),
        ("j", {**UPDATE, "jobId": "other"}, "path and body alike"),
        ("j", {}, "`type`"),
        ("j", {**UPDATE, "type": "export"}, "'type' is 'export'"),
        ("j", {**UPDATE, "queryCondition": ""}, "'queryCondition' is missing"),
        ("j", {**UPDATE, "queryCondition": "tags."}, "'queryCondition' is invalid"),
        ("j", {**UPDATE, "maxExecutionTimeInSeconds": 0}, "from 1 to 172800"),
        ("j", {**UPDATE, "startTime": "soon"}, "$.startTime"),
        ("j", {**UPDATE, "startTime": "9999-12-31T23:59:59Z"}, "the end of all dates"),
        ("j", {**UPDATE, "startTime": "0001-01-01T00:00:00+12:00"}, "the end of all dates"),
        ("j", {**UPDATE, "updateTwin": None}, "'updateTwin' is missing"),
        ("j", {**UPDATE, "updateTwin": {"etag": "*"}}, "neither tags nor desired"),
        ("j", {**UPDATE, "updateTwin": {"tags": {"a b": 1}}}, "tags"),
        ("j", {**UPDATE, "updateTwin": {"properties": {"desired": {"$a": 1}}}}, "properties.desired"),
        ("j", {**CALL, "cloudToDeviceMethod": None}, "'cloudToDeviceMethod' is missing"),
        ("j", {**CALL, "cloudToDeviceMethod": {"methodName": ""}}, "'methodName'"),
        ("j", {**CALL, "cloudToDeviceMethod": {"methodName": "x", "responseTimeoutInSeconds": 1}}, "from 5 to 300"),
    ],
)
async def test_what_a_job_may_not_be(api: Api, id: str, sent: Any, told: str) -> None:
    answer = await api.client.put(f"/jobs/v2/{id}", json=sent)
    assert (answer.status_code, answer.headers["iothub-errorcode"]) == (400, "ArgumentInvalid"), answer.text
    assert told in answer.json()["Message"]


async def test_a_job_is_made_once_and_a_hundred_may_be_under_way(api: Api) -> None:
    later = {**UPDATE, "startTime": "2030-01-01T00:00:00Z"}
    for number in range(MOST_ACTIVE):
        await api("PUT", f"/jobs/v2/j{number}", later)
    assert await api.refused("PUT", "/jobs/v2/j1", later) == (409, "JobAlreadyExists")
    assert await api.refused("PUT", "/jobs/v2/more", later) == (403, "JobQuotaExceeded")
    await api("POST", "/jobs/v2/j1/cancel")
    await api("PUT", "/jobs/v2/more", later)


async def test_what_ended_is_forgotten_after_thirty_days(api: Api, place: Place) -> None:
    await api("PUT", "/jobs/v2/old", UPDATE)
    await api.eventually(lambda: status(api, "old"), "completed")
    await place.clock.advance(30 * 86_400 + 1)
    await api("PUT", "/jobs/v2/new", UPDATE)
    assert await api.refused("GET", "/jobs/v2/old") == (404, "JobNotFound")


async def test_devices_are_not_imported_nor_exported(api: Api) -> None:
    assert await api.refused("POST", "/jobs/create", {"type": "export"}) == (501, "NotImplemented")
    assert await api("GET", "/jobs") == []
    for method in ("GET", "DELETE"):
        assert await api.refused(method, "/jobs/x") == (404, "JobNotFound")


async def test_a_job_goes_on_where_a_crash_ended_it(place: Place) -> None:
    """One device has answered, another was being called, a third had its time to come."""
    before = Api(place)
    async with before.client:
        await devices(before, 3)
        first = await answering(before, "d0")
        await answering(before, "d1")
        await before("PUT", "/jobs/v2/j", {**CALL, "queryCondition": "deviceId < 'd2'"})
        await before("PUT", "/jobs/v2/later", {**UPDATE, "startTime": "2026-01-01T01:00:00Z"})
        await answered(first)
        await before.eventually(lambda: _states(before), ["completed", "running"])
    await place.restart()
    after = Api(place)
    async with after.client:
        again, first = await answering(after, "d1"), await answering(after, "d0")
        place.hub.changes.tell(Change.STARTED)
        await answered(again)
        await after.eventually(lambda: status(after), "completed")
        assert not [packet for packet in first.received + await first.take() if isinstance(packet, Publish)]
        assert await status(after, "later") == "scheduled"
        await place.clock.advance(3601)
        await after.eventually(lambda: status(after, "later"), "completed")
        assert [await tags(after, f"d{number}") for number in range(3)] == [{"done": True}] * 3


async def test_a_failure_of_the_hub_ends_the_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await devices(api, 1)

    def broken(*_: object) -> None:
        raise msgspec.MsgspecError

    monkeypatch.setattr(api.place.hub, "change_twin", broken)
    await api("PUT", "/jobs/v2/j", UPDATE)
    await api.eventually(lambda: status(api), "failed")
