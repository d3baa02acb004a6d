"""The router of AKS beside the replica that it stands in front of, in one run: what it adds to a request.

No cluster is needed: the router's objects come from an API that stands still, and the replica is a real scoring server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from windtunnel_perf.fixed_api import FixedApi
from windtunnel_perf.load import Plan, Where, run
from windtunnel_perf.machine import machine
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from pathlib import Path

    from windtunnel_perf.fixture import Benchmark
    from windtunnel_perf.load import Outcome

RATE = 200.0
SECONDS = 4.0
ROUNDS = 5
ADDED_P50_MS = 1.0
ADDED_P99_MS = 5.0
KEY = "a-key"
SCRIPT = "def init():\n    pass\n\n\ndef run(raw_data):\n    return [1.0, 2.0, 3.0]\n"
START_S = 30.0


@contextlib.contextmanager
def _server(module: str, folder: Path, variables: Mapping[str, str]) -> Generator[int]:
    ready = folder / f"{module}.json"
    environment = {**os.environ, "WINDTUNNEL_ADDRESS": "127.0.0.1", "WINDTUNNEL_READY_FILE": str(ready), **variables}
    with (folder / f"{module}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=log, stderr=log)
    try:
        ends = time.monotonic() + START_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{module} did not start:\n{(folder / f'{module}.log').read_text('utf-8')}")
            time.sleep(0.01)
        yield int(json.loads(ready.read_text("utf-8"))["port"])
    finally:
        process.terminate()
        process.wait(START_S)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Of the replica and of the router."""
    folder = tmp_path_factory.mktemp("router")
    (folder / "score.py").write_text(SCRIPT, "utf-8")
    script = {"AML_APP_ROOT": str(folder), "AZUREML_ENTRY_SCRIPT": "score.py", "WINDTUNNEL_PORT": "0"}
    with contextlib.ExitStack() as stack:
        replica = stack.enter_context(_server("windtunnel_scoring", folder, script))
        api = stack.enter_context(FixedApi(_service(replica)))
        config = folder / "kubeconfig"
        config.write_text(api.kubeconfig(), "utf-8")
        given = {"KUBECONFIG": str(config), "WINDTUNNEL_ROUTER_PORT": "0", "WINDTUNNEL_INNER_PORT": "0"}
        router = stack.enter_context(_server("windtunnel_scoring.router", folder, given))
        yield replica, router


def _service(port: int) -> dict[str, list[object]]:
    # A limit above what is ever at work, so that the queue is passed and nobody waits in it.
    version = VersionDefinition(name="bench", is_default=True, max_concurrent_requests=32)
    pod = {
        "metadata": {
            "name": "bench-0",
            "namespace": "azureml",
            "uid": "1",
            "labels": objects.labels("bench", "bench"),
            "annotations": {objects.ADDRESS_ANNOTATION: "127.0.0.1"},
        },
        "spec": {"containers": [{"name": "c", "ports": [{"name": "scoring", "containerPort": port}]}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    return {
        "configmaps": [objects.config_map(ServiceDefinition(name="bench", versions=(version,)))],
        "secrets": [objects.secret("bench", objects.Secrets(primary_key=KEY))],
        "pods": [pod],
    }


def _request(path: str) -> bytes:
    body = b'{"data": [[1.0, 2.0, 3.0, 4.0]]}'
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_what_the_router_adds_at_200_requests_per_second(benchmark: Benchmark, ports: tuple[int, int]) -> None:
    """p50 under 1 ms and p99 under 5 ms more than the replica alone, on a machine that has two cores to give."""
    replica, router = ports
    where = {
        "replica": Where(host="127.0.0.1", port=replica, request=_request("/score")),
        "router": Where(host="127.0.0.1", port=router, request=_request("/api/v1/service/bench/score")),
    }
    plan = Plan(rate=RATE, duration_s=SECONDS, warm_up_s=0.5)
    found: dict[str, list[Outcome]] = {name: [] for name in where}

    def one_round() -> None:
        # One after the other in each round, so that whatever else the machine does meets both alike.
        for name, target in where.items():
            found[name].append(asyncio.run(run(target, plan)))

    benchmark.pedantic(one_round, rounds=ROUNDS)
    for outcomes in found.values():
        for outcome in outcomes:
            assert not outcome.errors, outcome.errors
    middle = {
        name: {p: statistics.median(o.latency.percentile_ms(p) for o in outcomes) for p in (50.0, 99.0)}
        for name, outcomes in found.items()
    }
    added = {p: middle["router"][p] - middle["replica"][p] for p in (50.0, 99.0)}
    benchmark.extra_info.update(machine=machine(), milliseconds=str(middle), added_ms=str(added))
    print(
        f"\n{RATE:.0f} requests per second, medians of {ROUNDS} rounds:"
        f" replica p50 {middle['replica'][50.0]:.2f} ms, p99 {middle['replica'][99.0]:.2f} ms;"
        f" router p50 {middle['router'][50.0]:.2f} ms, p99 {middle['router'][99.0]:.2f} ms;"
        f" added {added[50.0]:.2f} and {added[99.0]:.2f} ms"
    )
    assert added[50.0] < ADDED_P50_MS
    assert added[99.0] < ADDED_P99_MS
