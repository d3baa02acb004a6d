"""What the pods of a node use, as the kubelet API says it: ``/stats/summary``, ``/metrics/resource``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import entries, name_of, namespace_of, text, timestamp
from windtunnel_emulators.runtime.group import NotRunning
from windtunnel_emulators.runtime.interface import RuntimeProblem

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.node.agent import NodeAgent
    from windtunnel_emulators.kubernetes.node.pod import PodWorker
    from windtunnel_emulators.runtime.interface import Container, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One container that runs."""

    worker: PodWorker
    name: str
    started: datetime
    usage: Usage


async def measure(agent: NodeAgent) -> list[Measured]:
    """All containers that run now. In a thread where the runtime has to look at each process."""
    running: list[tuple[PodWorker, str, Container]] = []
    for worker in agent.workers():
        if worker.group is None:
            continue
        for container in (*entries(worker.pod, "spec", "containers"), *entries(worker.pod, "spec", "initContainers")):
            try:
                running.append((worker, text(container, "name"), worker.group.running(text(container, "name"))))
            except (NotRunning, RuntimeProblem):
                continue

    def look() -> list[Measured]:
        return [
            Measured(worker=worker, name=name, started=container.started, usage=container.usage())
            for worker, name, container in running
        ]

    return await asyncio.to_thread(look)


async def summary(agent: NodeAgent) -> JsonObject:
    """As ``/stats/summary`` has it; what is not measured is left out."""
    now = timestamp(agent.clock.now())
    measured = await measure(agent)
    pods: list[Json] = []
    for worker in agent.workers():
        own = [m for m in measured if m.worker is worker]
        containers: list[Json] = [
            {"name": m.name, "startTime": timestamp(m.started), **_use(now, m.usage.cpu_seconds, m.usage.memory_bytes)}
            for m in own
        ]
        pods.append(
            {
                "podRef": {
                    "name": name_of(worker.pod),
                    "namespace": namespace_of(worker.pod),
                    "uid": worker.uid,
                },
                "startTime": text(worker.pod, "status", "startTime") or now,
                "containers": containers,
                **_use(now, sum(m.usage.cpu_seconds for m in own), sum(m.usage.memory_bytes for m in own)),
            }
        )
    node: JsonObject = {
        "nodeName": agent.definition.name,
        "startTime": now,
        **_use(now, sum(m.usage.cpu_seconds for m in measured), sum(m.usage.memory_bytes for m in measured)),
    }
    return {"node": node, "pods": pods}


def _use(now: str, cpu_s: float, memory: int) -> JsonObject:
    return {
        "cpu": {"time": now, "usageCoreNanoSeconds": int(cpu_s * 1e9)},
        "memory": {"time": now, "workingSetBytes": memory, "usageBytes": memory},
    }


async def resource_metrics(agent: NodeAgent) -> bytes:
    """As ``/metrics/resource`` has it, with the moment of each value."""
    measured = await measure(agent)
    at = int(agent.clock.now().timestamp() * 1000)
    cpu: list[str] = []
    memory: list[str] = []
    started: list[str] = []
    pod_cpu: dict[str, float] = {}
    pod_memory: dict[str, int] = {}
    for m in measured:
        labels = f'namespace="{namespace_of(m.worker.pod)}",pod="{name_of(m.worker.pod)}"'
        inner = f'container="{m.name}",{labels}'
        cpu.append(f"container_cpu_usage_seconds_total{{{inner}}} {m.usage.cpu_seconds:.9g} {at}")
        memory.append(f"container_memory_working_set_bytes{{{inner}}} {m.usage.memory_bytes} {at}")
        started.append(f"container_start_time_seconds{{{inner}}} {m.started.timestamp():.6f}")
        pod_cpu[labels] = pod_cpu.get(labels, 0.0) + m.usage.cpu_seconds
        pod_memory[labels] = pod_memory.get(labels, 0) + m.usage.memory_bytes
    node_cpu, node_memory = sum(pod_cpu.values()), sum(pod_memory.values())
    blocks = (
        ("container_cpu_usage_seconds_total", "counter", cpu),
        ("container_memory_working_set_bytes", "gauge", memory),
        ("container_start_time_seconds", "gauge", started),
        ("node_cpu_usage_seconds_total", "counter", [f"node_cpu_usage_seconds_total {node_cpu:.9g} {at}"]),
        ("node_memory_working_set_bytes", "gauge", [f"node_memory_working_set_bytes {node_memory} {at}"]),
        (
            "pod_cpu_usage_seconds_total",
            "counter",
            [f"pod_cpu_usage_seconds_total{{{labels}}} {value:.9g} {at}" for labels, value in pod_cpu.items()],
        ),
        (
            "pod_memory_working_set_bytes",
            "gauge",
            [f"pod_memory_working_set_bytes{{{labels}}} {value} {at}" for labels, value in pod_memory.items()],
        ),
        ("resource_scrape_error", "gauge", ["resource_scrape_error 0"]),
    )
    return _exposition(blocks)


async def cadvisor_metrics(agent: NodeAgent) -> bytes:
    """The two that dashboards need."""
    cpu: list[str] = []
    memory: list[str] = []
    for m in await measure(agent):
        labels = f'container="{m.name}",namespace="{namespace_of(m.worker.pod)}",pod="{name_of(m.worker.pod)}"'
        cpu.append(f"container_cpu_usage_seconds_total{{{labels}}} {m.usage.cpu_seconds:.9g}")
        memory.append(f"container_memory_working_set_bytes{{{labels}}} {m.usage.memory_bytes}")
    return _exposition(
        (
            ("container_cpu_usage_seconds_total", "counter", cpu),
            ("container_memory_working_set_bytes", "gauge", memory),
        )
    )


def _exposition(blocks: tuple[tuple[str, str, list[str]], ...]) -> bytes:
    lines: list[str] = []
    for name, kind, values in blocks:
        lines += [f"# HELP {name} [STABLE] as a kubelet has it", f"# TYPE {name} {kind}", *values]
    return ("\n".join(lines) + "\n").encode()
