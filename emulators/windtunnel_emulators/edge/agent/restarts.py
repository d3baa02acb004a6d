"""When a module that has ended is started again (edge-agent, ``RestartPolicyManager``)."""

from __future__ import annotations

from enum import Enum

from windtunnel_emulators.iot.manifests.deployment import RestartPolicy

UNIT_S = 10.0
LONGEST_S = 300.0
MOST_RESTARTS = 20
"""A module that was started again so often is given up, until its deployment changes."""
HEALTHY_RUN_S = 600.0
"""After such a run the count begins anew."""


class Condition(Enum):
    """``runtimeStatus``, as it is reported."""

    UNKNOWN = "unknown"
    BACKOFF = "backoff"
    RUNNING = "running"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"
    """Ended with exit code 0, or was stopped by order."""
    FAILED = "failed"
    DEAD = "dead"


_ENDED = frozenset((Condition.STOPPED, Condition.FAILED, Condition.UNHEALTHY, Condition.DEAD))
_RESTARTED = {
    RestartPolicy.NEVER: frozenset[Condition](),
    RestartPolicy.ON_FAILURE: frozenset((Condition.FAILED,)),
    RestartPolicy.ON_UNHEALTHY: frozenset((Condition.FAILED, Condition.UNHEALTHY)),
    RestartPolicy.ALWAYS: _ENDED,
}


def cool_off(restarts: int) -> float:
    """Seconds from a module's end to its next start, after it was started again so many times."""
    # Doubling stops mattering long before it overflows.
    return min(UNIT_S * (1 << min(restarts, 10)), LONGEST_S)


def wants_restart(policy: RestartPolicy, condition: Condition) -> bool:
    """Whether the policy starts a module again that ended so, sooner or later."""
    return condition in _RESTARTED[policy]


def condition_of(policy: RestartPolicy, ended: Condition, restarts: int) -> Condition:
    """What an ended module is reported as: it waits, it is over, or was given up."""
    if not wants_restart(policy, ended):
        return ended
    return Condition.FAILED if restarts >= MOST_RESTARTS else Condition.BACKOFF


def restart_at(
    policy: RestartPolicy, ended: Condition, restarts: int, exited: float, *, scale: float = 1.0
) -> float | None:
    """The moment of the next start, on the scale of ``exited``; None for never."""
    if condition_of(policy, ended, restarts) is not Condition.BACKOFF:
        return None
    return exited + cool_off(restarts) * scale
