"""Clients that share one FPGA, in virtual time: FIFO, one request at a time on the NPU, a few at once on the CPUs.

Virtual time costs nothing: no clock is read and nothing waits. The same arguments give the same answer.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.brainwave.timing.timeline import Surroundings, Timeline


class _Stage(IntEnum):
    ARRIVE = 0
    CPU_BEFORE = 1
    NPU = 2
    CPU_AFTER = 3
    DONE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a request needs of each resource, in milliseconds."""

    there: float
    """Network and transfer before the NPU: a delay that nobody shares."""
    cpu_before: float
    npu: float
    cpu_after: float
    back: float
    vcpus: int
    replicas: int = 1

    @classmethod
    def of(cls, line: Timeline, around: Surroundings, replicas: int = 1) -> Service:
        """From a request's time line; transfers overlap with the NPU's work on others."""
        aside = line.end_to_end_ms - line.cpu_before_ms - line.cpu_after_ms - line.busy_ms
        return cls(
            there=aside / 2,
            cpu_before=line.cpu_before_ms,
            npu=line.busy_ms,
            cpu_after=line.cpu_after_ms,
            back=aside / 2,
            vcpus=around.vcpus.whole * replicas,
            replicas=replicas,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the clients saw."""

    clients: int
    requests: int
    per_second: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    wait_ms: float
    """Mean, in the NPU's queue."""


class _Resource:
    def __init__(self, servers: int) -> None:
        self.free = servers
        self.waiting: deque[tuple[int, float]] = deque()


def closed_loop(service: Service, clients: int, requests: int = 2000) -> Load:
    """Each client sends its next request when it has the answer to the last.

    The rate is that after the first answer to each client, when the queue is as long as it gets.
    """
    return _simulate(service, clients=clients, requests=requests, rate=None, seed=0)


def open_loop(service: Service, per_second: float, requests: int = 20_000, seed: int = 0) -> Load:
    """Requests arrive at random (Poisson), whatever is waiting."""
    return _simulate(service, clients=0, requests=requests, rate=per_second, seed=seed)


def queue_wait_ms(service_ms: float, per_second: float) -> float:
    """The mean wait of a queue with random arrivals and one server of fixed speed (M/D/1); infinite when it is full."""
    load = service_ms * per_second / 1000
    return float("inf") if load >= 1 else load * service_ms / (2 * (1 - load))


def _simulate(service: Service, *, clients: int, requests: int, rate: float | None, seed: int) -> Load:
    order = itertools.count()
    chance = random.Random(seed)  # noqa: S311  # arrivals, no secret
    events: list[tuple[float, int, _Stage, int]] = []
    cpu, npu = _Resource(service.vcpus), _Resource(service.replicas)
    needs = {_Stage.CPU_BEFORE: (cpu, service.cpu_before), _Stage.NPU: (npu, service.npu),
             _Stage.CPU_AFTER: (cpu, service.cpu_after)}  # fmt: skip
    began: dict[int, float] = {}
    latencies: list[float] = []
    answered: list[float] = []
    waits: list[float] = []
    stage_of: dict[int, _Stage] = {}
    sent = 0

    def push(time: float, stage: _Stage, request: int) -> None:
        heapq.heappush(events, (time, next(order), stage, request))

    def send(time: float) -> None:
        nonlocal sent
        if sent < requests:
            began[sent] = time
            push(time + service.there, _Stage.CPU_BEFORE, sent)
            sent += 1

    def start(resource: _Resource, time: float) -> None:
        while resource.free and resource.waiting:
            request, since = resource.waiting.popleft()
            resource.free -= 1
            stage = stage_of[request]
            if stage is _Stage.NPU:
                waits.append(time - since)
            push(time + needs[stage][1], _Stage.DONE, request)

    if rate is None:
        for _ in range(clients):
            send(0.0)
    else:
        push(0.0, _Stage.ARRIVE, -1)
    while events:
        now, _, stage, request = heapq.heappop(events)
        if stage is _Stage.ARRIVE:
            send(now)
            if sent < requests and rate is not None:
                push(now + chance.expovariate(rate / 1000), _Stage.ARRIVE, -1)
        elif stage in needs:
            stage_of[request] = stage
            resource = needs[stage][0]
            resource.waiting.append((request, now))
            start(resource, now)
        else:
            at = stage_of[request]
            resource = needs[at][0]
            resource.free += 1
            start(resource, now)
            if at is not _Stage.CPU_AFTER:
                push(now, _Stage(at + 1), request)
                continue
            latencies.append(now + service.back - began[request])
            answered.append(now)
            if rate is None:
                send(now + service.back)
    count = len(latencies)
    warm = min(clients, count - 1)
    since = answered[warm - 1] if warm else 0.0
    steady = sorted(latencies[warm:])
    return Load(
        clients=clients,
        requests=count,
        per_second=1000 * (count - warm) / (answered[-1] - since),
        mean_ms=sum(steady) / len(steady),
        p50_ms=steady[len(steady) // 2],
        p99_ms=steady[len(steady) * 99 // 100],
        wait_ms=sum(waits) / len(waits),
    )
