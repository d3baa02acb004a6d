"""From what kubelets count to what was used in a window: pure values.

Counters are read from the Prometheus text of ``/metrics/resource``; a container's use of processor time is the growth
of its counter between two readings, or since it started when there is only one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+(-?\d+))?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_CPU, _MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"
_STARTED = "container_start_time_seconds"
_NODE_CPU, _NODE_MEMORY = "node_cpu_usage_seconds_total", "node_memory_working_set_bytes"

Key = tuple[str, str, str]
"""(namespace, pod, container)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """One reading of a counter and of memory."""

    at: float
    """Seconds since the epoch."""
    cpu_s: float
    memory_bytes: int
    started: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All that one node said at one time."""

    node: Count | None
    containers: dict[Key, Count] = field(default_factory=dict[Key, Count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was used in a window that ended at ``at``."""

    at: float
    window_s: float
    cpu_cores: float
    memory_bytes: int


def read(text: str, now: float) -> Reading:
    """Lines that are not understood are passed over; a value without a time is of ``now``."""
    values: dict[str, dict[Key, tuple[float, float]]] = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip()) if line and not line.startswith("#") else None
        if found is None:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        labels = dict(_LABEL.findall(found[2] or ""))
        key = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        at = now if found[4] is None else int(found[4]) / 1000
        values.setdefault(found[1], {})[key] = (value, at)
    memory, started = values.get(_MEMORY, {}), values.get(_STARTED, {})
    containers = {
        key: Count(
            at=at,
            cpu_s=cpu,
            memory_bytes=int(memory[key][0]),
            started=started[key][0] if key in started else None,
        )
        for key, (cpu, at) in values.get(_CPU, {}).items()
        if key in memory and key[1]
    }
    node: Count | None = None
    for cpu, at in values.get(_NODE_CPU, {}).values():
        used = sum(int(value) for value, _ in values.get(_NODE_MEMORY, {}).values())
        node = Count(at=at, cpu_s=cpu, memory_bytes=used)
    return Reading(node=node, containers=containers)


def use(before: Count | None, now: Count) -> Use | None:
    """None when there is nothing to compare with; a counter that fell began anew with its container."""
    restarted = before is not None and (now.cpu_s < before.cpu_s or (now.started or 0) > before.at)
    if before is not None and not restarted and now.at > before.at:
        window = now.at - before.at
        return Use(
            at=now.at, window_s=window, cpu_cores=(now.cpu_s - before.cpu_s) / window, memory_bytes=now.memory_bytes
        )
    if now.started is not None and now.at > now.started:
        window = now.at - now.started
        return Use(at=now.at, window_s=window, cpu_cores=now.cpu_s / window, memory_bytes=now.memory_bytes)
    return None
