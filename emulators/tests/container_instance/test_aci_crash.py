"""The emulators end at any moment, and what they acknowledged is there when they start again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

PUBLIC = {"type": "Public", "ports": [{"port": 80}]}


async def crash(emulators: Emulators, how: str) -> None:
    if how == "stop":
        await emulators.stop()
        await emulators.start()
    else:
        await emulators.crash()


@pytest.mark.parametrize("how", ["crash", "stop"])
async def test_what_ran_runs_again_at_its_address(emulators: Emulators, body: Make, how: str) -> None:
    await emulators.created("gone", body(ipAddress=PUBLIC))
    before = await emulators.created("g1", body(ipAddress=PUBLIC))
    await emulators.delete("gone")
    await emulators.settled()
    await emulators.post("g1", "restart")
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    await crash(emulators, how)
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    shown = await emulators.get("g1")
    view = shown.body["properties"]["containers"][0]["properties"]["instanceView"]
    assert view["restartCount"] == 2
    assert view["currentState"]["state"] == "Running"
    assert "emulators" in view["previousState"]["detailStatus"]
    assert shown.body["properties"]["ipAddress"]["ip"] == before.body["properties"]["ipAddress"]["ip"]
    assert shown.body["properties"]["provisioningState"] == "Succeeded"
    assert emulators.runtime.running[0].spec.address == before.body["properties"]["ipAddress"]["ip"]


@pytest.mark.parametrize("how", ["crash", "stop"])
async def test_what_had_ended_or_was_stopped_stays_so(emulators: Emulators, body: Make, how: str) -> None:
    await emulators.created("done", body(image="exit/0", restartPolicy="Never"))
    await emulators.created("failed", body(image="exit/3", restartPolicy="Never"))
    await emulators.created("stopped", body())
    await emulators.post("stopped", "stop")
    await emulators.eventually(lambda: not emulators.runtime.running)
    before = [(await emulators.get(name)).body for name in ("done", "failed", "stopped")]
    await crash(emulators, how)
    assert [(await emulators.get(name)).body for name in ("done", "failed", "stopped")] == before
    assert emulators.runtime.containers == []
    await emulators.post("stopped", "start")
    await emulators.settled()
    assert len(emulators.runtime.running) == 1


async def test_a_creation_is_finished_by_the_next_process(emulators: Emulators, body: Make) -> None:
    reply = await emulators.put("g1", body(ipAddress=PUBLIC))
    link = reply.headers["azure-asyncoperation"].removeprefix("https://localhost:4580")
    await emulators.crash()
    await emulators.settled()
    poll = await emulators.request("GET", link)
    assert poll.body["status"] == "Succeeded"
    assert len(emulators.runtime.running) == 1
    shown = await emulators.get("g1")
    assert shown.body["properties"]["containers"][0]["properties"]["instanceView"]["restartCount"] == 0
    assert shown.body["properties"]["ipAddress"]["ip"] == "127.77.0.1"


async def test_an_update_is_finished_by_the_next_process(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(ipAddress=PUBLIC))
    changed = body(ipAddress=PUBLIC)
    changed["properties"]["containers"][0]["properties"]["command"] = ["new"]
    await emulators.put("g1", changed)
    await emulators.crash()
    await emulators.settled()
    (container,) = emulators.runtime.running
    assert container.spec.command == ("new",)
    assert (await emulators.get("g1")).body["properties"]["provisioningState"] == "Succeeded"


async def test_a_start_is_finished_by_the_next_process(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    await emulators.post("g1", "stop")
    assert (await emulators.post("g1", "start")).status == 202
    await emulators.crash()
    await emulators.settled()
    assert len(emulators.runtime.running) == 1


async def test_a_deletion_is_finished_by_the_next_process(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    await emulators.created("g2", body())
    await emulators.delete("g1")
    await emulators.crash()
    await emulators.settled()
    assert (await emulators.get("g1")).status == 404
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    assert len(list((emulators.folder / "container_instance").iterdir())) == 1


async def test_deleting_the_resource_group_ends_everything(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    await emulators.put("g2", body(image="hang"))
    group = "/subscriptions/22222222-2222-2222-2222-222222222222/resourcegroups/rg?api-version=2022-09-01"
    assert (await emulators.request("DELETE", group)).status == 202
    await emulators.settled()
    assert emulators.runtime.running == []
    assert list((emulators.folder / "container_instance").iterdir()) == []
    gone = await emulators.delete("g1")
    assert (gone.status, gone.code) == (404, "ResourceGroupNotFound")


async def test_leftovers_of_groups_that_are_gone_are_swept(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    stray = emulators.folder / "container_instance" / "0123456789abcdef"
    (stray / "volumes").mkdir(parents=True)
    await emulators.crash()
    assert not stray.exists()
    assert len(list((emulators.folder / "container_instance").iterdir())) == 1


async def test_secret_volumes_are_there_again(emulators: Emulators, body: Make) -> None:
    asked = body(volumes=[{"name": "files", "secret": {"a.txt": "aGVsbG8="}}, {"name": "space", "emptyDir": {}}])
    asked["properties"]["containers"][0]["properties"]["volumeMounts"] = [
        {"name": "files", "mountPath": "/f"},
        {"name": "space", "mountPath": "/s"},
    ]
    await emulators.created("g1", asked)
    space = emulators.runtime.running[0].spec.mounts[1].source
    (space / "kept").write_text("by the container")
    await emulators.crash()
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    files, space = (mount.source for mount in emulators.runtime.running[0].spec.mounts)
    assert (files / "a.txt").read_text() == "hello"
    assert (space / "kept").read_text() == "by the container"
