"""An edge device of a benchmark's own: emulators, a hub, the digits model as a module, and senders beside it."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx

from windtunnel_perf import emulators
from windtunnel_perf.mqtt import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from windtunnel_perf.emulators import Emulators

HUB, DEVICE, SERVICE = "benchedge", "edge", "digits"
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One running device."""

    running: Emulators
    state: Path
    folder: Path
    service: httpx.Client
    """The hub's service API, authorised."""

    @property
    def pid(self) -> int:
        return int(_json(self.folder / "ready.json")["pid"])

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.running.environment["REQUESTS_CA_BUNDLE"])

    def control(self, method: str, path: str) -> dict[str, Any]:
        """One call of the device's control API."""
        ready = _json(self.folder / "ready.json")
        headers = {"Authorization": f"Bearer {ready['token']}"}
        answer = httpx.request(method, f"{ready['control']}{path}", headers=headers, timeout=LIMIT_S)
        return cast("dict[str, Any]", answer.raise_for_status().json())

    @property
    def waiting(self) -> int:
        """How many messages for the cloud the device stores."""
        return int(self.control("GET", "/status")["queues"].get("$upstream", 0))

    async def module(self, name: str, *, window: int = 64) -> Module:
        """A connected module that the device does not run: a sender of the benchmark's."""
        made = self.service.put(f"/devices/{DEVICE}/modules/{name}", json={"deviceId": DEVICE, "moduleId": name})
        if made.status_code == 409:
            made = self.service.get(f"/devices/{DEVICE}/modules/{name}")
        key = str(made.raise_for_status().json()["authentication"]["symmetricKey"]["primaryKey"])
        address = str(_json(self.folder / "device.json")["address"])
        host = f"{HUB}.azure-devices.net"
        return await Module.connect(address, self.tls, host=host, device=f"{DEVICE}/{name}", key=key, window=window)

    def events_string(self) -> str:
        """Where what has arrived at the hub is read."""
        hub = _hub_path(self.running)
        version = {"api-version": "2023-06-30"}
        with self.running.client() as client:
            found = (
                client.get(hub, params=version).raise_for_status().json()["properties"]["eventHubEndpoints"]["events"]
            )
            keys = client.post(f"{hub}/listkeys", params=version).raise_for_status().json()["value"]
        key = next(one for one in keys if one["keyName"] == "service")["primaryKey"]
        return (
            f"Endpoint={found['endpoint']};SharedAccessKeyName=service;SharedAccessKey={key};EntityPath={found['path']}"
        )


@contextlib.contextmanager
def device(folder: Path, routes: dict[str, str]) -> Generator[Edge]:
    """A device that runs the digits model as module ``digits``, with routes of the benchmark's; all ends with it."""
    state = folder / "state"
    with emulators.running(state) as running:
        options = [word for name, route in routes.items() for word in ("--route", f"{name}={route}")]
        _command(state, "deploy", str(_model()), "--name", SERVICE, "--target", "iotedge", *options)
        (place,) = [file.parent for file in state.glob("edge/*/*/ready.json")]
        hub = _arm(running, _hub_path(running))
        with httpx.Client(
            base_url=f"https://{hub['properties']['windtunnel']['service']}",
            verify=running.tls,
            params={"api-version": "2021-04-12"},
            headers={"Authorization": f"Bearer {emulators.token(running)}"},
            timeout=LIMIT_S,
        ) as service:
            yield Edge(running=running, state=state, folder=place, service=service)


def until(holds: Callable[[], bool], what: str, *, limit_s: float = LIMIT_S) -> None:
    """Wait until something holds."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def _command(state: Path, *arguments: str) -> None:
    environment = {**os.environ, "WINDTUNNEL_STATE_DIR": str(state)}
    settings: Sequence[str] = ("--set", f"iot_hub={HUB}", "--set", f"edge_device={DEVICE}")
    done = subprocess.run(
        [sys.executable, "-m", "windtunnel", *arguments, *settings],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    if done.returncode:
        raise RuntimeError(f"windtunnel {arguments[0]} failed:\n{done.stderr[-2000:]}")


def _model() -> Path:
    from importlib import resources

    return Path(str(resources.files("windtunnel_contracts").joinpath("data", "digits", "digits.onnx")))


def _hub_path(running: Emulators) -> str:
    return f"/subscriptions/{running.subscription}/resourceGroups/windtunnel/providers/Microsoft.Devices/IotHubs/{HUB}"


def _arm(running: Emulators, path: str) -> dict[str, Any]:
    with running.client() as client:
        found = client.get(path, params={"api-version": "2023-06-30"}).raise_for_status().json()
    return cast("dict[str, Any]", found)


def _json(file: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(file.read_text("utf-8")))
