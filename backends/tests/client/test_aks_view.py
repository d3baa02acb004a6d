"""A service on a cluster: what its objects say of it, and how a change becomes objects."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from windtunnel.adapters.aks_change import changed, definition_of
from windtunnel.adapters.aks_objects import PULL_SECRET, Service, read_workload
from windtunnel.adapters.aks_view import AksView, Info, cores, gigabytes
from windtunnel.aks_options import AksChange, AksOptions
from windtunnel.errors import InvalidSpec
from windtunnel.interface import ServiceState
from windtunnel.spec import Change, Spec, Target
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.manifests import Liveness, Workload

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def service(**options: Any) -> Service:
    spec = Spec(name="wing", model=Path("m.onnx"), target=Target.AKS, aks=AksOptions(**options))
    return Service(
        definition=definition_of(spec),
        namespace="azureml",
        info=Info(model="m", tags={"a": "1"}),
        secrets=objects.Secrets(primary_key="p", secondary_key="s", token_key="t"),
        workloads={"wing": Workload(image="r/i:1", cpu=0.1, memory_gb=0.5, environment={"A": "1"})},
    )


def deployment(*, ready: int = 1, replicas: int = 1, observed: int = 1, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = service(num_replicas=replicas, **options).manifests()[-1]
    found["metadata"]["generation"] = 1
    found["status"] = {
        "observedGeneration": observed,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    return found


def pod(
    state: dict[str, Any], *, ready: bool = False, template: str = "h", age: int = 10, **more: Any
) -> dict[str, Any]:
    status = {"name": "scoring", "ready": ready, "restartCount": 0, "state": state, **more}
    created = (NOW - timedelta(seconds=age)).isoformat()
    labels = {objects.SERVICE_LABEL: "wing", objects.VERSION_LABEL: "wing", "pod-template-hash": template}
    return {
        "metadata": {"name": f"wing-{template}", "labels": labels, "creationTimestamp": created},
        "status": {"containerStatuses": [status]},
    }


RUNNING = {"running": {"startedAt": (NOW - timedelta(seconds=5)).isoformat()}}
NO_IMAGE = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
LONG = {"running": {"startedAt": (NOW - timedelta(seconds=500)).isoformat()}}


def view(deployments: list[Any], pods: list[Any], base: str | None = "http://127.0.0.9") -> AksView:
    return AksView(
        namespace="azureml",
        definition=service(num_replicas=1).definition,
        info=Info(model="m", tags={"a": "1"}),
        deployments=deployments,
        pods=pods,
        base=base,
        cluster_id="/cluster",
        location="westeurope",
    )


def state(deployments: list[Any], pods: list[Any], *, answers: bool, base: str | None = "http://x") -> ServiceState:
    return view(deployments, pods, base).deployment(answers=answers, now=NOW).state


def test_a_service_that_is_rolled_out_and_answers_is_healthy() -> None:
    found = view([deployment()], [pod(RUNNING, ready=True)]).deployment(answers=True, now=NOW)
    assert (found.state, found.replicas, found.cpu, found.memory_gb) == (ServiceState.HEALTHY, 1, 0.1, 0.5)
    assert found.scoring_uri == "http://127.0.0.9/api/v1/service/wing/score"
    assert found.swagger_uri == "http://127.0.0.9/api/v1/service/wing/swagger.json"
    assert found.tags == {"a": "1"}


@pytest.mark.parametrize(
    ("deployments", "pods", "answers", "expected"),
    [
        ([deployment(ready=0)], [pod({"waiting": {"reason": "ContainerCreating"}})], False, "Transitioning"),
        ([deployment(observed=0)], [pod(RUNNING, ready=True)], True, "Transitioning"),
        ([deployment(ready=1, replicas=2)], [pod(RUNNING, ready=True)], True, "Transitioning"),
        ([deployment(ready=0)], [pod(LONG)], False, "Unhealthy"),
        ([deployment(ready=0)], [pod({"waiting": {"reason": "CrashLoopBackOff"}})], False, "Failed"),
        ([deployment(ready=0)], [pod(NO_IMAGE)], False, "Transitioning"),
        ([deployment(ready=0)], [pod(NO_IMAGE, age=61)], False, "Failed"),
        ([deployment(ready=0)], [pod({"terminated": {"exitCode": 3, "reason": "Error"}})], False, "Failed"),
        ([deployment(ready=0)], [pod(RUNNING, lastState={"terminated": {"exitCode": 3}})], False, "Failed"),
        ([deployment(ready=0)], [pod(RUNNING, lastState={"terminated": {"exitCode": 137}})], False, "Transitioning"),
        ([], [], False, "Failed"),
        # The replicas of before may be what they are: the newest tell.
        (
            [deployment()],
            [pod({"waiting": {"reason": "CrashLoopBackOff"}}, template="old", age=99), pod(RUNNING, ready=True)],
            True,
            "Healthy",
        ),
    ],
)
def test_a_state_follows_from_deployments_and_pods(
    deployments: list[Any], pods: list[Any], answers: bool, expected: str
) -> None:
    assert state(deployments, pods, answers=answers) == expected


@pytest.mark.parametrize(("age", "expected"), [(10, "Unschedulable"), (301, "Failed")])
def test_a_pod_without_a_node_makes_it_unschedulable_and_after_five_minutes_failed(age: int, expected: str) -> None:
    waiting = pod({})
    since = (NOW - timedelta(seconds=age)).isoformat()
    waiting["status"] = {
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 Insufficient cpu.",
                "lastTransitionTime": since,
            }
        ]
    }
    found = view([deployment(ready=0)], [waiting]).deployment(answers=False, now=NOW)
    assert found.state == expected
    assert found.error == "0/3 nodes are available: 3 Insufficient cpu."


def test_a_crash_says_its_exit_code_and_what_it_may_be() -> None:
    crashed = pod({"terminated": {"exitCode": 3, "reason": "Error"}})
    found = view([deployment(ready=0)], [crashed]).deployment(answers=False, now=NOW)
    assert found.error == "Error: container 'scoring' has crashed with exit code 3. Did your init method fail?"


def test_what_is_written_is_read_again() -> None:
    workload = Workload(
        image="r/i:1",
        cpu=0.25,
        memory_gb=1.5,
        cpu_limit=1.0,
        memory_gb_limit=2.0,
        gpu=1,
        environment={"A": "1", "B": "=2"},
        pull_secret=PULL_SECRET,
        liveness=Liveness(period_s=7, initial_delay_s=1, failure_threshold=9),
    )
    written = replace(service(num_replicas=2), workloads={"wing": workload})
    *_, found = written.manifests()
    assert read_workload(found) == workload
    assert found["spec"]["replicas"] == 2  # type: ignore[index,call-overload]


def test_the_router_owns_the_number_of_replicas_where_they_follow_the_load() -> None:
    *_, found = service(autoscale_enabled=True, autoscale_max_replicas=3).manifests()
    assert "replicas" not in found["spec"]  # type: ignore[operator]


def test_a_change_of_replicas_ends_autoscaling_and_the_other_way_round() -> None:
    scaled = changed(service(), Change(aks=AksChange(num_replicas=4))).definition.default
    assert (scaled.num_replicas, scaled.auto_scaler.enabled) == (4, False)
    again = changed(service(num_replicas=4), Change(aks=AksChange(autoscale_enabled=True))).definition.default
    assert (again.num_replicas, again.auto_scaler.enabled) == (None, True)
    with pytest.raises(InvalidSpec, match="autoscale disabled but num_replicas not provided"):
        changed(service(), Change(aks=AksChange(autoscale_enabled=False)))


def test_tokens_need_keys_to_be_off() -> None:
    tokens = AksChange(token_auth_enabled=True)
    with pytest.raises(InvalidSpec, match="without disabling key auth"):
        changed(service(), Change(aks=tokens))
    found = changed(service(), Change(auth_enabled=False, aks=tokens)).definition
    assert (found.auth_enabled, found.aad_auth_enabled) == (False, True)


def test_a_limit_stays_above_what_is_asked_for() -> None:
    limited = replace(service(), workloads={"wing": Workload(image="i", cpu=0.1, memory_gb=0.5, cpu_limit=0.5)})
    with pytest.raises(InvalidSpec, match="cpu_cores_limit must be greater than or equal to cpu_cores"):
        changed(limited, Change(cpu=1.0))
    assert changed(limited, Change(cpu=0.4)).workloads["wing"].cpu == 0.4


def test_a_broken_note_reads_as_an_empty_one() -> None:
    for text in ("", "{", "[]", "3"):
        assert Info.parse(text) == Info(tags={})


@pytest.mark.parametrize(
    ("text", "value"), [("100m", 0.1), ("2", 2.0), ("1k", 1000.0), ("1e1", 10.0), ("", None), ("x", None)]
)
def test_quantities_of_cpu(text: str, value: float | None) -> None:
    assert cores(text) == value


@pytest.mark.parametrize(("text", "value"), [("512Mi", 0.5), ("1Gi", 1.0), ("1G", 0.931), ("", None)])
def test_quantities_of_memory(text: str, value: float | None) -> None:
    assert gigabytes(text) == value
