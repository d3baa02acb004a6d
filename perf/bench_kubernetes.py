"""The embedded Kubernetes API and what works behind it: long lists, many watches, many pods."""

from __future__ import annotations

import resource
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_perf.clusters import api_client, make_cluster
from windtunnel_perf.emulators import running
from windtunnel_perf.machine import machine

if TYPE_CHECKING:
    import httpx

    from windtunnel_perf.fixture import Benchmark

OBJECTS = 2000
WATCHES = 50
EVENTS = 400
PODS = 100
LIMIT_S = 120.0
_MAPS = "/api/v1/namespaces/default/configmaps"
_TICKS = 100  # per second, on Linux


def _cpu_s(pid: int) -> float:
    """What a process has computed, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def test_listing_two_thousand_objects(benchmark: Benchmark, tmp_path: Path) -> None:
    seconds: list[float] = []
    with (
        running(tmp_path / "state") as emulators,
        emulators.client() as arm,
        api_client(make_cluster(arm, emulators, nodes=1)) as api,
    ):
        for n in range(OBJECTS):
            body = {"metadata": {"name": f"m{n}", "labels": {"n": str(n % 10)}}, "data": {"key": "value" * 20}}
            api.post(_MAPS, json=body).raise_for_status()

        def one_round() -> None:
            start = time.perf_counter()
            answer = api.get(_MAPS)
            seconds.append(time.perf_counter() - start)
            assert len(answer.json()["items"]) >= OBJECTS

        benchmark.pedantic(one_round, rounds=20, warmup_rounds=2)
    median = statistics.median(seconds)
    benchmark.extra_info.update(machine=machine(), list_ms=median * 1000)
    print(f"\nlist of {OBJECTS} objects: {median * 1000:.0f} ms")


def test_fifty_watches_beside_one(benchmark: Benchmark, tmp_path: Path) -> None:
    """What the process computes for each event that is written, with one watcher and with fifty."""
    spent: dict[int, float] = {}
    with running(tmp_path / "state") as emulators, emulators.client() as arm:
        kubeconfig = make_cluster(arm, emulators, nodes=1)
        with api_client(kubeconfig) as api:

            def measure(watches: int) -> float:
                seen = [0] * watches
                began = threading.Barrier(watches + 1)
                threads = [threading.Thread(target=_watch, args=(kubeconfig, seen, n, began)) for n in range(watches)]
                for thread in threads:
                    thread.start()
                began.wait(LIMIT_S)
                before = _cpu_s(emulators.pid)
                for n in range(EVENTS):
                    api.post(_MAPS, json={"metadata": {"name": f"w{watches}-{n}"}}).raise_for_status()
                end = time.monotonic() + LIMIT_S
                while min(seen) < EVENTS and time.monotonic() < end:
                    time.sleep(0.01)
                used = _cpu_s(emulators.pid) - before
                assert min(seen) >= EVENTS
                api.request("DELETE", _MAPS).raise_for_status()
                for thread in threads:
                    thread.join(LIMIT_S)
                return used

            def one_round() -> None:
                for watches in (1, WATCHES):
                    spent[watches] = measure(watches)

            benchmark.pedantic(one_round, rounds=1)
    ratio = spent[WATCHES] / spent[1]
    benchmark.extra_info.update(machine=machine(), one_ms=spent[1] / EVENTS * 1000, ratio=ratio)
    print(
        f"\n{WATCHES} watches cost {ratio:.2f} times the computing of 1 per event ({spent[1] / EVENTS * 1000:.2f} ms)"
    )


def _watch(kubeconfig: str, seen: list[int], number: int, began: threading.Barrier) -> None:
    with api_client(kubeconfig) as api:
        version = api.get(_MAPS, params={"limit": "1"}).json()["metadata"]["resourceVersion"]
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(int(LIMIT_S))}
        with api.stream("GET", _MAPS, params=query) as answer:
            began.wait(LIMIT_S)
            for line in answer.iter_lines():
                if line.startswith('{"type":"ADDED"'):
                    seen[number] += 1
                if line.startswith('{"type":"DELETED"'):
                    return


def test_a_hundred_pods_run(benchmark: Benchmark, tmp_path: Path) -> None:
    seconds: list[float] = []
    with (
        running(tmp_path / "state") as emulators,
        emulators.client() as arm,
        api_client(make_cluster(arm, emulators, nodes=3, size="Standard_D16s_v3")) as api,
    ):

        def one_round() -> None:
            start = time.perf_counter()
            _deploy(api, PODS)
            seconds.append(time.perf_counter() - start)

        benchmark.pedantic(one_round, rounds=1)
    benchmark.extra_info.update(machine=machine(), pods_s=seconds[0], peak=resource.getrusage(resource.RUSAGE_SELF)[2])
    print(f"\n{PODS} pods of a trivial image are running after {seconds[0]:.1f} s")


def _deploy(api: httpx.Client, count: int) -> None:
    container = {"name": "idle", "image": "busybox:1.36", "command": ["sleep", "3600"]}
    template = {
        "metadata": {"labels": {"app": "many"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    spec = {"replicas": count, "selector": {"matchLabels": {"app": "many"}}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    api.post(path, json={"metadata": {"name": "many"}, "spec": spec}).raise_for_status()
    end = time.monotonic() + LIMIT_S
    while (ready := api.get(f"{path}/many").json().get("status", {}).get("readyReplicas", 0)) < count:
        assert time.monotonic() < end, f"{ready} of {count} pods run after {LIMIT_S:g} s"
        time.sleep(0.1)
