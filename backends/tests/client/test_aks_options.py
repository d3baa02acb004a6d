"""What AKS needs to know: Azure ML's parameters, with its rules and its words, all that is wrong at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.adapters.aks_cluster import ClusterSettings
from windtunnel.adapters.vm_sizes import vcpus_of
from windtunnel.aks_options import AksChange, AksOptions, Purpose
from windtunnel.errors import InvalidSpec
from windtunnel.records import spec_from_json, spec_to_json
from windtunnel.spec import Change, Spec, Target

MODEL = Path("model.onnx")
INVALID = "Invalid configuration, "


def test_the_defaults_are_azure_mls() -> None:
    options = AksOptions()
    assert (options.cpu_cores, options.memory_gb, options.gpu_cores) == (0.1, 0.5, 0)
    assert (options.scoring_timeout_ms, options.max_request_wait_time, options.replica_max_concurrent_requests) == (
        60_000, 500, 1,
    )  # fmt: skip
    assert (options.period_seconds, options.initial_delay_seconds, options.timeout_seconds) == (10, 310, 2)
    assert (options.success_threshold, options.failure_threshold) == (1, 3)
    assert (options.autoscales, options.min_replicas, options.max_replicas) == (True, 1, 10)
    assert not AksOptions(num_replicas=2).autoscales


def test_authentication_is_on_by_default_on_aks_alone() -> None:
    assert Spec(name="abc", model=MODEL, target=Target.AKS).authenticates
    assert not Spec(name="abc", model=MODEL, target=Target.AKS, auth_enabled=False).authenticates
    tokens = AksOptions(token_auth_enabled=True)
    assert not Spec(name="abc", model=MODEL, target=Target.AKS, aks=tokens).authenticates
    assert not Spec(name="abc", model=MODEL).authenticates
    with pytest.raises(InvalidSpec, match="auth_enabled and token_auth_enabled cannot both be true"):
        Spec(name="abc", model=MODEL, target=Target.AKS, auth_enabled=True, aks=tokens)


POSITIVE = [
    "cpu_cores", "memory_gb", "scoring_timeout_ms", "replica_max_concurrent_requests", "max_request_wait_time",
    "num_replicas", "period_seconds", "initial_delay_seconds", "timeout_seconds", "success_threshold",
    "failure_threshold",
]  # fmt: skip


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("value", [0, -1])
def test_what_must_be_positive_is_refused_otherwise(name: str, value: int) -> None:
    values: dict[str, Any] = {name: value}
    with pytest.raises(InvalidSpec, match=rf"^{INVALID}{name} must be greater than zero\.$"):
        AksOptions(**values)
    with pytest.raises(InvalidSpec, match=rf"^Error, {name} must be greater than zero\.$"):
        AksChange(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"autoscale_enabled": True, "num_replicas": 1}, "autoscale enabled and num_replicas provided."),
        ({"autoscale_enabled": False}, "autoscale disabled but num_replicas not provided."),
        ({"autoscale_min_replicas": 2}, "autoscale_min_replicas provided without enabling autoscaling."),
        ({"autoscale_max_replicas": 2}, "autoscale_max_replicas provided without enabling autoscaling."),
        ({"autoscale_refresh_seconds": 2}, "autoscale_refresh_seconds provided without enabling autoscaling."),
        ({"autoscale_target_utilization": 2}, "autoscale_target_utilization provided without enabling autoscaling."),
        (
            {"autoscale_enabled": True, "autoscale_min_replicas": 3, "autoscale_max_replicas": 2},
            "autoscale_min_replicas cannot be greater than autoscale_max_replicas.",
        ),
        (
            {"autoscale_enabled": True, "autoscale_min_replicas": 11},
            "autoscale_min_replicas cannot be greater than autoscale_max_replicas.",
        ),
        ({"cpu_cores_limit": 0.05}, "cpu_cores_limit must be greater than or equal to cpu_cores."),
        ({"memory_gb_limit": 0.4}, "memory_gb_limit must be greater than or equal to memory_gb."),
        ({"gpu_cores": -1}, "gpu_cores must be greater than or equal to zero."),
        ({"traffic_percentile": 101}, "traffic_percentile cannot be negative or greater than 100."),
        ({"traffic_percentile": -1}, "traffic_percentile cannot be negative or greater than 100."),
    ],
)
def test_values_that_do_not_go_together_are_refused_in_azure_mls_words(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        AksOptions(**values)
    assert f"{INVALID}{message}" in refused.value.message.splitlines()


@pytest.mark.parametrize("namespace", ["UPPER", "-dash", "dot.ted", "", "x" * 64])
def test_a_namespace_that_kubernetes_would_refuse_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidSpec, match="namespace must be a valid Kubernetes namespace"):
        AksOptions(namespace=namespace)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidSpec) as refused:
        AksOptions(cpu_cores=0, memory_gb=0, gpu_cores=-1)
    assert len(refused.value.message.splitlines()) == 3


def test_a_change_knows_what_was_given() -> None:
    assert AksChange(num_replicas=3, token_auth_enabled=False).given == {"num_replicas": 3, "token_auth_enabled": False}
    with pytest.raises(InvalidSpec, match="cannot set both token_auth_enabled and auth_enabled"):
        Change(auth_enabled=True, aks=AksChange(token_auth_enabled=True))


@given(
    cores=st.floats(0.001, 64),
    replicas=st.none() | st.integers(1, 64),
    wait=st.integers(1, 10**6),
    tokens=st.booleans(),
)
def test_a_spec_is_remembered_as_it_was(cores: float, replicas: int | None, wait: int, tokens: bool) -> None:
    options = AksOptions(
        cpu_cores=cores, num_replicas=replicas, max_request_wait_time=wait, token_auth_enabled=tokens
    )  # fmt: skip
    spec = Spec(name="abc", model=MODEL.absolute(), target=Target.AKS, aks=options, collect_model_data=tokens)
    assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize(
    ("size", "cores"),
    [
        ("Standard_D3_v2", 4), ("standard_d3_v2", 4), ("Standard_DS2_v2", 2), ("Standard_D4s_v3", 4),
        ("Standard_D8ds_v4", 8), ("Standard_NC6s_v3", 6), ("Standard_NP10s", 10), ("Standard_E8-4ds_v5", 4),
        ("Standard_B2ms", 2), ("Standard_A2_v2", 2), ("Standard_NC24ads_A100_v4", 24), ("nonsense", None), ("", None),
    ],
)  # fmt: skip
def test_a_size_tells_its_cores(size: str, cores: int | None) -> None:
    assert vcpus_of(size) == cores


@pytest.mark.parametrize(
    ("count", "size", "purpose", "fits"),
    [
        (None, "Standard_D3_v2", Purpose.FAST_PROD, True),
        (2, "Standard_D3_v2", Purpose.FAST_PROD, False),
        (3, "Standard_D2_v2", Purpose.FAST_PROD, False),
        (1, "Standard_D16s_v3", Purpose.FAST_PROD, True),
        (1, "Standard_D2_v2", Purpose.DEV_TEST, True),
        (1, "unknown", Purpose.FAST_PROD, True),
    ],
)
def test_a_production_cluster_has_twelve_virtual_cpus(
    count: int | None, size: str, purpose: Purpose, fits: bool
) -> None:
    settings = ClusterSettings(agent_count=count, vm_size=size, purpose=purpose)
    if fits:
        settings.check_size()
    else:
        with pytest.raises(InvalidSpec, match="at least 12"):
            settings.check_size()


def test_a_cluster_needs_nodes_and_a_name_that_may_be() -> None:
    with pytest.raises(InvalidSpec, match="agent count must be a positive integer"):
        ClusterSettings(agent_count=0)
    for name in ("ab", "1abc", "abc-", "x" * 25, "a_b"):
        with pytest.raises(InvalidSpec, match="cluster name"):
            ClusterSettings(name=name)
    with pytest.raises(InvalidSpec, match="amlcompute is a reserved name"):
        ClusterSettings(name="amlcompute")
    assert (ClusterSettings().nodes, ClusterSettings(purpose=Purpose.DEV_TEST).nodes) == (3, 1)
