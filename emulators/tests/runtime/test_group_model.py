"""Whatever happens to a group, in any order: its counts, states and events agree with each other and with what ran."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from windtunnel_emulators.runtime.plan import ContainerPlan, ExecAction, GroupPlan, Probe, RestartPolicy
from windtunnel_emulators.runtime.status import GroupState, Phase, from_json, group_state, to_json

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.runtime.conftest import Stage
    from windtunnel_emulators.runtime.group import ContainerGroup
    from windtunnel_emulators.runtime.status import ContainerStatus


class MakesStages(Protocol):
    def __call__(self, folder: Path) -> Stage: ...


NAMES = ("a", "b")
PROBE = Probe(action=ExecAction(command=("check",)), period_s=5, failure_threshold=2)


class GroupLife(RuleBasedStateMachine):
    """One group, and everything that can happen to it."""

    make_stage: MakesStages

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.stage = self.make_stage(self.folder / "group")
        self.group: ContainerGroup | None = None
        self.deployed = False
        self.floor: dict[str, int] = {}

    def teardown(self) -> None:
        if self.group is not None:
            self.do(self.group.remove())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, work: Coroutine[Any, Any, object]) -> None:
        async def and_settle() -> None:
            await work
            await self.stage.settle()

        self.loop.run_until_complete(and_settle())

    @property
    def it(self) -> ContainerGroup:
        assert self.group is not None
        return self.group

    @property
    def all(self) -> tuple[ContainerStatus, ...]:
        return (*self.it.status.init_containers, *self.it.status.containers)

    @initialize(policy=st.sampled_from(RestartPolicy), init=st.booleans(), attempts=st.sampled_from([None, 2]))
    def deploy(self, policy: RestartPolicy, init: bool, attempts: int | None) -> None:
        plan = GroupPlan(
            owner="g",
            containers=tuple(ContainerPlan(name=n, image=n, liveness=PROBE, readiness=PROBE) for n in NAMES),
            init_containers=(ContainerPlan(name="init", image="init"),) if init else (),
            restart_policy=policy,
            pull_attempts=attempts,
        )

        async def make() -> None:
            self.group = self.stage.group(plan)
            await self.group.start()

        self.do(make())
        self.deployed = True

    @precondition(lambda self: any(c.running for c in self.stage.runtime.started))
    @rule(which=st.integers(0, 9), code=st.sampled_from([0, 0, 1, 137]))
    def a_container_ends(self, which: int, code: int) -> None:
        running = [c for c in self.stage.runtime.started if c.running]
        running[which % len(running)].end(code)
        self.do(asyncio.sleep(0))

    @rule(seconds=st.sampled_from([1, 5, 10, 40, 400, 700]))
    def time_passes(self, seconds: int) -> None:
        self.do(self.stage.clock.advance(seconds))

    @rule(name=st.sampled_from(["init", *NAMES]))
    def an_image_goes_or_comes_back(self, name: str) -> None:
        self.stage.runtime.missing ^= {name}

    @rule(name=st.sampled_from(["init", *NAMES]))
    def a_command_breaks_or_is_mended(self, name: str) -> None:
        self.stage.runtime.unstartable ^= {name}

    @rule(health=st.sampled_from([0, 1, None]))
    def health_changes(self, health: int | None) -> None:
        self.stage.runtime.health = health
        for container in self.stage.runtime.started:
            container.health = health

    @rule()
    def stop(self) -> None:
        finished, before = self.it.status.finished, self.it.status.state
        self.do(self.it.stop())
        assert self.it.status.state is (before if finished else GroupState.STOPPED)

    @rule()
    def start(self) -> None:
        if self.it.status.finished:
            self.floor.clear()
        self.do(self.it.start())

    @rule()
    def restart(self) -> None:
        self.do(self.it.restart())

    @rule()
    def the_emulators_are_killed_and_started_again(self) -> None:
        known = from_json(to_json(self.stage.seen[-1]))
        was_finished = known.finished
        self.do(self.it.close())
        runs = len(self.stage.runtime.started)

        async def restore() -> None:
            self.group = self.stage.group(self.it.plan)
            self.group.restore(known)

        self.do(restore())
        if was_finished:
            assert len(self.stage.runtime.started) == runs
            assert self.it.status.containers == known.containers

    @invariant()
    def what_is_said_to_run_runs(self) -> None:
        if not self.deployed:
            return
        really = Counter(c.spec.id.split(".")[-2] for c in self.stage.runtime.started if c.running)
        assert really == Counter(c.name for c in self.all if c.state.phase is Phase.RUNNING)

    @invariant()
    def the_state_follows_from_the_containers(self) -> None:
        if not self.deployed:
            return
        status = self.it.status
        stopped, refused = status.state is GroupState.STOPPED, status.refused is not None
        assert status.state is group_state(
            status.containers, status.init_containers, stopped=stopped, refused=refused and not stopped
        )
        if status.finished:
            assert not any(c.running for c in self.stage.runtime.started)
        if status.state is GroupState.STOPPED:
            assert status.address is None
        assert self.stage.seen[-1] == status
        assert from_json(to_json(status)) == status

    @invariant()
    def counts_agree(self) -> None:
        if not self.deployed:
            return
        for container in self.all:
            count = Counter({event.name: 0 for event in container.events})
            for event in container.events:
                count[event.name] += event.count
                assert event.first <= event.last <= self.stage.clock.now()
            assert container.restarts == max(0, count["Created"] - 1)
            assert count["Started"] <= count["Created"] <= count["Pulled"] <= count["Pulling"]
            assert container.restarts >= self.floor.get(container.name, 0)
            self.floor[container.name] = container.restarts
            if container.ready:
                assert container.state.phase is Phase.RUNNING
            if container.over:
                assert container.state.phase is Phase.TERMINATED
            if container.state.phase is Phase.TERMINATED:
                assert container.state.exit_code is not None
            if container.previous is not None:
                assert container.previous.phase is Phase.TERMINATED


def test_a_group_never_contradicts_itself(make_stage: MakesStages) -> None:
    machine: type[RuleBasedStateMachine] = type("Life", (GroupLife,), {"make_stage": staticmethod(make_stage)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
