"""A group after the emulators have been ended and started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.runtime.plan import ContainerPlan, GroupPlan, RestartPolicy
from windtunnel_emulators.runtime.status import GroupStatus, Phase, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.conftest import Stage
    from windtunnel_emulators.runtime.group import ContainerGroup

ALWAYS, ON_FAILURE, NEVER = RestartPolicy.ALWAYS, RestartPolicy.ON_FAILURE, RestartPolicy.NEVER


async def again(stage: Stage, group: ContainerGroup) -> tuple[ContainerGroup, GroupStatus]:
    """End the group's supervisor, and make another from what was announced last; both and that status."""
    known = from_json(to_json(stage.seen[-1]))
    await group.close()
    await stage.settle()
    # Whoever closes a group keeps what it knew before.
    assert stage.seen[-1] == known
    other = stage.group(group.plan)
    other.restore(known)
    await stage.settle()
    return other, known


@pytest.mark.parametrize("policy", [ALWAYS, ON_FAILURE, NEVER])
async def test_what_ran_is_run_again_under_every_policy(
    stage: Stage, one_container: Callable[..., GroupPlan], policy: RestartPolicy
) -> None:
    group, known = await again(stage, await stage.run(one_container(policy)))
    found = group.status.containers[0]
    assert group.status.state.value == "Running"
    assert (found.restarts, found.state.phase) == (1, Phase.RUNNING)
    assert found.previous is not None
    assert (found.previous.exit_code, found.previous.started) == (137, known.containers[0].state.started)
    assert "ended together with the emulators" in found.previous.message
    assert {e.name: e.count for e in found.events}["Started"] == 2
    assert group.status.address == known.address


@pytest.mark.parametrize(("policy", "code"), [(NEVER, 0), (NEVER, 3), (ON_FAILURE, 0)])
async def test_a_finished_group_is_not_run_again(
    stage: Stage, one_container: Callable[..., GroupPlan], policy: RestartPolicy, code: int
) -> None:
    group = await stage.run(one_container(policy))
    stage.runtime.running("a").end(code)
    await stage.settle()
    group, known = await again(stage, group)
    assert group.status.containers == known.containers
    assert group.status.state is known.state
    await stage.clock.advance(1_000)
    assert len(stage.runtime.started) == 1


async def test_a_stopped_group_stays_stopped_until_it_is_started(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS))
    await group.stop()
    await stage.settle()
    group, _ = await again(stage, group)
    assert group.status.state.value == "Stopped"
    assert len(stage.runtime.started) == 1
    await group.start()
    await stage.settle()
    assert group.status.state.value == "Running"


async def test_a_refused_group_stays_refused(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    stage.runtime.missing.add("image")
    group, _ = await again(stage, await stage.run(one_container(ALWAYS, pull_attempts=1)))
    assert group.status.refused == "there is no such image"
    assert group.status.state.value == "Failed"
    assert len(stage.runtime.pulled) == 1


async def test_a_crash_loop_goes_on_with_its_count(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(ALWAYS))
    for _ in range(2):
        stage.runtime.running("a").end(5)
        await stage.settle()
    group, known = await again(stage, group)
    found = group.status.containers[0]
    assert known.containers[0].state.reason == "CrashLoopBackOff"
    assert (found.restarts, found.state.phase) == (2, Phase.RUNNING)
    assert found.previous == known.containers[0].previous


async def test_only_what_was_not_over_is_run_again(stage: Stage) -> None:
    containers = tuple(ContainerPlan(name=name, image=name) for name in ("job", "server"))
    init = ContainerPlan(name="init", image="init")
    plan = GroupPlan(owner="g", containers=containers, init_containers=(init,), restart_policy=ON_FAILURE)
    group = await stage.run(plan)
    stage.runtime.running("init").end(0)
    await stage.settle()
    stage.runtime.running("job").end(0)
    await stage.settle()
    group, _ = await again(stage, group)
    assert [c.spec.id.split(".")[-2] for c in stage.runtime.started] == ["init", "job", "server", "server"]
    assert group.status.state.value == "Running"
    stage.runtime.running("server").end(0)
    await stage.settle()
    assert group.status.state.value == "Succeeded"


async def test_the_output_of_the_last_run_is_found_after_a_restore(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(NEVER))
    container = stage.runtime.running("a")
    container.spec.log.parent.mkdir(parents=True)
    container.spec.log.write_text("2026-01-01T00:00:00.000000Z stdout hello\n")
    container.end(0)
    await stage.settle()
    group, _ = await again(stage, group)
    assert group.logs("a") == "hello\n"
    assert group.logs("a", previous=True) == ""


def test_a_status_that_nobody_has_written_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a valid GroupState"):
        from_json({"state": "Bananas"})
