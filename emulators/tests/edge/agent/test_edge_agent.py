"""The agent: what it does with deployments, with modules that end, and without its hub; what it reports of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge_agents import deployment, module
from windtunnel_emulators.edge.interface import Refused

if TYPE_CHECKING:
    from edge_agents import Bench
    from windtunnel_emulators.jsontypes import JsonObject


async def test_a_device_without_a_deployment_says_so(bench: Bench) -> None:
    await bench.settle()
    assert bench.hub.status["code"] == 417
    assert bench.hub.reported["lastDesiredVersion"] == 1


async def test_a_deployment_is_done_and_reported(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module("a:1", env={"X": {"value": "1"}}), b=module("b:1")))
    await bench.settle()
    assert bench.runtime.running == ["a", "b"]
    assert bench.registry.agreed[-1] == {"a", "b"}
    assert bench.runtime.last("a").spec.environment == {"X": "1", "IOTEDGE_MODULEID": "a"}
    _, (credentials,) = bench.images.pulls[0]
    assert (credentials.server, credentials.password) == ("registry:1", "secret")
    assert bench.hub.status == {"code": 200, "description": ""}
    assert bench.hub.reported["lastDesiredVersion"] == 2
    shown = bench.hub.module("a")
    assert shown["runtimeStatus"] == "running"
    assert shown["settings"] == {"image": "a:1", "createOptions": "{}", "imageHash": "sha256:a:1"}
    assert shown["env"] == {"X": {"value": "1"}}
    assert shown["lastStartTimeUtc"].startswith("2026-01-01T00:00:00")
    assert "secret" not in str(bench.hub.patches)
    system: Any = bench.hub.reported["systemModules"]
    assert set(system) == {"edgeAgent", "edgeHub"}
    assert "status" not in system["edgeAgent"]


async def test_only_differences_are_reported(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module(), b=module()))
    await bench.settle()
    bench.hub.patches.clear()
    bench.hub.desire({"modules": {"b": None}})
    await bench.settle()
    (patch,) = bench.hub.patches
    assert patch == {"lastDesiredVersion": 3, "modules": {"b": None}}
    assert bench.runtime.running == ["a"]


async def test_what_has_not_changed_goes_on(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module("a:1"), b=module("b:1")))
    await bench.settle()
    a, b = bench.runtime.last("a"), bench.runtime.last("b")
    bench.hub.desire({"modules": {"b": {"settings": {"image": "b:2"}}}})
    await bench.settle()
    assert a.running
    assert not b.running
    assert bench.runtime.last("b").spec.image.reference == "b:2"
    bench.hub.desire({"modules": {"a": {"status": "stopped"}}})
    await bench.settle()
    assert not a.running
    assert bench.hub.module("a")["runtimeStatus"] == "stopped"
    bench.hub.desire({"modules": {"a": {"status": "running"}}})
    await bench.settle()
    assert bench.runtime.last("a").running
    assert bench.hub.module("a")["restartCount"] == 0


async def test_modules_start_in_their_order(bench: Bench) -> None:
    bench.hub.desire(deployment(late=module(), second=module(startupOrder=2), first=module(startupOrder=1)))
    await bench.settle()
    assert [one.spec.id for one in bench.runtime.containers] == ["first", "second", "late"]


async def test_a_module_that_ends_waits_longer_each_time(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module()))
    await bench.settle()
    for count, wait in enumerate((10, 20, 40, 80, 160, 300, 300)):
        bench.runtime.last("a").end(1)
        await bench.settle()
        shown = bench.hub.module("a")
        assert (shown["runtimeStatus"], shown["exitCode"], shown["restartCount"]) == ("backoff", 1, count)
        await bench.clock.advance(wait - 1)
        assert bench.runtime.running == []
        await bench.clock.advance(1)
        assert bench.runtime.running == ["a"]
        assert bench.hub.module("a")["restartCount"] == count + 1
    await bench.clock.advance(600)
    assert bench.hub.module("a")["restartCount"] == 0, "it ran for ten minutes"


async def test_after_twenty_restarts_a_module_has_failed(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module()))
    await bench.settle()
    for _ in range(20):
        bench.runtime.last("a").end(3)
        await bench.clock.advance(300)
    bench.runtime.last("a").end(3)
    await bench.clock.advance(3000)
    assert bench.runtime.running == []
    assert bench.hub.module("a")["runtimeStatus"] == "failed"
    bench.hub.desire({"modules": {"a": {"env": {"NEW": {"value": "1"}}}}})
    await bench.settle()
    assert bench.runtime.running == ["a"], "another deployment of it begins anew"
    assert bench.hub.module("a")["restartCount"] == 0


@pytest.mark.parametrize(
    ("policy", "code", "status", "again"),
    [
        ("never", 1, "failed", False),
        ("never", 0, "stopped", False),
        ("on-failure", 0, "stopped", False),
        ("on-failure", 1, "backoff", True),
        ("on-unhealthy", 1, "backoff", True),
        ("on-unhealthy", 0, "stopped", False),
        ("always", 0, "backoff", True),
    ],
)
async def test_the_restart_policy_has_the_word(bench: Bench, policy: str, code: int, status: str, again: bool) -> None:
    bench.hub.desire(deployment(a=module(restartPolicy=policy)))
    await bench.settle()
    bench.runtime.last("a").end(code)
    await bench.settle()
    assert bench.hub.module("a")["runtimeStatus"] == status
    await bench.clock.advance(10)
    assert (bench.runtime.running == ["a"]) is again


@pytest.mark.parametrize(
    ("broken", "code", "description"),
    [
        ({"schemaVersion": "0.9"}, 412, "The desired properties schema version 0.9 is not compatible"),
        ({"modules": {"a": {"settings": None}}}, 400, "Agent configuration format is invalid."),
    ],
)
async def test_a_deployment_that_cannot_be_read_changes_nothing(
    bench: Bench, broken: JsonObject, code: int, description: str
) -> None:
    bench.hub.desire(deployment(a=module()))
    await bench.settle()
    bench.hub.desire(broken)
    await bench.settle()
    assert bench.hub.status["code"] == code
    assert bench.hub.status["description"].startswith(description)
    assert bench.hub.reported["lastDesiredVersion"] == 3
    assert bench.runtime.running == ["a"]
    assert bench.hub.module("a")["runtimeStatus"] == "running"


async def test_an_image_that_is_missing_is_tried_again_and_holds_up_nobody(bench: Bench) -> None:
    bench.images.missing.add("a:1")
    bench.hub.desire(deployment(a=module("a:1"), b=module("b:1")))
    await bench.settle()
    assert bench.runtime.running == ["b"]
    assert bench.hub.status["code"] == 500
    assert "image a:1 is nowhere" in bench.hub.status["description"]
    assert bench.hub.module("a")["runtimeStatus"] == "backoff"
    bench.images.missing.clear()
    await bench.clock.advance(10)
    assert bench.runtime.running == ["b", "a"]
    assert bench.hub.status == {"code": 200, "description": ""}


async def test_other_credentials_are_tried_at_once(bench: Bench) -> None:
    bench.images.missing.add("a:1")
    bench.hub.desire(deployment(a=module("a:1")))
    await bench.settle()
    assert bench.hub.module("a")["runtimeStatus"] == "backoff"
    bench.images.missing.clear()
    registry: JsonObject = {"r": {"address": "r.azurecr.io", "username": "u", "password": "p"}}
    bench.hub.desire({"runtime": {"settings": {"registryCredentials": registry}}})
    await bench.settle()
    assert bench.runtime.running == ["a"]
    assert bench.hub.status == {"code": 200, "description": ""}


@pytest.mark.parametrize("missing", ["a:1", "none"])
async def test_a_deployment_that_comes_during_the_steps_of_another_is_not_reported_before_it_is_done(
    bench: Bench, missing: str
) -> None:
    bench.images.missing.add(missing)
    bench.images.gate.clear()
    bench.hub.desire(deployment(a=module("a:1")))
    await bench.settle()
    bench.hub.desire({"modules": {"a": {"settings": {"image": "a:2"}}}})
    bench.hub.patches.clear()
    bench.images.gate.set()
    await bench.settle()
    assert bench.runtime.last("a").spec.image.reference == "a:2"
    (patch,) = bench.hub.patches
    assert patch["lastDesiredVersion"] == 3
    assert patch["lastDesiredStatus"] == {"code": 200, "description": ""}


async def test_options_that_cannot_be_honoured_fail_with_the_reason(bench: Bench) -> None:
    settings = {"image": "a:1", "createOptions": '{"HostConfig":{"Privileged":true}}'}
    bench.hub.desire(deployment(a=module(settings=settings), b=module()))
    await bench.settle()
    assert bench.runtime.running == ["b"]
    shown = bench.hub.module("a")
    assert shown["runtimeStatus"] == "failed"
    assert "HostConfig.Privileged is not supported" in shown["statusDescription"]
    assert bench.hub.status["code"] == 500


async def test_a_gap_in_the_patches_means_that_the_twin_is_read(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module()))
    await bench.settle()
    pulls = bench.hub.pulls
    bench.hub.desire({"modules": {"b": module()}})
    await bench.settle()
    assert bench.hub.pulls == pulls
    bench.hub.desire({"modules": {"c": module()}}, told=False)
    bench.hub.desire({"modules": {"d": module()}})
    await bench.settle()
    assert bench.hub.pulls == pulls + 1
    assert bench.runtime.running == ["a", "b", "c", "d"]


async def test_without_its_hub_a_device_boots_from_what_it_has_kept(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module(), ended=module(restartPolicy="never")))
    await bench.settle()
    bench.runtime.last("ended").end(4)
    await bench.settle()
    await bench.kill()
    assert b"secret" not in (bench.folder / "backup.json").read_bytes()
    bench.hub.reachable = False
    bench.start()
    await bench.settle()
    assert bench.runtime.running == ["a"], "what had ended for good stays so"
    assert bench.images.pulls == [], "nothing is pulled"
    bench.hub.desire({"modules": {"ended": None, "new": module()}}, told=False)
    bench.hub.come_back()
    await bench.settle()
    assert bench.runtime.running == ["a", "new"]
    assert bench.hub.status["code"] == 200
    assert bench.hub.module("a")["restartCount"] == 0


async def test_what_was_reported_without_the_hub_is_made_up_for(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module(restartPolicy="never")))
    await bench.settle()
    bench.hub.reachable = False
    bench.runtime.last("a").end(7)
    await bench.settle()
    assert bench.hub.module("a")["runtimeStatus"] == "running"
    bench.hub.come_back()
    await bench.settle()
    shown = bench.hub.module("a")
    assert (shown["runtimeStatus"], shown["exitCode"]) == ("failed", 7)


async def test_a_hub_that_refuses_is_no_end(bench: Bench) -> None:
    bench.hub.problem = Refused(429, "Slow down.")
    bench.hub.desire(deployment(a=module()), told=False)
    bench.hub.come_back()
    await bench.settle()
    assert bench.runtime.running == []
    bench.hub.problem = None
    await bench.clock.advance(5)
    assert bench.runtime.running == ["a"]
    assert bench.hub.status["code"] == 200


async def test_at_the_end_nothing_is_known_any_more(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module()))
    await bench.settle()
    await bench.stop()
    assert bench.hub.status == {"code": 406, "description": "Agent is not running"}
    assert bench.hub.module("a")["runtimeStatus"] == "unknown"
    assert bench.runtime.running == []
    bench.start()
    await bench.settle()
    assert bench.runtime.running == ["a"]
    assert bench.hub.status["code"] == 200
    assert bench.hub.module("a")["runtimeStatus"] == "running"


async def test_restarts_are_counted_over_a_restart_of_the_device(bench: Bench) -> None:
    bench.hub.desire(deployment(a=module()))
    await bench.settle()
    for wait in (10, 20):
        bench.runtime.last("a").end(1)
        await bench.clock.advance(wait)
    await bench.kill()
    bench.start()
    await bench.settle()
    assert bench.runtime.running == ["a"]
    assert bench.hub.module("a")["restartCount"] == 2
