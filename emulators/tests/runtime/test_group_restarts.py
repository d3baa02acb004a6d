"""Restart policies, back-off, states and events of a group, as recorded from the real service where it is known."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.runtime.group import NoSuchContainer, NotRunning
from windtunnel_emulators.runtime.plan import ContainerPlan, GroupPlan, RestartPolicy
from windtunnel_emulators.runtime.status import ContainerState, GroupState, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.conftest import Stage
    from windtunnel_emulators.runtime.group import ContainerGroup

ALWAYS, ON_FAILURE, NEVER = RestartPolicy.ALWAYS, RestartPolicy.ON_FAILURE, RestartPolicy.NEVER


def state(group: ContainerGroup, name: str = "a") -> ContainerState:
    found = group.status.container(name)
    assert found is not None
    return found.state


def events(group: ContainerGroup, name: str = "a") -> dict[str, tuple[int, str, str]]:
    found = group.status.container(name)
    assert found is not None
    return {event.name: (event.count, event.type, event.message) for event in found.events}


async def test_a_started_container_has_the_recorded_events(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS))
    assert group.status.state.value == "Running"
    assert group.status.ready
    assert group.status.address == "127.77.0.1"
    assert state(group) == ContainerState(phase=Phase.RUNNING, started=stage.clock.now())
    assert events(group) == {
        "Pulling": (1, "Normal", 'pulling image "image"'),
        "Pulled": (1, "Normal", 'Successfully pulled image "image"'),
        "Created": (1, "Normal", "Created container"),
        "Started": (1, "Normal", "Started container"),
    }
    assert list(events(group)) == ["Pulling", "Pulled", "Created", "Started"]


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        (NEVER, 0, GroupState.SUCCEEDED),
        (NEVER, 2, GroupState.FAILED),
        (ON_FAILURE, 0, GroupState.SUCCEEDED),
    ],
)
async def test_a_container_that_is_not_restarted_decides_the_state(
    stage: Stage, one_container: Callable[..., GroupPlan], policy: RestartPolicy, code: int, expected: GroupState
) -> None:
    group = await stage.run(one_container(policy))
    stage.runtime.running("a").end(code)
    await stage.settle()
    assert group.status.state is expected
    assert group.status.finished
    found = group.status.containers[0]
    assert (found.over, found.restarts, found.ready) == (True, 0, False)
    assert state(group).detail == ("Completed" if code == 0 else "Error")
    assert state(group).exit_code == code
    await stage.clock.advance(10_000)
    assert len(stage.runtime.started) == 1


@pytest.mark.parametrize(("policy", "code"), [(ALWAYS, 0), (ALWAYS, 1), (ON_FAILURE, 1)])
async def test_a_crash_loop_backs_off_as_recorded(
    stage: Stage, one_container: Callable[..., GroupPlan], policy: RestartPolicy, code: int
) -> None:
    group = await stage.run(one_container(policy))
    stage.runtime.running("a").end(code)
    await stage.settle()
    # The first restart comes at once.
    assert group.status.containers[0].restarts == 1
    for wait in (10, 20, 40, 80, 160, 300, 300):
        restarts = group.status.containers[0].restarts
        stage.runtime.running("a").end(code)
        await stage.settle()
        assert state(group).phase is Phase.WAITING
        assert state(group).detail == f"CrashLoopBackOff: Back-off {wait}s restarting failed"
        assert group.status.state.value == "Running"
        previous = group.status.containers[0].previous
        assert previous is not None
        assert (previous.phase, previous.exit_code) == (Phase.TERMINATED, code)
        await stage.clock.advance(wait - 0.5)
        await stage.settle()
        assert state(group).phase is Phase.WAITING
        await stage.clock.advance(0.5)
        await stage.settle()
        assert state(group).phase is Phase.RUNNING
        assert group.status.containers[0].restarts == restarts + 1
    assert events(group)["BackOff"] == (7, "Warning", "Back-off restarting failed container")
    assert events(group)["Started"][0] == events(group)["Pulled"][0] == 9
    started = next(e for e in group.status.containers[0].events if e.name == "Started")
    assert started.last - started.first == timedelta(seconds=10 + 20 + 40 + 80 + 160 + 300 + 300)


async def test_ten_minutes_of_running_end_the_back_off(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(ALWAYS))
    for wait in (0, 10, 20):
        stage.runtime.running("a").end(1)
        await stage.settle()
        await stage.clock.advance(wait)
        await stage.settle()
    await stage.clock.advance(600)
    stage.runtime.running("a").end(1)
    await stage.settle()
    assert state(group).phase is Phase.RUNNING
    assert group.status.containers[0].restarts == 4


async def test_an_exit_code_and_its_reason_are_kept(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(NEVER))
    await stage.clock.advance(3)
    stage.runtime.running("a").end(137, "OOMKilled")
    await stage.settle()
    ended = state(group)
    assert (ended.exit_code, ended.reason) == (137, "OOMKilled")
    assert ended.started is not None
    assert ended.finished is not None
    assert ended.finished - ended.started == timedelta(seconds=3)


async def test_a_command_that_cannot_be_started_is_a_failed_run(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    stage.runtime.unstartable.add("image")
    group = await stage.run(one_container(NEVER))
    assert group.status.state.value == "Failed"
    assert state(group).exit_code == 128
    assert "executable file not found" in state(group).detail
    assert events(group)["Failed"] == (1, "Warning", "Error: exec: 'nonesuch': executable file not found in $PATH")


async def test_stop_ends_the_containers_and_gives_up_the_address(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS))
    container = stage.runtime.running("a")
    await group.stop(7)
    await stage.settle()
    assert container.stops == [7]
    assert group.status.state.value == "Stopped"
    assert (group.status.address, stage.runtime.addresses) == (None, {})
    assert state(group).exit_code == 143
    assert events(group)["Killing"] == (1, "Normal", "Stopping container a")
    assert stage.seen[-1] == group.status
    await stage.clock.advance(10_000)
    assert len(stage.runtime.started) == 1


async def test_stop_leaves_a_finished_group_as_it_is(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(NEVER))
    stage.runtime.running("a").end(0)
    await stage.settle()
    await group.stop()
    assert group.status.state.value == "Succeeded"


async def test_stop_ends_the_wait_of_a_crash_loop(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(ALWAYS))
    for _ in range(2):
        stage.runtime.running("a").end(1)
        await stage.settle()
    assert state(group).reason == "CrashLoopBackOff"
    await group.stop()
    assert group.status.state.value == "Stopped"


@pytest.mark.parametrize("ended", [True, False])
async def test_start_after_the_end_is_a_new_deployment(
    stage: Stage, one_container: Callable[..., GroupPlan], ended: bool
) -> None:
    group = await stage.run(one_container(ON_FAILURE))
    stage.runtime.running("a").end(1)
    await stage.settle()
    assert group.status.containers[0].restarts == 1
    if ended:
        stage.runtime.running("a").end(0)
        await stage.settle()
    else:
        await group.stop()
    await group.start()
    await stage.settle()
    found = group.status.containers[0]
    assert (group.status.state, found.restarts, found.previous) == (GroupState.RUNNING, 0, None)
    assert events(group)["Pulling"][0] == 1


async def test_start_of_a_running_group_changes_nothing(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(ALWAYS))
    before = group.status
    await group.start()
    await stage.settle()
    assert group.status == before
    assert len(stage.runtime.started) == 1


async def test_restart_runs_all_containers_again_in_place(stage: Stage) -> None:
    containers = tuple(ContainerPlan(name=name, image=name) for name in ("a", "b"))
    group = await stage.run(GroupPlan(owner="g", containers=containers))
    await group.restart(5)
    await stage.settle()
    assert [c.restarts for c in group.status.containers] == [1, 1]
    assert [c.state.phase for c in group.status.containers] == [Phase.RUNNING] * 2
    assert events(group)["Pulled"][0] == 2
    assert [c.stops for c in stage.runtime.started] == [[5], [5], [], []]
    assert group.status.address == "127.77.0.1"


async def test_one_container_may_end_while_another_runs(stage: Stage) -> None:
    containers = tuple(ContainerPlan(name=name, image=name) for name in ("a", "b"))
    group = await stage.run(GroupPlan(owner="g", containers=containers, restart_policy=NEVER))
    stage.runtime.running("a").end(1)
    await stage.settle()
    assert group.status.state.value == "Running"
    assert not group.status.ready
    stage.runtime.running("b").end(0)
    await stage.settle()
    assert group.status.state.value == "Failed"


async def test_init_containers_run_one_after_the_other(stage: Stage) -> None:
    inits = tuple(ContainerPlan(name=name, image=name) for name in ("first", "second"))
    plan = GroupPlan(owner="g", containers=(ContainerPlan(name="a", image="a"),), init_containers=inits)
    group = await stage.run(plan)
    assert group.status.state.value == "Pending"
    for name in ("first", "second"):
        assert stage.runtime.pulled[-1] == name
        stage.runtime.running(name).end(0)
        await stage.settle()
    assert group.status.state.value == "Running"
    assert [c.over for c in group.status.init_containers] == [True, True]


@pytest.mark.parametrize(("policy", "again"), [(ALWAYS, True), (ON_FAILURE, True), (NEVER, False)])
async def test_a_failing_init_container_is_tried_again_unless_never(
    stage: Stage, policy: RestartPolicy, again: bool
) -> None:
    init = ContainerPlan(name="init", image="init")
    plan = GroupPlan(
        owner="g", containers=(ContainerPlan(name="a", image="a"),), init_containers=(init,), restart_policy=policy
    )
    group = await stage.run(plan)
    stage.runtime.running("init").end(3)
    await stage.settle()
    assert group.status.state is (GroupState.PENDING if again else GroupState.FAILED)
    assert group.status.finished is not again
    assert "a" not in stage.runtime.pulled


async def test_wait_returns_at_the_first_status_that_fits(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = stage.group(one_container(NEVER))
    await group.start()
    status = await group.wait(lambda status: status.ready)
    assert status.state is GroupState.RUNNING
    assert (await group.wait(lambda status: status.ready)).ready


async def test_what_does_not_run_cannot_be_entered(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(NEVER))
    assert await (await group.execute("a", ("true",))).wait() == 0
    with pytest.raises(NoSuchContainer, match="no container 'b' in /groups/one; it has a"):
        await group.execute("b", ("true",))
    stage.runtime.running("a").end(4)
    await stage.settle()
    with pytest.raises(NotRunning, match="'a' does not run; it is Terminated: Error"):
        await group.execute("a", ("true",))


async def test_changes_of_one_moment_are_announced_together(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS))
    assert stage.seen[-1] == group.status
    assert all(before != after for before, after in pairwise(stage.seen))
    assert len(stage.seen) < 6


async def test_only_the_logs_of_the_last_two_runs_are_kept(
    stage: Stage, one_container: Callable[..., GroupPlan]
) -> None:
    group = await stage.run(one_container(ALWAYS))

    async def until_started(runs: int) -> None:
        await stage.until(lambda: len(stage.runtime.started) == runs)

    for run, wait in enumerate((0, 10, 20), start=1):
        await until_started(run)
        spec = stage.runtime.running("a").spec
        spec.directory.mkdir(parents=True)
        (spec.directory / "unreadable").mkdir(mode=0)
        spec.log.write_text(f"2026-01-01T00:00:00.000000Z stdout {spec.log.name}\n")
        stage.runtime.running("a").end(1)
        if wait:
            await stage.until(lambda: state(group).reason == "CrashLoopBackOff")
        await stage.clock.advance(wait)
    await until_started(4)
    assert sorted(path.name for path in (stage.folder / "a").iterdir()) == ["run-2.log", "run-3", "run-3.log"]
    assert group.logs("a", previous=True) == "run-3.log\n"
    assert group.logs("a") == ""


async def test_remove_deletes_the_folder(stage: Stage, one_container: Callable[..., GroupPlan]) -> None:
    group = await stage.run(one_container(ALWAYS))
    (stage.folder / "a").mkdir(parents=True)
    await group.remove()
    await group.remove()
    assert not stage.folder.exists()
    assert not stage.runtime.started[0].running
    assert stage.runtime.addresses == {}
