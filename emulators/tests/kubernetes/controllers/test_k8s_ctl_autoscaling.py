"""Autoscaling: replicas from measurements, and what behaviour makes of them over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.client.interface import StatusError, WatchEvent
from windtunnel_emulators.kubernetes.client.meta import condition, mapping
from windtunnel_emulators.kubernetes.controllers.autoscaling.behavior import Decision, History, decide
from windtunnel_emulators.kubernetes.controllers.autoscaling.replicas import (
    Measured,
    MetricProblem,
    Readiness,
    Result,
    Tolerance,
    measured,
    replicas_for,
    seconds,
)
from windtunnel_emulators.kubernetes.controllers.manager import Controllers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from windtunnel_emulators.jsontypes import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(
    name: str, *, ready: bool = True, phase: str = "Running", request: str = "1000m", age_s: int = 3600
) -> JsonObject:
    started = (NOW - timedelta(seconds=age_s)).isoformat()
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": request, "memory": "1Gi"}}}]},
        "status": {
            "phase": phase,
            "startTime": started,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": started}],
        },
    }


def use(*milli: int) -> dict[str, Measured]:
    return {f"p{i}": Measured(milli=value, at=NOW, window_s=15) for i, value in enumerate(milli)}


def wanted(
    current: int, pods: list[JsonObject], metrics: dict[str, Measured], percent: int | None = 50, **changes: Any
) -> Result:
    arguments: dict[str, Any] = {
        "current": current,
        "resource": "cpu",
        "container": None,
        "target_percent": percent,
        "target_milli": 0,
        "pods": pods,
        "metrics": metrics,
        "tolerance": Tolerance(),
        "readiness": Readiness(),
        "now": NOW,
        **changes,
    }
    return replicas_for(**arguments)


def test_twice_the_target_calls_for_twice_the_pods() -> None:
    found = wanted(2, [pod("p0"), pod("p1")], use(1000, 1000))
    assert (found.replicas, found.utilization) == (4, 100)


def test_within_tolerance_nothing_changes() -> None:
    assert wanted(2, [pod("p0"), pod("p1")], use(540, 540)).replicas == 2
    assert wanted(2, [pod("p0"), pod("p1")], use(560, 560)).replicas == 3


def test_a_pod_that_is_not_ready_counts_as_idle_when_scaling_up() -> None:
    pods = [pod("p0"), pod("p1"), pod("p2", phase="Pending")]
    assert wanted(3, pods, use(1000, 1000)).replicas == 4


def test_a_pod_without_measurement_counts_as_busy_when_scaling_down() -> None:
    pods = [pod("p0"), pod("p1"), pod("p2")]
    assert wanted(3, pods, use(100, 100)).replicas == 3


def test_a_pod_that_just_became_ready_is_not_judged_by_its_start() -> None:
    young = pod("p1", age_s=10)
    young["status"]["conditions"][0]["lastTransitionTime"] = (NOW - timedelta(seconds=5)).isoformat()  # type: ignore[index,call-overload]
    assert wanted(2, [pod("p0"), young], use(500, 5000)).replicas == 2


def test_an_average_value_is_a_target_too() -> None:
    found = wanted(2, [pod("p0"), pod("p1")], use(900, 900), percent=None, target_milli=300)
    assert (found.replicas, found.utilization, found.average_milli) == (6, None, 900)


@pytest.mark.parametrize(
    ("pods", "metrics", "said"),
    [
        ([], use(1), "no pods returned by selector while calculating replica count"),
        ([pod("p0")], {}, "did not receive metrics for targeted pods (pods might be unready)"),
        (
            [{**pod("p0"), "spec": {"containers": [{"name": "c"}]}}],
            use(1),
            "missing request for cpu in container c of Pod p0",
        ),
    ],
)
def test_what_cannot_be_told_is_said(pods: list[JsonObject], metrics: dict[str, Measured], said: str) -> None:
    with pytest.raises(MetricProblem) as problem:
        wanted(1, pods, metrics)
    assert str(problem.value) == said


@given(st.integers(1, 20), st.integers(1, 3000), st.integers(1, 200))
def test_the_answer_brings_use_to_the_target_or_changes_nothing(count: int, milli: int, percent: int) -> None:
    pods = [pod(f"p{i}") for i in range(count)]
    found = wanted(count, pods, use(*[milli] * count), percent=percent).replicas
    ratio = (milli * count * 100 // (1000 * count)) / percent
    if found != count:
        assert not 0.9 <= ratio <= 1.1
        assert (found > count) == (ratio > 1)
        assert ratio * count <= found < ratio * count + 1


def test_measurements_of_all_containers_are_summed_and_incomplete_ones_left_out() -> None:
    answer: JsonObject = {
        "items": [
            {
                "metadata": {"name": "whole"},
                "timestamp": NOW.isoformat(),
                "window": "15s",
                "containers": [{"name": "a", "usage": {"cpu": "100m"}}, {"name": "b", "usage": {"cpu": "50m"}}],
            },
            {
                "metadata": {"name": "part"},
                "timestamp": NOW.isoformat(),
                "window": "15s",
                "containers": [{"name": "a", "usage": {"memory": "1Gi"}}],
            },
        ]
    }
    assert {name: each.milli for name, each in measured(answer, "cpu", None).items()} == {"whole": 150}
    assert measured(answer, "cpu", "b")["whole"].milli == 50


@pytest.mark.parametrize(("text", "value"), [("15s", 15), ("1m0s", 60), ("1h30m", 5400), ("500ms", 0.5), ("?", 60)])
def test_durations_are_read_as_go_writes_them(text: str, value: float) -> None:
    assert seconds(text) == value


def spec(**behavior: object) -> JsonObject:
    return {"minReplicas": 1, "maxReplicas": 20, **({"behavior": behavior} if behavior else {})}  # type: ignore[dict-item]


def step(
    specification: JsonObject, history: History, current: int, called_for: int, now: float = 0.0, window: int = 300
) -> Decision:
    found = decide(specification, history, current=current, wanted=called_for, now=now, downscale_window_s=window)
    if found.replicas != current:
        history.scaled(now, current, found.replicas)
    return found


def test_without_behaviour_it_doubles_at_most() -> None:
    found = step(spec(), History(), 3, 20)
    assert (found.replicas, found.limit[0]) == (6, "ScaleUpLimit")


def test_it_goes_down_only_after_five_quiet_minutes() -> None:
    history = History()
    assert step(spec(), history, 4, 8, now=0).replicas == 8
    held = step(spec(), history, 8, 2, now=60)
    assert (held.replicas, held.able[0]) == (8, "ScaleDownStabilized")
    assert step(spec(), history, 8, 2, now=301).replicas == 2


def test_bounds_hold_and_are_named() -> None:
    assert step(spec(), History(), 15, 40).limit[0] == "TooManyReplicas"
    low = step({"minReplicas": 3, "maxReplicas": 9}, History(), 3, 1, window=0)
    assert (low.replicas, low.limit[0]) == (3, "TooFewReplicas")


def test_policies_limit_what_is_added_in_a_period() -> None:
    rules = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}, "scaleDown": {}}
    history = History()
    assert step(spec(**rules), history, 2, 10, now=0).replicas == 4
    assert step(spec(**rules), history, 4, 10, now=30).replicas == 4
    assert step(spec(**rules), history, 4, 10, now=61).replicas == 6


def test_the_larger_policy_counts_unless_the_smaller_is_asked_for() -> None:
    policies = [
        {"type": "Pods", "value": 1, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
    assert step(spec(scaleUp={"policies": policies}), History(), 4, 20).replicas == 8
    assert step(spec(scaleUp={"policies": policies, "selectPolicy": "Min"}), History(), 4, 20).replicas == 5
    assert step(spec(scaleUp={"selectPolicy": "Disabled"}), History(), 4, 20).replicas == 4


def test_scaling_down_obeys_its_own_window_and_rate() -> None:
    rules = {
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        }
    }
    found = step(spec(**rules), History(), 16, 1)
    assert (found.replicas, found.limit[0]) == (8, "ScaleDownLimit")


def test_a_window_for_scaling_up_waits_for_the_lowest() -> None:
    rules = {"scaleUp": {"stabilizationWindowSeconds": 60}}
    history = History()
    step(spec(**rules), history, 2, 2, now=0)
    held = step(spec(**rules), history, 2, 8, now=30)
    assert (held.replicas, held.able[0]) == (2, "ScaleUpStabilized")
    assert step(spec(**rules), history, 2, 8, now=100).replicas == 4 or history.recommendations


@given(st.integers(1, 20), st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_whatever_is_called_for_stays_within_the_bounds(start: int, calls: list[int]) -> None:
    history, current = History(), start
    for at, called_for in enumerate(calls):
        current = step(
            spec(scaleDown={"stabilizationWindowSeconds": 0}), history, current, called_for, now=at * 15.0
        ).replicas
        assert 1 <= current <= 20


class Api:
    """An API with one autoscaler, its deployment's scale, one pod, and what is measured."""

    def __init__(self, usage: str | None) -> None:
        self.usage = usage
        self.replicas = 1
        self.status: JsonObject = {}
        self.events: list[JsonObject] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Any:
        if path.endswith("/scale"):
            if method == "PUT":
                self.replicas = body["spec"]["replicas"]
            return {
                "metadata": {"name": "web", "namespace": "n"},
                "spec": {"replicas": self.replicas},
                "status": {"selector": "app=web"},
            }
        if path.startswith("/apis/metrics.k8s.io"):
            if self.usage is None:
                raise StatusError({"code": 404, "message": "the server could not find the requested resource"})
            containers = [{"name": "c", "usage": {"cpu": self.usage}}]
            found = {
                "metadata": {"name": "p0"},
                "timestamp": NOW.isoformat(),
                "window": "15s",
                "containers": containers,
            }
            return {"items": [found]}
        if path.endswith("/horizontalpodautoscalers"):
            return {"metadata": {"resourceVersion": "1"}, "items": [self.autoscaler()]}
        if path.endswith("/horizontalpodautoscalers/web/status"):
            self.status = body["status"]
            return {**body, "metadata": {**body["metadata"], "resourceVersion": "2"}}
        if "events" in path:
            self.events.append(body)
            return body
        return {"metadata": {"resourceVersion": "1"}, "items": [pod("p0")]}

    def autoscaler(self) -> JsonObject:
        target: JsonObject = {"type": "Utilization", "averageUtilization": 50}
        return {
            "metadata": {"name": "web", "namespace": "n", "uid": "u", "resourceVersion": "1"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 1,
                "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
            "status": self.status,
        }

    async def watch(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        import asyncio

        await asyncio.Event().wait()
        yield WatchEvent(type="BOOKMARK", object={})

    async def close(self) -> None: ...


async def run(api: Api) -> None:
    import asyncio

    clock = ManualClock(NOW)
    controllers = Controllers(api, clock, only=["horizontal-pod-autoscaler-controller"])
    await controllers.start()
    for _ in range(100):
        await asyncio.sleep(0)
    await controllers.stop()


async def test_measured_use_scales_the_target_and_is_told() -> None:
    api = Api("2000m")
    await run(api)
    assert api.replicas == 4
    assert condition({"status": api.status}, "ScalingActive")["reason"] == "ValidMetricFound"  # type: ignore[index]
    assert condition({"status": api.status}, "AbleToScale")["reason"] == "SucceededRescale"  # type: ignore[index]
    assert [each["message"] for each in api.events] == [
        "New size: 4; reason: cpu resource utilization (percentage of request) above target"
    ]
    assert mapping(api.status["currentMetrics"][0], "resource", "current") == {  # type: ignore[index]
        "averageUtilization": 200,
        "averageValue": "2000m",
    }


async def test_no_measurement_changes_nothing_and_is_told() -> None:
    api = Api(None)
    await run(api)
    assert api.replicas == 1
    active = condition({"status": api.status}, "ScalingActive")
    assert active is not None
    assert active["reason"] == "FailedGetResourceMetric"
    assert str(active["message"]).startswith(
        "the HPA was unable to compute the replica count: failed to get cpu utilization: "
        "unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: "
    )
    assert {str(each["reason"]) for each in api.events} == {"FailedGetResourceMetric", "FailedComputeMetricsReplicas"}
