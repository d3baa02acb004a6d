"""How listing grows: 1,000 container groups against 100, on emulators whose quota was raised."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from windtunnel_perf.emulators import Emulators, running
from windtunnel_perf.machine import machine

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from windtunnel_perf.fixture import Benchmark

FEW, MANY = 100, 1000
API = "api-version=2023-05-01"
QUOTAS = f"[limits]\nContainerGroups = {FEW + MANY}\nStandardCores = {FEW + MANY}\n"


def _fill(client: httpx.Client, emulators: Emulators, group: str, count: int) -> str:
    """``count`` groups that end at once, and the path of their list."""
    scope = f"/subscriptions/{emulators.subscription}/resourceGroups/{group}"
    client.put(f"{scope}?api-version=2022-09-01", json={"location": "westus2"}).raise_for_status()
    path = f"{scope}/providers/Microsoft.ContainerInstance/containerGroups"
    container = {"image": "hello-world", "resources": {"requests": {"cpu": 0.5, "memoryInGB": 0.5}}}
    properties = {
        "osType": "Linux",
        "restartPolicy": "Never",
        "containers": [{"name": "c", "properties": container}],
    }
    links: list[str] = []
    for n in range(count):
        answer = client.put(f"{path}/g{n}?{API}", json={"location": "westus2", "properties": properties})
        assert answer.status_code == 201, answer.text
        links.append(answer.headers["azure-asyncoperation"])
    end = time.monotonic() + 300
    for link in links:
        while client.get(link).json()["status"] not in {"Succeeded", "Failed"}:
            assert time.monotonic() < end, "the groups are not there after 300 s"
            time.sleep(0.05)
    return f"{path}?{API}"


def test_listing_a_thousand_groups_beside_a_hundred(benchmark: Benchmark, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "container_instance_quotas.toml").write_text(QUOTAS, "utf-8")
    seconds: dict[int, list[float]] = {FEW: [], MANY: []}
    with running(state) as emulators, emulators.client() as client:
        paths = {count: _fill(client, emulators, f"g{count}", count) for count in (FEW, MANY)}

        def one_round() -> None:
            for count, path in paths.items():
                start = time.perf_counter()
                answer = client.get(path)
                seconds[count].append(time.perf_counter() - start)
                assert len(answer.json()["value"]) == count

        benchmark.pedantic(one_round, rounds=20, warmup_rounds=2)
    few, many = (statistics.median(seconds[count]) for count in (FEW, MANY))
    benchmark.extra_info.update(machine=machine(), few_ms=few * 1000, many_ms=many * 1000, ratio=many / few)
    print(f"\nlisting {FEW}: {few * 1000:.1f} ms, {MANY}: {many * 1000:.1f} ms, ratio {many / few:.1f}")
