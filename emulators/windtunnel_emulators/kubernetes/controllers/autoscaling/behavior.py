"""From what metrics call for to what is done: stabilisation windows, rates of change, bounds. Pure.

``History`` is what happened before; the rules are those of ``spec.behavior`` with its documented defaults.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, entries, number, optional_number, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

_LONGEST_S = 3600.0
_READY = ("ReadyForNewScale", "recommended size matches current size")
_LOWEST = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_HIGHEST = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_FASTER = "the desired replica count is {0} faster than the maximum scale rate"
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_POLICIES: list[Json] = [
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
]
_DOWN_POLICIES: list[Json] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


@dataclass(slots=True)
class History:
    """What was recommended and done, with the time of each, in seconds of a clock."""

    recommendations: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    ups: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    downs: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def scaled(self, now: float, before: int, after: int) -> None:
        """Remember a change of size."""
        (self.ups if after > before else self.downs).append((now, abs(after - before)))

    def forget(self, now: float) -> None:
        """Drop what is older than any window can be."""
        for each in (self.recommendations, self.ups, self.downs):
            while each and each[0][0] < now - _LONGEST_S:
                each.popleft()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The size, and why: (reason, message) for the conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: tuple[str, str]
    limited: bool
    limit: tuple[str, str]


def decide(
    spec: JsonObject, history: History, *, current: int, wanted: int, now: float, downscale_window_s: int
) -> Decision:
    """The size for what metrics call for; the recommendation is remembered in ``history``."""
    least, most = number(spec, "minReplicas", default=1), number(spec, "maxReplicas")
    if not history.recommendations:
        history.recommendations.append((now, current))
    behavior = dig(spec, "behavior")
    if behavior is None:
        stabilized = max(wanted, _most(history.recommendations, now - downscale_window_s, wanted))
        able = _READY if stabilized == wanted else _HIGHEST
        ceiling = max(2 * current, 4)
        floor = least
    else:
        up, down = dig(behavior, "scaleUp"), dig(behavior, "scaleDown")
        up_window = number(up, "stabilizationWindowSeconds", default=0)
        down_window = optional_number(down, "stabilizationWindowSeconds")
        down_window = downscale_window_s if down_window is None else down_window
        lowest = _least(history.recommendations, now - up_window, wanted)
        highest = _most(history.recommendations, now - down_window, wanted)
        stabilized = min(max(current, lowest), highest)
        able = _READY if stabilized == wanted else _LOWEST if wanted > stabilized else _HIGHEST
        ceiling = _ceiling(up, history, current, now)
        floor = max(least, _floor(down, history, current, now))
    history.recommendations.append((now, wanted))
    history.forget(now)
    return _bounded(stabilized, able, (floor, least), (ceiling, most))


def _bounded(wanted: int, able: tuple[str, str], lower: tuple[int, int], upper: tuple[int, int]) -> Decision:
    """Within rate and bounds; of the two upper (lower) limits the stricter one is the reason."""
    (ceiling, most), (floor, least) = upper, lower
    if wanted > min(ceiling, most):
        reason = _TOO_MANY if most <= ceiling else ("ScaleUpLimit", _FASTER.format("increasing"))
        return Decision(replicas=min(ceiling, most), able=able, limited=True, limit=reason)
    if wanted < floor:
        reason = _TOO_FEW if floor == least else ("ScaleDownLimit", _FASTER.format("decreasing"))
        return Decision(replicas=max(floor, least), able=able, limited=True, limit=reason)
    return Decision(replicas=wanted, able=able, limited=False, limit=_WITHIN)


def _most(recommendations: Iterable[tuple[float, int]], since: float, start: int) -> int:
    return max([start, *(value for at, value in recommendations if at > since)])


def _least(recommendations: Iterable[tuple[float, int]], since: float, start: int) -> int:
    return min([start, *(value for at, value in recommendations if at > since)])


def _limits(rules: Json, defaults: list[Json], start_of: Mapping[float, int], *, up: bool) -> list[int]:
    given = entries(rules, "policies") or [each for each in defaults if isinstance(each, dict)]
    limits: list[int] = []
    for policy in given:
        start = start_of[float(number(policy, "periodSeconds", default=15))]
        value = number(policy, "value")
        if text(policy, "type") == "Pods":
            limits.append(start + value if up else start - value)
        else:
            share = start * (1 + value / 100) if up else start * (1 - value / 100)
            limits.append(math.ceil(share - 1e-9) if up else int(share + 1e-9))
    return limits


def _starts(rules: Json, defaults: list[Json], history: History, current: int, now: float) -> dict[float, int]:
    """The size at the start of each policy's period, from what happened since."""
    given = entries(rules, "policies") or [each for each in defaults if isinstance(each, dict)]
    starts: dict[float, int] = {}
    for policy in given:
        period = float(number(policy, "periodSeconds", default=15))
        added = sum(change for at, change in history.ups if at > now - period)
        removed = sum(change for at, change in history.downs if at > now - period)
        starts[period] = current - added + removed
    return starts


def _ceiling(rules: Json, history: History, current: int, now: float) -> int:
    select = text(rules, "selectPolicy", default="Max")
    if select == "Disabled":
        return current
    limits = _limits(rules, _UP_POLICIES, _starts(rules, _UP_POLICIES, history, current, now), up=True)
    return max(min(limits) if select == "Min" else max(limits), current)


def _floor(rules: Json, history: History, current: int, now: float) -> int:
    select = text(rules, "selectPolicy", default="Max")
    if select == "Disabled":
        return current
    limits = _limits(rules, _DOWN_POLICIES, _starts(rules, _DOWN_POLICIES, history, current, now), up=False)
    # The largest change is the smallest number.
    return min(max(limits) if select == "Min" else min(limits), current)
