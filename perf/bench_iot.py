"""An IoT hub: messages from devices acknowledged after they are stored, and the memory of many connections.

The emulators have one core to themselves where the system can give it (``taskset``); devices have the others.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from windtunnel_perf import emulators
from windtunnel_perf.mqtt import Device

if TYPE_CHECKING:
    from windtunnel_perf.fixture import Benchmark

DEVICES = 4
MESSAGES = 10_000  # of each device and round
PAYLOAD = b"x" * 256
ROUNDS = 3
CONNECTIONS = 500
HUB = "benchhub"
LIMIT_S = 60.0


def _pinned() -> list[str]:
    return ["taskset", "-c", "0"] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


def _hub(running: emulators.Emulators) -> dict[str, Any]:
    """A hub, made and whole; its properties and the key of its owner."""
    group = f"/subscriptions/{running.subscription}/resourceGroups/bench"
    hub = f"{group}/providers/Microsoft.Devices/IotHubs/{HUB}"
    version = {"api-version": "2023-06-30"}
    with running.client() as client:
        client.put(group, params={"api-version": "2022-09-01"}, json={"location": "westus2"}).raise_for_status()
        body = {"location": "westus2", "sku": {"name": "S1", "capacity": 1}}
        client.put(hub, params=version, json=body).raise_for_status()
        end = time.monotonic() + LIMIT_S
        while (found := client.get(hub, params=version).json())["properties"].get("state") != "Active":
            assert time.monotonic() < end, found
            time.sleep(0.02)
        keys = client.post(f"{hub}/listkeys", params=version).json()["value"]
    return {**found["properties"], "key": keys[0]["primaryKey"]}


def _stored(running: emulators.Emulators) -> int:
    """How many messages the hub has taken today, as ARM tells."""
    hub = f"/subscriptions/{running.subscription}/resourceGroups/bench/providers/Microsoft.Devices/IotHubs/{HUB}"
    with running.client() as client:
        metrics = client.get(f"{hub}/quotaMetrics", params={"api-version": "2023-06-30"}).raise_for_status().json()
    return int(next(one["currentValue"] for one in metrics["value"] if one["name"] == "TotalMessages"))


def _devices(running: emulators.Emulators, hub: dict[str, Any], count: int) -> list[tuple[str, str]]:
    """Devices with their keys, made by the bulk request and read from the list."""
    with httpx.Client(
        base_url=f"https://{hub['windtunnel']['service']}", verify=running.tls, params={"api-version": "2021-04-12"}
    ) as client:
        token = client.headers
        token["Authorization"] = f"Bearer {emulators.token(running)}"
        names = [f"d{number}" for number in range(count)]
        for start in range(0, count, 100):
            entries = [{"id": name, "importMode": "create"} for name in names[start : start + 100]]
            client.post("/devices", json=entries).raise_for_status()
        listed = client.get("/devices").raise_for_status().json()
    return [(one["deviceId"], one["authentication"]["symmetricKey"]["primaryKey"]) for one in listed]


def _tls(running: emulators.Emulators) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=running.environment["REQUESTS_CA_BUNDLE"])


def _resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) / 1024


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _connected(running: emulators.Emulators, hub: dict[str, Any], devices: list[tuple[str, str]]) -> list[Device]:
    tls, address = _tls(running), hub["windtunnel"]["address"]
    host = f"{HUB}.azure-devices.net"
    return [await Device.connect(address, tls, host=host, device=name, key=key) for name, key in devices]


def test_messages_acknowledged_after_they_are_stored(benchmark: Benchmark, tmp_path: Path) -> None:
    with emulators.running(tmp_path / "state", prefix=_pinned()) as running:
        hub = _hub(running)
        named = _devices(running, hub, DEVICES)
        rates: list[float] = []
        busy: list[float] = []

        async def one_round() -> None:
            devices = await _connected(running, hub, named)
            cpu, start = _cpu_s(running.pid), time.perf_counter()
            await asyncio.gather(*(device.send(MESSAGES, PAYLOAD) for device in devices))
            seconds = time.perf_counter() - start
            rates.append(DEVICES * MESSAGES / seconds)
            busy.append((_cpu_s(running.pid) - cpu) / seconds)
            assert all(device.acknowledged == MESSAGES for device in devices)
            await asyncio.gather(*(device.close() for device in devices))

        benchmark.pedantic(lambda: asyncio.run(one_round()), rounds=ROUNDS, iterations=1)
        assert _stored(running) == ROUNDS * DEVICES * MESSAGES
        best = max(rates)
        benchmark.extra_info.update(
            {
                "messages_per_second": [round(rate) for rate in rates],
                "best_per_second": round(best),
                "cpu_share": [round(share, 2) for share in busy],
                "resident_mb": round(_resident_mb(running.pid), 1),
            }
        )
        print(f"\n{', '.join(f'{rate:,.0f}' for rate in rates)} messages a second, stored and acknowledged")
        print(f"cpu of the emulators: {', '.join(f'{share:.0%}' for share in busy)} of a core")


def test_memory_of_many_connections(benchmark: Benchmark, tmp_path: Path) -> None:
    with emulators.running(tmp_path / "state") as running:
        before = _resident_mb(running.pid)
        hub = _hub(running)
        named = _devices(running, hub, CONNECTIONS)
        found: dict[str, float] = {"idle": before, "hub": _resident_mb(running.pid)}

        async def connect_all() -> None:
            devices = await _connected(running, hub, named)
            found["connected"] = _resident_mb(running.pid)
            await asyncio.gather(*(device.send(10, PAYLOAD) for device in devices))
            found["sent"] = _resident_mb(running.pid)
            await asyncio.gather(*(device.close() for device in devices))

        benchmark.pedantic(lambda: asyncio.run(connect_all()), rounds=1, iterations=1)
        benchmark.extra_info.update({f"{name}_mb": round(value, 1) for name, value in found.items()})
        print(f"\nresident: {', '.join(f'{name} {value:.0f} MB' for name, value in found.items())}")
