"""The planner: from what is on the device, and what should be, to the steps between.

A pure function (edge-agent, ``HealthRestartPlanner``). Steps are in groups by ``startupOrder``, ascending; order means
that a start was attempted, not that the module is ready. Within a group: what is no longer wanted ends, new and changed
modules are made, then what waits for a restart or has another status gets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.agent import restarts
from windtunnel_emulators.edge.agent.restarts import Condition
from windtunnel_emulators.edge.agent.specs import is_made_like
from windtunnel_emulators.iot.manifests.deployment import DesiredStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from windtunnel_emulators.iot.manifests.deployment import Module


class Action(Enum):
    """What is done with one module."""

    STOP = "stop"
    REMOVE = "remove"
    PULL = "pull"
    CREATE = "create"
    START = "start"
    RESTART = "restart"
    """After it has ended by itself; counted."""
    CLEAR = "clear"
    """It ran long enough for its count of restarts to begin anew."""
    ADOPT = "adopt"
    """The container stays, and only what the agent keeps of it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do."""

    action: Action
    module: str
    spec: Module | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """One module that is on the device."""

    spec: Module
    condition: Condition | None
    """None for one that was made and not started yet."""
    restarts: int = 0
    started: float = 0.0
    exited: float = 0.0
    by_order: bool = False
    """It was stopped because it should be."""
    given_up: bool = False
    """It cannot be made as its deployment says; nothing more is tried."""


def plan(
    present: Mapping[str, Present],
    desired: Mapping[str, Module],
    now: float,
    *,
    scale: float = 1.0,
    pulls_first: bool = False,
) -> Sequence[Step]:
    """Empty when all is as it should be. ``now`` is on the clock of ``Present``; ``scale`` is that of its waits."""
    dropped = {name: one for name, one in present.items() if name not in desired}
    orders = {spec.startup_order for spec in desired.values()} | {one.spec.startup_order for one in dropped.values()}
    steps: list[Step] = []
    for order in sorted(orders):
        for name, one in dropped.items():
            if one.spec.startup_order == order:
                steps += _removed(name, one)
        group = {name: spec for name, spec in desired.items() if spec.startup_order == order}
        for name, spec in group.items():
            steps += _made(spec, present.get(name))
        for name, spec in group.items():
            known = present.get(name)
            if known is not None and is_made_like(known.spec, spec):
                steps += _kept(spec, known, now, scale)
    if pulls_first:
        steps.sort(key=lambda step: step.action is not Action.PULL)
    return steps


def next_change(present: Mapping[str, Present], desired: Mapping[str, Module], *, scale: float = 1.0) -> float | None:
    """When time alone will make another plan; None for never."""
    moments: list[float] = []
    for name, one in present.items():
        spec = desired.get(name)
        if spec is None or spec.status is not DesiredStatus.RUNNING:
            continue
        if one.condition is Condition.RUNNING:
            if one.restarts:
                moments.append(one.started + restarts.HEALTHY_RUN_S * scale)
        elif one.condition is not None and not one.by_order and not one.given_up:
            at = restarts.restart_at(spec.restart_policy, one.condition, one.restarts, one.exited, scale=scale)
            if at is not None:
                moments.append(at)
    return min(moments, default=None)


def _removed(name: str, one: Present) -> Iterator[Step]:
    if one.condition is Condition.RUNNING:
        yield Step(action=Action.STOP, module=name)
    yield Step(action=Action.REMOVE, module=name)


def _made(spec: Module, one: Present | None) -> Iterator[Step]:
    """A module that is new, or changed in more than its status."""
    if one is not None and is_made_like(one.spec, spec):
        return
    yield Step(action=Action.PULL, module=spec.name, spec=spec)
    if one is not None:
        yield from _removed(spec.name, one)
    yield Step(action=Action.CREATE, module=spec.name, spec=spec)
    if spec.status is DesiredStatus.RUNNING:
        yield Step(action=Action.START, module=spec.name, spec=spec)


def _kept(spec: Module, one: Present, now: float, scale: float) -> Iterator[Step]:
    """A module whose container stays."""
    if spec.status is not one.spec.status:
        yield Step(action=Action.ADOPT, module=spec.name, spec=spec)
    if one.condition is Condition.RUNNING:
        if spec.status is DesiredStatus.STOPPED:
            yield Step(action=Action.STOP, module=spec.name, spec=spec)
        elif one.restarts and now - one.started >= restarts.HEALTHY_RUN_S * scale:
            yield Step(action=Action.CLEAR, module=spec.name, spec=spec)
        return
    if spec.status is DesiredStatus.STOPPED or one.given_up:
        return
    if one.condition is None or one.by_order:
        yield Step(action=Action.START, module=spec.name, spec=spec)
        return
    at = restarts.restart_at(spec.restart_policy, one.condition, one.restarts, one.exited, scale=scale)
    if at is not None and at <= now:
        yield Step(action=Action.RESTART, module=spec.name, spec=spec)
