"""Start, stop, restart, logs, exec, and what is refused while a group is being changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.providers.container_instance.output import ENDED_BYTES, RUNNING_BYTES, limited

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

PUBLIC = {"type": "Public", "ports": [{"port": 80}]}


async def state(emulators: Emulators) -> str:
    return str((await emulators.get("g1")).body["properties"]["instanceView"]["state"])


async def test_stop_ends_the_containers_and_gives_up_the_address(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(ipAddress=PUBLIC))
    reply = await emulators.post("g1", "stop")
    assert (reply.status, reply.body) == (204, None)
    assert emulators.runtime.running == []
    shown = await emulators.get("g1")
    assert shown.body["properties"]["instanceView"]["state"] == "Stopped"
    assert "ip" not in shown.body["properties"]["ipAddress"]
    assert (await emulators.post("g1", "stop")).status == 204


async def test_start_deploys_a_stopped_group_again(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(ipAddress=PUBLIC))
    await emulators.post("g1", "stop")
    reply = await emulators.post("g1", "start")
    assert reply.status == 202
    assert "/operations/" in reply.headers["azure-asyncoperation"]
    assert "/operationResults/" in reply.headers["location"]
    await emulators.settled()
    assert (await emulators.request("GET", _below(reply.headers["location"]))).status == 204
    poll = await emulators.request("GET", _below(reply.headers["azure-asyncoperation"]))
    assert poll.body["status"] == "Succeeded"
    assert await state(emulators) == "Running"
    assert len(emulators.runtime.running) == 1
    shown = await emulators.get("g1")
    assert shown.body["properties"]["containers"][0]["properties"]["instanceView"]["restartCount"] == 0
    assert (await emulators.post("g1", "start")).status == 204


async def test_restart_runs_the_containers_again_in_place(emulators: Emulators, body: Make) -> None:
    before = await emulators.created("g1", body(ipAddress=PUBLIC))
    first = emulators.runtime.running[0]
    assert (await emulators.post("g1", "restart")).status == 204
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    assert not first.running
    shown = await emulators.get("g1")
    view = shown.body["properties"]["containers"][0]["properties"]["instanceView"]
    assert (view["restartCount"], view["previousState"]["exitCode"]) == (1, 143)
    assert shown.body["properties"]["ipAddress"] == before.body["properties"]["ipAddress"]


async def test_a_group_that_has_ended_is_not_restarted_but_started(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(image="exit/0", restartPolicy="Never"))
    await emulators.eventually(lambda: not emulators.runtime.running)
    refused = await emulators.post("g1", "restart")
    assert (refused.status, refused.code) == (409, "ContainerGroupStopped")
    assert (await emulators.post("g1", "stop")).status == 204
    assert await state(emulators) == "Succeeded"
    assert (await emulators.post("g1", "start")).status == 202
    await emulators.settled()
    assert len(emulators.runtime.containers) == 2


@pytest.mark.parametrize(
    ("method", "below", "given"),
    [
        ("PUT", "", "body"),
        ("DELETE", "", None),
        ("PATCH", "", {"tags": {}}),
        ("POST", "/start", None),
        ("POST", "/stop", None),
        ("POST", "/restart", None),
        ("POST", "/containers/main/exec", {"command": "ls"}),
    ],
)
async def test_a_group_in_transition_is_left_alone(
    emulators: Emulators, body: Make, method: str, below: str, given: Any
) -> None:
    await emulators.put("g1", body(image="hang"))
    reply = await emulators.request(method, f"{emulators.path('g1')}{below}", body() if given == "body" else given)
    assert (reply.status, reply.code) == (409, "ContainerGroupTransitioning")
    assert reply.message == "The container group 'g1' is still transitioning, please retry later."


async def test_a_group_that_is_being_stopped_is_left_alone(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    (container,) = emulators.runtime.running
    slow = asyncio.Event()
    quick = container.stop

    async def stop(grace_s: float) -> Any:
        await slow.wait()
        return await quick(grace_s)

    container.stop = stop  # type: ignore[method-assign]  # a container that takes its time
    stopping = asyncio.ensure_future(emulators.post("g1", "stop"))
    await asyncio.sleep(0)
    for reply in (await emulators.put("g1", body()), await emulators.post("g1", "restart")):
        assert (reply.status, reply.code) == (409, "ContainerGroupTransitioning")
    slow.set()
    assert (await stopping).status == 204


async def test_logs_have_a_tail_and_timestamps(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    log = emulators.runtime.running[0].spec.log
    with log.open("a") as more:
        more.write("2026-01-01T00:00:01.000000Z stderr two\n2026-01-01T00:00:02.000000Z stdout three\n")
    assert await _logs(emulators) == "ran as built\ntwo\nthree\n"
    assert await _logs(emulators, "?tail=2") == "two\nthree\n"
    assert await _logs(emulators, "?tail=1&timestamps=true") == "2026-01-01T00:00:02.000000Z three\n"
    for query in ("?tail=-1", "?tail=x", "?timestamps=1"):
        refused = await emulators.request("GET", f"{emulators.path('g1')}/containers/main/logs{query}")
        assert (refused.status, refused.code) == (400, "InvalidRequestParameter")


async def test_logs_are_there_after_the_end(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(image="exit/1", restartPolicy="Never"))
    assert await _logs(emulators) == "ran as built\n"
    await emulators.stop()
    await emulators.start()
    assert await _logs(emulators) == "ran as built\n"


async def test_logs_of_nothing(emulators: Emulators, body: Make) -> None:
    await emulators.put("g1", body(image="hang"))
    unknown = await emulators.request("GET", f"{emulators.path('g1')}/containers/other/logs")
    assert (unknown.status, unknown.code) == (404, "ContainerNotFound")
    assert unknown.message == "The container 'other' does not exist in container group 'g1'."
    early = await emulators.request("GET", f"{emulators.path('g1')}/containers/main/logs")
    assert (early.status, early.code) == (404, "ContainerLogNotAvailable")
    assert early.message == (
        "Log of container 'main' in container group 'g1' is not available yet. Please check container 'InstanceView'"
        " for more information or retry later."
    )


def test_what_is_kept_of_a_log() -> None:
    lines = "".join(f"{number}\n" for number in range(1500))
    assert limited(lines, running=True) == lines
    ended = limited(lines, running=False)
    assert (ended.count("\n"), ended[:4]) == (1000, "500\n")
    wide = "".join(f"{'x' * 99}\n" for _ in range(500))
    assert len(limited(wide, running=False)) == ENDED_BYTES // 100 * 100
    huge = "y" * (RUNNING_BYTES + 5)
    assert len(limited(huge, running=True)) == RUNNING_BYTES
    assert limited("ü" * ENDED_BYTES, running=False) == "ü" * (ENDED_BYTES // 2)


async def test_actions_on_what_is_not_there(emulators: Emulators) -> None:
    for action in ("start", "stop", "restart", "containers/a/exec"):
        reply = await emulators.post("none", action, {"command": "ls"})
        assert (reply.status, reply.code) == (404, "ResourceNotFound")


async def test_outbound_dependencies_are_always_none(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await emulators.request("GET", f"{emulators.path('g1')}/outboundNetworkDependenciesEndpoints")
    assert (reply.status, reply.body) == (200, [])


def _below(link: str) -> str:
    return link.removeprefix("https://localhost:4580")


async def _logs(emulators: Emulators, query: str = "") -> str:
    reply = await emulators.request("GET", f"{emulators.path('g1')}/containers/main/logs{query}")
    assert reply.status == 200
    return str(reply.body["content"])
