"""From counters to use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.kubernetes.metrics.samples import Count, read, use

TEXT = """# HELP container_cpu_usage_seconds_total [STABLE]
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="default",pod="web"} 1.5 2000
container_memory_working_set_bytes{container="main",namespace="default",pod="web"} 4096 2000
container_start_time_seconds{container="main",namespace="default",pod="web"} 1.0
node_cpu_usage_seconds_total 7 2000
node_memory_working_set_bytes 8192 2000
"""


def test_a_kubelet_s_text_is_read() -> None:
    reading = read(TEXT, now=9.0)
    assert reading.containers == {("default", "web", "main"): Count(at=2.0, cpu_s=1.5, memory_bytes=4096, started=1.0)}
    assert reading.node == Count(at=2.0, cpu_s=7.0, memory_bytes=8192)


@given(st.text(max_size=300))
def test_no_text_is_too_strange(text: str) -> None:
    assert read(text, now=1.0) is not None


def test_use_is_the_growth_between_two_readings() -> None:
    before = Count(at=10.0, cpu_s=1.0, memory_bytes=1, started=5.0)
    now = Count(at=12.0, cpu_s=2.0, memory_bytes=7, started=5.0)
    found = use(before, now)
    assert found is not None
    assert found.cpu_cores == pytest.approx(0.5)
    assert (found.window_s, found.memory_bytes) == (2.0, 7)


def test_a_container_that_began_anew_is_measured_from_its_start() -> None:
    before = Count(at=10.0, cpu_s=100.0, memory_bytes=1, started=5.0)
    found = use(before, Count(at=12.0, cpu_s=0.5, memory_bytes=1, started=11.0))
    assert found is not None
    assert found.cpu_cores == pytest.approx(0.5)
    assert use(None, Count(at=1.0, cpu_s=1.0, memory_bytes=1)) is None
