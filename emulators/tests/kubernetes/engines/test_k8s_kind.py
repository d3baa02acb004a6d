"""The kind engine: a real cluster in containers, made, stopped, started and deleted through ARM.

Needs ``kind``, a Docker engine, and ``WINDTUNNEL_KIND_IMAGE`` and ``WINDTUNNEL_KIND_CONFIG`` where kind's own image
cannot be had; ``WINDTUNNEL_TEST_BASE`` is an image with python3 that the engine has.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from launching import CLUSTERS, GROUP, cluster_of, launched
from windtunnel_emulators.kubernetes.client.config import client_from_kubeconfig
from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem
from windtunnel_emulators.kubernetes.client.kinds import DEPLOYMENT, NODE, SERVICE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from windtunnel_emulators.kubernetes.client.interface import Client

pytestmark = pytest.mark.kind

_DEADLINE_S = 240.0
CLUSTER = f"/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/glider"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def image() -> str:
    """What pods run. Without it, or without kind, the test is skipped; in CI it fails."""
    named = os.environ.get("WINDTUNNEL_TEST_BASE")
    why = "WINDTUNNEL_TEST_BASE names no image with python3" if not named else ""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        why = "there is no kind, or no docker, on the path"
    if why:
        if os.environ.get("WINDTUNNEL_CI"):
            pytest.fail(why)
        pytest.skip(why)
    return str(named)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not await holds():
        assert time.monotonic() < end, "it did not come about"
        await asyncio.sleep(0.2)  # there is no event: what is waited for is in another process


async def ready_nodes(client: Client) -> int:
    try:
        found: Any = await client.request("GET", NODE.path())
    except KubernetesProblem:
        return 0
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
        for node in found["items"]
    )


async def test_the_life_of_a_cluster_of_kind(tmp_path: Path, image: str) -> None:
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": image,
        "command": ["python3", "-m", "http.server", "8000"],
        "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
    }
    deployment: Any = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    service: Any = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "selector": labels, "ports": [{"port": 8000}]},
    }
    with launched(tmp_path, engine="kind") as emulators:
        kubeconfig = cluster_of(emulators, tmp_path, nodes=1)
        client = client_from_kubeconfig(kubeconfig)
        listed: Any = await client.request("GET", NODE.path())
        (node,) = listed["items"]
        assert node["metadata"]["labels"]["agentpool"] == "agentpool"
        await client.request("POST", DEPLOYMENT.path("default"), body=deployment)
        await client.request("POST", SERVICE.path("default"), body=service)

        async def answers() -> bool:
            found: Any = await client.request("GET", SERVICE.path("default", "web"))
            for ingress in found["status"]["loadBalancer"].get("ingress", []):
                try:
                    async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
                        return (await http.get(f"http://{ingress['ip']}:8000/")).status_code == 200
                except httpx.TransportError:
                    return False
            return False

        await until(answers)
        scaled = {"location": "westeurope", "properties": {"agentPoolProfiles": [_pool(2)]}}
        emulators.arm("PUT", CLUSTER, scaled, version=CLUSTERS)
        await until(lambda: _state_is(emulators, "Failed"))  # kind's nodes do not become more
        await client.close()
    with launched(tmp_path, engine="kind") as emulators:
        again = client_from_kubeconfig(kubeconfig)

        async def back() -> bool:
            return await ready_nodes(again) == 1

        await until(back)
        await again.close()
        emulators.arm("DELETE", CLUSTER, version=CLUSTERS)
        await until(lambda: _is_gone(emulators))


def _pool(count: int) -> dict[str, object]:
    return {"name": "agentpool", "mode": "System", "count": count, "vmSize": "Standard_D4s_v3"}


async def _state_is(emulators: Any, state: str) -> bool:
    found = emulators.arm("GET", CLUSTER, version=CLUSTERS)
    return bool(found["properties"]["provisioningState"] == state)


async def _is_gone(emulators: Any) -> bool:
    path = f"/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters"
    return not emulators.arm("GET", path, version=CLUSTERS)["value"]
