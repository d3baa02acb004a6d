"""Services in front of pods: names and addresses inside, load balancers outside, and no request lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from windtunnel_emulators.kubernetes.client.kinds import ENDPOINT_SLICE, POD, SERVICE
from windtunnel_emulators.kubernetes.client.meta import condition, entries, text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .conftest import RealCluster

LIMIT_S = 20
SERVER = """
import asyncio, os, signal
async def answer(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        name = os.environ["NAME"].encode()
        writer.write(b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(name) + name)
        await writer.drain()
    except asyncio.IncompleteReadError:
        pass
    writer.close()
async def main():
    server = await asyncio.start_server(answer, os.environ["WINDTUNNEL_ADDRESS"], 8080)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()
    await asyncio.sleep(0.1)
asyncio.run(main())
"""


def server(name: str) -> JsonObject:
    env: list[Json] = [{"name": "NAME", "value": name}]
    probe: JsonObject = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    command: list[Json] = ["python3", "-u", "-c", SERVER]
    return {"name": "main", "image": "machine:1", "command": command, "env": env, "readinessProbe": probe}


def ready(pod: JsonObject) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


async def put_endpoints(cluster: RealCluster, service: str, addresses: list[str]) -> None:
    """What a controller would write."""
    body: JsonObject = {
        "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
    }
    await cluster.objects.delete(ENDPOINT_SLICE, "default", f"{service}-1")
    if addresses:
        await cluster.objects.create(ENDPOINT_SLICE, body, "default")


@pytest.fixture
async def balanced(cluster: RealCluster) -> AsyncGenerator[str]:
    """The address of a load balancer in front of pods ``a`` and ``b``."""
    spec: JsonObject = {"type": "LoadBalancer", "ports": [{"port": 8090, "targetPort": 8080}]}
    async with cluster.pod("a", server("a")), cluster.pod("b", server("b")):
        pods = [await cluster.until(name, ready) for name in ("a", "b")]
        await cluster.objects.create(SERVICE, {"metadata": {"name": "letters"}, "spec": spec}, "default")
        await put_endpoints(cluster, "letters", [text(pod, "status", "podIP") for pod in pods])
        try:
            yield await _ingress(cluster)
        finally:
            await cluster.objects.delete(SERVICE, "default", "letters")
            await put_endpoints(cluster, "letters", [])


async def _ingress(cluster: RealCluster) -> str:
    async with asyncio.timeout(LIMIT_S):
        while True:
            service = await cluster.objects.get(SERVICE, "default", "letters")
            found = entries(service, "status", "loadBalancer", "ingress")
            if found:
                return text(found[0], "ip")
            await asyncio.sleep(0.02)


async def until(answers: list[str], count: int) -> None:
    while True:
        if len(answers) >= count:
            return
        await asyncio.sleep(0.01)


async def get(address: str, port: int) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S) as client:
        answer = await client.get(f"http://{address}:{port}/")
        answer.raise_for_status()
        return answer.text


async def test_a_load_balancer_spreads_over_ready_pods(cluster: RealCluster, balanced: str) -> None:
    assert balanced.startswith("127.")
    assert {await get(balanced, 8090) for _ in range(6)} == {"a", "b"}
    service = await cluster.objects.get(SERVICE, "default", "letters")
    node_port = entries(service, "spec", "ports")[0].get("nodePort")
    assert isinstance(node_port, int)
    assert await get(cluster.agent.definition.address, node_port) in {"a", "b"}


async def test_pods_find_services_by_name_and_by_variable(cluster: RealCluster, balanced: str) -> None:
    code = (
        "import os, socket, urllib.request as u\n"
        "names = ['letters', 'letters.default', 'letters.default.svc.cluster.local']\n"
        "for name in [*names, os.environ['LETTERS_SERVICE_HOST']]:\n"
        "    print(name, u.urlopen(f'http://{name}:8090/', timeout=10).read().decode())\n"
    )
    main: JsonObject = {"name": "main", "image": "machine:1", "command": ["python3", "-u", "-c", code]}
    async with cluster.pod("finder", main, restartPolicy="Never") as name:
        await cluster.until(name, lambda pod: text(pod, "status", "phase") in ("Succeeded", "Failed"))
        logs = (await cluster.kubectl("logs", name)).splitlines()
    assert [line.split()[0] for line in logs[:3]] == ["letters", "letters.default", "letters.default.svc.cluster.local"]
    assert len(logs) == 4
    assert {line.split()[1] for line in logs} <= {"a", "b"}


async def test_no_request_is_lost_while_a_pod_ends(cluster: RealCluster, balanced: str) -> None:
    over = asyncio.Event()
    answers: list[str] = []

    async def ask() -> None:
        while not over.is_set():
            answers.append(await get(balanced, 8090))

    async with asyncio.timeout(LIMIT_S):
        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await until(answers, 20)
        # The endpoints still name the pod: that it is about to end is what the node itself knows first.
        await cluster.objects.delete(POD, "default", "a")
        await cluster.until_gone("a")
        before = len(answers)
        await until(answers, before + 20)
        over.set()
        await asyncio.gather(*asking)
    assert set(answers[before + 4 :]) == {"b"}


async def test_a_port_that_cannot_be_had_leaves_the_service_pending(cluster: RealCluster) -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "0.0.0.0", 0)
    port = taken.sockets[0].getsockname()[1]
    ports: list[Json] = [{"name": "t", "port": port}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec: JsonObject = {"type": "LoadBalancer", "ports": ports}
    try:
        made = await cluster.objects.create(SERVICE, {"metadata": {"name": "taken"}, "spec": spec}, "default")
        said: dict[str, str] = {}
        wanted = {"SyncLoadBalancerFailed", "UnsupportedProtocol"}
        async with asyncio.timeout(LIMIT_S):
            while not wanted <= set(said):
                await asyncio.sleep(0.02)
                query = {"fieldSelector": f"involvedObject.uid={text(made, 'metadata', 'uid')}"}
                found = await cluster.client.request("GET", "/api/v1/namespaces/default/events", query=query)
                said = {text(event, "reason"): text(event, "message") for event in entries(found, "items")}
        assert "another program of this machine listens there" in said["SyncLoadBalancerFailed"]
        assert "forwards TCP only" in said["UnsupportedProtocol"]
        service = await cluster.objects.get(SERVICE, "default", "taken")
        assert not entries(service, "status", "loadBalancer", "ingress")
    finally:
        await cluster.objects.delete(SERVICE, "default", "taken")
        taken.close()
        await taken.wait_closed()


async def test_use_is_measured_and_shown(cluster: RealCluster) -> None:
    burner: JsonObject = {
        "name": "main",
        "image": "machine:1",
        "command": ["sh", "-c", "while true; do :; done"],
        "resources": {"limits": {"cpu": "200m"}},
    }
    async with cluster.pod("burner", burner) as name:
        await cluster.until(name, ready)
        out = ""
        async with asyncio.timeout(LIMIT_S):
            while not out.startswith(name):
                _, out, _ = await cluster.try_kubectl(
                    "top", "pod", name, "--no-headers", f"--cache-dir={cluster.folder}/c"
                )
        cpu, memory = out.split()[1:3]
        assert 0 < int(cpu.removesuffix("m")) <= 2000
        assert memory.endswith("Mi")
        nodes, cache = "", f"--cache-dir={cluster.folder}/c"
        async with asyncio.timeout(LIMIT_S):
            while not nodes.startswith(cluster.agent.definition.name):
                _, nodes, _ = await cluster.try_kubectl("top", "nodes", "--no-headers", cache)
        code, _, err = await cluster.try_kubectl(
            "get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/none"
        )
        assert code == 1
        assert "NotFound" in err or "not found" in err
