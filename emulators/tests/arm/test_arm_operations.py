"""Long-running work: announced, polled, failed, cancelled, one at a time, and run again after a crash."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.arm.conftest import Door, Open

THINGS = "/resourceGroups/g/providers/Fake.Things/things"


async def test_work_is_announced_polled_and_done(door: Door) -> None:
    created = await door.thing(work="run")
    assert (created.status, created.body["properties"]["provisioningState"]) == (201, "Pending")
    link = created.headers["azure-asyncoperation"]
    assert link.startswith(
        f"{door.base}/subscriptions/{door.kernel.subscription}/providers/Fake.Things/locations/westus2/"
    )
    assert link.endswith("?api-version=2024-01-01")
    assert created.headers["x-ms-retry-after-ms"] == "50"
    assert "retry-after" not in created.headers
    assert "location" not in created.headers
    poll = await door.follow(link)
    assert (poll.status, poll.body["status"], poll.headers["x-ms-retry-after-ms"]) == (200, "Working", "50")
    assert "endTime" not in poll.body
    door.service.finish("t")
    await door.kernel.operations.settled()
    poll = await door.follow(link)
    assert poll.body["status"] == "Succeeded"
    assert poll.body["id"] == link.removeprefix(door.base).partition("?")[0]
    assert poll.body["name"] == poll.body["id"].rpartition("/")[2]
    assert "endTime" in poll.body
    assert "x-ms-retry-after-ms" not in poll.headers
    assert (await door.get()).body["properties"]["provisioningState"] == "Succeeded"


async def test_links_use_the_name_that_the_client_used(door: Door) -> None:
    door.base = "https://127.0.0.1:9999"
    assert (await door.thing(work="run")).headers["azure-asyncoperation"].startswith("https://127.0.0.1:9999/")


@pytest.mark.parametrize(("work", "code"), [("fail", "ThingImpossible"), ("break", "InternalServerError")])
async def test_work_that_fails_is_polled_as_failed(
    door: Door, work: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = (await door.thing(work=work)).headers["azure-asyncoperation"]
    with caplog.at_level(logging.ERROR):
        await door.kernel.operations.settled()
    poll = await door.follow(link)
    assert (poll.status, poll.body["status"], poll.body["error"]["code"]) == (200, "Failed", code)
    assert {"id", "name", "startTime", "endTime"} < poll.body.keys()
    assert (await door.get()).body["properties"]["provisioningState"] == "Failed"
    assert ("ZeroDivisionError" in caplog.text) == (work == "break")
    door.service.finish("t")
    assert (await door.thing(work="run")).status == 200


async def test_a_second_change_is_refused_while_one_is_going_on(door: Door) -> None:
    await door.thing(work="run")
    before = door.everything()
    for answer in (
        await door.thing(size=2),
        await door.call("PATCH", f"{THINGS}/t", {"tags": {}}),
        await door.call("DELETE", f"{THINGS}/t"),
        await door.call("POST", f"{THINGS}/t/again"),
    ):
        assert (answer.status, answer.code) == (409, "AnotherOperationInProgress")
    assert door.everything() == before
    assert (await door.call("POST", f"{THINGS}/t/poke")).status == 200
    door.service.finish("t")
    await door.kernel.operations.settled()
    assert (await door.thing(size=2)).status == 200


async def test_an_action_announces_its_work_with_both_links(door: Door) -> None:
    await door.thing()
    answer = await door.call("POST", f"{THINGS}/t/again")
    assert answer.status == 202
    result = answer.headers["location"]
    assert "/operationResults/" in result
    waiting = await door.follow(result)
    assert (waiting.status, waiting.content) == (202, b"")
    assert waiting.headers["location"] == result
    assert waiting.headers["x-ms-retry-after-ms"] == "50"
    door.service.finish("t")
    await door.kernel.operations.settled()
    assert (await door.follow(result)).status == 204
    assert (await door.follow(answer.headers["azure-asyncoperation"])).body["status"] == "Succeeded"


async def test_a_slow_removal_keeps_the_resource_until_it_is_done(door: Door) -> None:
    await door.thing(slow=True)
    await door.call("PUT", f"{THINGS}/t/parts/p", {})
    answer = await door.call("DELETE", f"{THINGS}/t")
    assert answer.status == 202
    assert (await door.get()).status == 200
    assert (await door.call("DELETE", f"{THINGS}/t")).code == "AnotherOperationInProgress"
    assert (await door.follow(answer.headers["location"])).status == 202
    door.service.finish("t")
    await door.kernel.operations.settled()
    assert (await door.get()).status == 404
    assert door.everything()  # and nothing is left of what was nested in it:
    assert door.kernel.resources.count("Fake.Things/things/parts") == 0
    assert (await door.follow(answer.headers["azure-asyncoperation"])).body["status"] == "Succeeded"


async def test_a_removal_that_fails_gives_the_resource_back(door: Door) -> None:
    await door.thing(slow=True, stuck=True)
    door.service.finish("t")
    answer = await door.call("DELETE", f"{THINGS}/t")
    await door.kernel.operations.settled()
    poll = await door.follow(answer.headers["azure-asyncoperation"])
    assert (poll.body["status"], poll.body["error"]["code"]) == ("Failed", "ThingStuck")
    failed = await door.follow(answer.headers["location"])
    assert (failed.status, failed.code) == (409, "ThingStuck")
    assert (await door.get()).body["properties"]["provisioningState"] == "Failed"
    assert (await door.thing()).status == 200


async def test_a_name_is_free_at_once_and_its_new_owner_waits_for_the_old_ones_work(door: Door) -> None:
    await door.thing(held=True)
    assert (await door.call("DELETE", f"{THINGS}/t")).status == 200
    assert (await door.get()).status == 404
    door.service.finish("t")
    assert (await door.thing(work="run")).status == 201
    await door.kernel.operations.settled()
    assert door.service.ran == ["free t", "run t"]
    assert (await door.get()).body["properties"]["provisioningState"] == "Succeeded"


async def test_an_unknown_operation(door: Door) -> None:
    path = "/providers/Fake.Things/locations/westus2/operations/5b5b5b5b-0000-4000-8000-00000000aaaa"
    answer = await door.call("GET", path)
    assert (answer.status, answer.code) == (404, "OperationNotFound")


async def test_operations_are_forgotten_after_a_day(opened: Open) -> None:
    store, clock = Store(None), ManualClock()
    async with opened(store, clock=clock) as door:
        await door.group()
        door.service.finish("t")
        link = (await door.thing(work="run")).headers["azure-asyncoperation"]
        await door.kernel.operations.settled()
    await clock.advance(timedelta(hours=23).total_seconds())
    async with opened(store, clock=clock) as door:
        assert (await door.follow(link)).status == 200
    await clock.advance(timedelta(hours=2).total_seconds())
    async with opened(store, clock=clock) as door:
        assert (await door.follow(link)).status == 404
    store.close()


async def test_work_in_progress_is_run_again_by_the_next_process(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = Store(file)
    async with opened(store) as door:
        await door.group()
        created = await door.thing("t", work="run")
        await door.thing("slow", slow=True)
        removal = await door.call("DELETE", f"{THINGS}/slow")
        await door.thing("gone", held=True)
        await door.call("DELETE", f"{THINGS}/gone")
        assert (await door.get("gone")).status == 404
    store.close()
    store = Store(file)
    async with opened(store) as door:
        assert (await door.follow(created.headers["azure-asyncoperation"])).body["status"] == "Working"
        assert (await door.thing("t")).code == "AnotherOperationInProgress"
        door.service.finish("t")
        door.service.finish("slow")
        await door.kernel.operations.settled()
        assert sorted(door.service.ran) == ["free gone", "free slow", "run t"]
        assert (await door.follow(created.headers["azure-asyncoperation"])).body["status"] == "Succeeded"
        assert (await door.follow(removal.headers["location"])).status == 204
        assert (await door.get("t")).body["properties"]["provisioningState"] == "Succeeded"
        assert (await door.get("slow")).status == 404
    store.close()


async def test_at_azures_pace_a_work_takes_azures_time(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel_emulators.clock._measured", lambda: {"Fake.Things/things": {"run": 30.0}})
    store, clock = Store(None), ManualClock()
    async with opened(store, pace="azure", clock=clock) as door:
        await door.group()
        door.service.finish("t")
        created = await door.thing(work="run")
        assert not {"retry-after", "x-ms-retry-after-ms"} & created.headers.keys()
        await clock.advance(20)
        assert door.service.ran == []
    # A process that takes over waits for the rest only.
    async with opened(store, pace="azure", clock=clock) as door:
        door.service.finish("t")
        await clock.advance(9)
        assert door.service.ran == []
        await clock.advance(1.1)
        await door.kernel.operations.settled()
        assert door.service.ran == ["run t"]
    store.close()


async def test_what_others_changed_during_a_work_stays(door: Door) -> None:
    await door.thing(work="run")
    resource = (await door.get()).body["id"]
    door.kernel.resources.save_state(resource, {"found": "out"})
    tags = {"properties": {"tags": {"new": "tag"}}}
    await door.core("PUT", f"{THINGS}/t/providers/Microsoft.Resources/tags/default", tags)
    door.service.finish("t")
    await door.kernel.operations.settled()
    stored = door.kernel.resources.get(resource)
    assert stored is not None
    assert (stored.state, stored.tags) == ({"found": "out"}, {"new": "tag"})
    assert stored.busy is None


async def test_a_service_starts_work_outside_a_request(door: Door) -> None:
    await door.thing()
    stored = door.kernel.resources.get(
        f"{door.kernel.groups.list(door.kernel.subscription)[0].id}/providers/Fake.Things/things/t"
    )
    assert stored is not None
    operation = door.kernel.resources.begin(stored, "run")
    in_progress = door.kernel.resources.operation_in_progress(stored.id)
    assert in_progress is not None
    assert in_progress.id == operation.id
    door.service.finish("t")
    await door.kernel.operations.settled()
    assert door.kernel.resources.operation_in_progress(stored.id) is None
