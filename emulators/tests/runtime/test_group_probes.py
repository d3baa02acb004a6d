"""Liveness, readiness and startup probes of a group's containers, by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.runtime.plan import ExecAction, GroupPlan, Probe, RestartPolicy
from windtunnel_emulators.runtime.status import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.conftest import Stage
    from windtunnel_emulators.runtime.group import ContainerGroup

ALWAYS, NEVER = RestartPolicy.ALWAYS, RestartPolicy.NEVER
ACTION = ExecAction(command=("check",))


def probe(**settings: float) -> Probe:
    return Probe(action=ACTION, **settings)  # type: ignore[arg-type]  # the test's own


def events(group: ContainerGroup) -> dict[str, tuple[int, str, str]]:
    return {event.name: (event.count, event.type, event.message) for event in group.status.containers[0].events}


async def tick(stage: Stage, seconds: float) -> None:
    await stage.clock.advance(seconds)
    await stage.settle()


async def test_a_container_that_is_not_alive_is_killed_and_restarted(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    plan = one_container(ALWAYS, liveness=probe(initial_delay_s=5, period_s=2, failure_threshold=3))
    group = await stage.run(plan)
    first = stage.runtime.running("a")
    await tick(stage, 4.9)
    assert first.executed == []
    await tick(stage, 0.1)
    assert len(first.executed) == 1
    first.health = 1
    await tick(stage, 4)
    assert events(group)["Unhealthy"] == (2, "Warning", "Liveness probe failed: not well")
    assert first.running
    await tick(stage, 2)
    assert not first.running
    assert first.stops == [plan.grace_s]
    assert events(group)["Killing"] == (1, "Normal", "Container a failed liveness probe, will be restarted")
    assert group.status.containers[0].restarts == 1
    assert group.status.containers[0].state.phase is Phase.RUNNING
    assert all(command.closed for command in first.executed)


async def test_one_good_answer_makes_the_count_start_anew(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    await stage.run(one_container(ALWAYS, liveness=probe(period_s=1, failure_threshold=2)))
    container = stage.runtime.running("a")
    for health in (1, 0, 1, 0, 1, 0):
        container.health = health
        await tick(stage, 1)
    assert container.running


async def test_never_is_not_overruled_by_liveness(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    plan = one_container(NEVER, liveness=probe(period_s=1, failure_threshold=1))
    group = await stage.run(plan)
    stage.runtime.running("a").health = 1
    await tick(stage, 1)
    assert group.status.state.value == "Failed"
    assert group.status.containers[0].restarts == 0
    assert events(group)["Killing"][2] == "Container a failed liveness probe"


async def test_a_probe_that_hangs_has_failed_after_its_timeout(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS, readiness=probe(period_s=10, timeout_s=2), liveness=None))
    assert group.status.ready
    container = stage.runtime.running("a")
    container.health = None
    await tick(stage, 10)
    assert "Unhealthy" not in events(group)
    await tick(stage, 2)
    assert events(group)["Unhealthy"][2] == "Readiness probe failed: command 'check' timed out after 2s"
    assert container.executed[-1].closed


@pytest.mark.parametrize("threshold", [1, 3])
async def test_readiness_comes_and_goes_by_its_thresholds(
    stage: Stage, one_container: Callable[..., GroupPlan], threshold: int
) -> None:
    settings = {"period_s": 1, "success_threshold": threshold, "failure_threshold": 2}
    group = await stage.run(one_container(ALWAYS, readiness=probe(**settings)))
    for _ in range(threshold - 1):
        assert not group.status.ready
        await tick(stage, 1)
    assert group.status.ready
    container = stage.runtime.running("a")
    container.health = 1
    await tick(stage, 1)
    assert group.status.ready
    await tick(stage, 1)
    assert not group.status.ready
    assert container.running
    assert group.status.state.value == "Running"


async def test_nothing_else_is_asked_before_the_startup_probe_has_passed(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    plan = one_container(
        ALWAYS, startup=probe(period_s=5, failure_threshold=4), liveness=probe(period_s=1, failure_threshold=1)
    )
    stage.runtime.health = 1
    group = await stage.run(plan)
    container = stage.runtime.running("a")
    await tick(stage, 10)
    assert container.running
    assert not group.status.ready
    assert {event.message for event in group.status.containers[0].events if event.name == "Unhealthy"} == {
        "Startup probe failed: not well"
    }
    container.health = 0
    await tick(stage, 5)
    assert group.status.ready
    container.health = 1
    await tick(stage, 1)
    assert not container.running


async def test_a_container_that_never_starts_up_is_killed(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS, startup=probe(initial_delay_s=1, period_s=1, failure_threshold=2)))
    container = stage.runtime.running("a")
    container.health = 1
    await tick(stage, 2)
    assert not container.running
    assert events(group)["Killing"][2] == "Container a failed startup probe, will be restarted"


async def test_probes_end_with_their_container(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(NEVER, liveness=probe(period_s=1), readiness=probe(period_s=1)))
    container = stage.runtime.running("a")
    container.end(0)
    await stage.settle()
    asked = len(container.executed)
    await tick(stage, 60)
    assert len(container.executed) == asked
    assert group.status.state.value == "Succeeded"
    assert not group.status.ready
