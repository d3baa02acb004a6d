from __future__ import annotations

from typing import Any

import pytest

from windtunnel_emulators.kubernetes.autoscaling import needed, seconds
from windtunnel_emulators.kubernetes.scheduler.nodes import PodInfo


def waiting(count: int, cpu: str = "1", **spec: Any) -> list[PodInfo]:
    container: Any = {"name": "main", "resources": {"requests": {"cpu": cpu}}}
    return [
        PodInfo.of({"metadata": {"name": f"p{i}", "uid": str(i)}, "spec": {"containers": [container], **spec}})
        for i in range(count)
    ]


def template(cpu: str = "2", *, taints: Any = (), **labels: str) -> Any:
    return {
        "metadata": {"name": "t", "labels": labels},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
    }


@pytest.mark.parametrize(
    ("pods", "present", "more"), [(1, 1, 1), (3, 1, 2), (4, 1, 2), (5, 1, 3), (50, 1, 4), (1, 5, 0)]
)
def test_a_pool_grows_as_far_as_pods_need_and_bounds_allow(pods: int, present: int, more: int) -> None:
    found = needed(waiting(pods), {"a": (template(), (1, 5))}, {"a": ["n"] * present})
    assert found == ({"a": more} if more else {})


def test_pods_that_fit_on_no_new_node_change_nothing() -> None:
    tainted = template(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    assert needed(waiting(1, cpu="8"), {"a": (template(), (1, 5))}, {}) == {}
    assert needed(waiting(1), {"a": (tainted, (1, 5))}, {}) == {}
    assert needed(waiting(1, nodeSelector={"x": "y"}), {"a": (template(), (1, 5))}, {}) == {}


def test_the_pool_that_suits_grows() -> None:
    pools = {"a": (template(), (1, 5)), "b": (template(x="y"), (0, 5))}
    assert needed(waiting(2, nodeSelector={"x": "y"}), pools, {}) == {"b": 1}


@pytest.mark.parametrize(("said", "found"), [("10s", 10.0), ("5m", 300.0), ("1h", 3600.0), ("", 7.0), ("x", 7.0)])
def test_durations(said: str, found: float) -> None:
    assert seconds(said, 7.0) == found
