"""The agent's plan: from any state to any deployment, in one go, and then nothing more."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.edge.agent.planner import Action, Present, Step, next_change, plan
from windtunnel_emulators.edge.agent.restarts import MOST_RESTARTS, Condition, cool_off
from windtunnel_emulators.iot.manifests.deployment import DesiredStatus, Module, RestartPolicy

NOW = 1_000_000.0
modules = st.builds(
    Module,
    name=st.just(""),
    image=st.sampled_from(["one:1", "two:1"]),
    status=st.sampled_from(DesiredStatus),
    restart_policy=st.sampled_from(RestartPolicy),
    startup_order=st.integers(0, 2),
)
presents = st.builds(
    Present,
    spec=modules,
    condition=st.sampled_from([None, Condition.RUNNING, Condition.STOPPED, Condition.FAILED]),
    restarts=st.integers(0, MOST_RESTARTS),
    started=st.floats(NOW - 2000, NOW),
    exited=st.floats(NOW - 2000, NOW),
    by_order=st.booleans(),
)
names = st.sampled_from("abcd")


def named(specs: dict[str, Module]) -> dict[str, Module]:
    return {name: replace(spec, name=name) for name, spec in specs.items()}


def taken(state: dict[str, Present], step: Step, now: float) -> None:
    """What a step makes of a state."""
    name, known = step.module, state.get(step.module)
    match step.action:
        case Action.PULL:
            pass
        case Action.CREATE:
            assert known is None, "made twice"
            assert step.spec is not None
            state[name] = Present(spec=step.spec, condition=None)
        case Action.REMOVE:
            assert known is not None
            assert known.condition is not Condition.RUNNING, "removed while it ran"
            del state[name]
        case Action.START | Action.RESTART:
            assert known is not None
            assert known.condition is not Condition.RUNNING, "started twice"
            count = known.restarts + (step.action is Action.RESTART)
            state[name] = replace(known, condition=Condition.RUNNING, started=now, restarts=count, by_order=False)
        case Action.STOP:
            assert known is not None
            state[name] = replace(known, condition=Condition.STOPPED, exited=now, by_order=True)
        case Action.CLEAR:
            assert known is not None
            state[name] = replace(known, restarts=0)
        case Action.ADOPT:
            assert known is not None
            assert step.spec is not None
            state[name] = replace(known, spec=step.spec)


@given(st.dictionaries(names, presents), st.dictionaries(names, modules), st.booleans())
def test_a_plan_leads_to_the_deployment_and_then_there_is_nothing_to_do(
    present: dict[str, Present], desired: dict[str, Module], pulls_first: bool
) -> None:
    desired = named(desired)
    state = {name: replace(one, spec=replace(one.spec, name=name)) for name, one in present.items()}
    for step in plan(state, desired, NOW, pulls_first=pulls_first):
        taken(state, step, NOW)
    assert set(state) == set(desired)
    assert list(plan(state, desired, NOW)) == []
    for name, spec in desired.items():
        one = state[name]
        assert one.spec == spec
        if spec.status is DesiredStatus.STOPPED:
            assert one.condition is not Condition.RUNNING
        elif one.condition is not Condition.RUNNING:
            assert not one.by_order, "what was stopped by order is started when it shall run"
    due = next_change(state, desired)
    assert due is None or due > NOW


@given(st.dictionaries(names, modules, min_size=1))
def test_groups_follow_each_other(desired: dict[str, Module]) -> None:
    desired = named(desired)
    steps = plan({}, desired, NOW)
    orders = [desired[step.module].startup_order for step in steps]
    assert orders == sorted(orders)


@given(st.dictionaries(names, modules, min_size=1))
def test_all_pulls_come_first_where_that_is_wanted(desired: dict[str, Module]) -> None:
    actions = [step.action for step in plan({}, named(desired), NOW, pulls_first=True)]
    pulls = actions.count(Action.PULL)
    assert pulls == len(desired)
    assert set(actions[:pulls]) == {Action.PULL}


def test_waits_double_up_to_five_minutes() -> None:
    assert [cool_off(count) for count in range(7)] == [10, 20, 40, 80, 160, 300, 300]
    assert cool_off(10_000) == 300
