"""Clients in virtual time, against queueing theory."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.brainwave.timing.queueing import Service, closed_loop, open_loop, queue_wait_ms

ALONE = Service(there=0.0, cpu_before=0.0, npu=2.0, cpu_after=0.0, back=0.0, vcpus=10_000)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_random_arrivals_wait_as_theory_says(load: float) -> None:
    per_second = load / ALONE.npu * 1000
    assert open_loop(ALONE, per_second).wait_ms == pytest.approx(queue_wait_ms(ALONE.npu, per_second), rel=0.12)


def test_a_full_queue_has_no_mean() -> None:
    assert queue_wait_ms(2.0, 500) == float("inf")


@given(
    st.floats(0.01, 5), st.floats(0.01, 5), st.floats(0.01, 5), st.integers(1, 8), st.integers(1, 4), st.integers(1, 30)
)
def test_the_rate_is_what_the_narrowest_place_allows(
    before: float, npu: float, after: float, vcpus: int, replicas: int, clients: int
) -> None:
    service = Service(there=0.1, cpu_before=before, npu=npu, cpu_after=after, back=0.1, vcpus=vcpus, replicas=replicas)
    alone = 0.2 + before + npu + after
    found = closed_loop(service, clients, 600)
    limit = min(clients / alone, replicas / npu, vcpus / (before + after)) * 1000
    # The rate is counted over a stretch that need not be a whole number of rounds.
    assert found.per_second <= limit * (1 + 2 * clients / (found.requests - clients)) + 1e-6
    assert found.mean_ms >= alone - 1e-9
    assert found.p50_ms <= found.p99_ms


def test_one_client_waits_for_nobody_and_no_clock_is_used() -> None:
    service = Service(there=1000.0, cpu_before=5.0, npu=2.0, cpu_after=1.0, back=1000.0, vcpus=6)
    start = time.monotonic()
    found = closed_loop(service, 1, 100)
    assert found.mean_ms == pytest.approx(2008)
    assert found.wait_ms == 0
    assert time.monotonic() - start < 5
    assert closed_loop(service, 1, 100) == found


def test_replicas_share_the_load() -> None:
    two = Service(there=0.0, cpu_before=0.0, npu=2.0, cpu_after=0.0, back=0.0, vcpus=10_000, replicas=2)
    assert closed_loop(two, 20).per_second == pytest.approx(2 * closed_loop(ALONE, 20).per_second, rel=0.01)
