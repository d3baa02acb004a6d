"""kubectl's streams through a real API server: exec, cp, attach, logs and port-forward, by WebSocket and by SPDY."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import httpx
import pytest

from windtunnel_emulators.kubernetes.client.meta import condition, text

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject

    from .conftest import RealCluster

SERVER = """
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello " + self.path.encode()
        self.send_response(200); self.send_header("content-length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer((os.environ["WINDTUNNEL_ADDRESS"], 8080), Hello).serve_forever()
"""
BOTH = pytest.mark.parametrize("websockets", ["true", "false"])


@pytest.fixture
async def web(cluster: RealCluster) -> AsyncGenerator[str]:
    main: JsonObject = {
        "name": "main",
        "image": "machine:1",
        "command": ["python3", "-u", "-c", SERVER],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
    }
    async with cluster.pod("web", main) as name:
        await cluster.until(name, ready)
        yield name


def ready(pod: JsonObject) -> bool:
    found = condition(pod, "Ready")
    return found is not None and found.get("status") == "True"


@BOTH
async def test_exec_keeps_streams_and_codes_apart(cluster: RealCluster, web: str, websockets: str) -> None:
    code, out, err = await cluster.try_kubectl(
        "exec", "-i", web, "--", "sh", "-c", "cat; echo err >&2; exit 7", typed=b"typed", **_by(websockets)
    )
    assert (code, out) == (7, "typed")
    assert err == "err\ncommand terminated with exit code 7\n"


@BOTH
async def test_what_cannot_be_executed_is_said(cluster: RealCluster, web: str, websockets: str) -> None:
    code, _, err = await cluster.try_kubectl("exec", web, "--", "/nonesuch", typed=b"", **_by(websockets))
    assert code == 1
    assert "error executing command in container" in err
    assert "/nonesuch" in err


async def test_a_terminal_has_the_size_of_the_client_s(cluster: RealCluster, web: str) -> None:
    import pty

    master, slave = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    config = cluster.folder / "kubeconfig"
    wait_for_size = "until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo size is $(stty size)"
    child = await asyncio.create_subprocess_exec(
        cluster.kubectl_path,
        f"--kubeconfig={config}",
        "exec",
        "-it",
        web,
        "--",
        "sh",
        "-c",
        wait_for_size,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={"HOME": str(cluster.folder), "PATH": os.environ["PATH"], "TERM": "xterm"},
    )
    os.close(slave)
    try:
        async with asyncio.timeout(20):
            assert await child.wait() == 0
        assert "size is 40 120" in os.read(master, 65536).decode()
    finally:
        os.close(master)
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_files_are_copied_both_ways(cluster: RealCluster, web: str, tmp_path: Path) -> None:
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(os.urandom(2_000_000))
    await cluster.kubectl("cp", str(sent), f"{web}:/tmp/file")
    await cluster.kubectl("cp", f"{web}:/tmp/file", str(got))
    assert got.read_bytes() == sent.read_bytes()


@BOTH
async def test_ports_are_forwarded(cluster: RealCluster, web: str, websockets: str) -> None:
    child = await cluster.start_kubectl(
        "port-forward", f"pod/{web}", ":8080", KUBECTL_PORT_FORWARD_WEBSOCKETS=websockets
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(20):
            line = (await child.stdout.readline()).decode()
        port = int(line.split(":")[1].split()[0])
        async with httpx.AsyncClient(trust_env=False) as client:
            answers = await asyncio.gather(*(client.get(f"http://127.0.0.1:{port}/{n}") for n in range(20)))
        assert [answer.text for answer in answers] == [f"hello /{n}" for n in range(20)]
    finally:
        child.terminate()
        await child.communicate()


async def test_a_port_that_nobody_listens_on_is_said(cluster: RealCluster, web: str) -> None:
    child = await cluster.start_kubectl("port-forward", f"pod/{web}", ":9999")
    try:
        assert child.stdout is not None
        assert child.stderr is not None
        async with asyncio.timeout(20):
            line = (await child.stdout.readline()).decode()
            port = int(line.split(":")[1].split()[0])
            async with httpx.AsyncClient(trust_env=False) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get(f"http://127.0.0.1:{port}/")
            said = (await child.stderr.readline()).decode()
        assert "error forwarding port 9999 to pod" in said
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


async def test_who_attaches_is_the_container_s_input(cluster: RealCluster) -> None:
    main: JsonObject = {
        "name": "main",
        "image": "machine:1",
        "command": ["sh", "-c", "read word; echo got $word; read other || echo end"],
        "stdin": True,
        "stdinOnce": True,
    }
    async with cluster.pod("typing", main, restartPolicy="Never") as name:
        await cluster.until(name, ready)
        out = await cluster.kubectl("attach", "-i", name, typed=b"word\n")
        assert "got word" in out
        pod = await cluster.until(name, lambda p: text(p, "status", "phase") == "Succeeded")
        assert pod
        assert await cluster.kubectl("logs", name) == "got word\nend\n"


async def test_logs_are_followed_to_the_end(cluster: RealCluster) -> None:
    command = "echo one; until [ -e /tmp/go ]; do sleep 0.02; done; echo two >&2; echo three"
    main: JsonObject = {"name": "main", "image": "machine:1", "command": ["sh", "-c", command]}
    async with cluster.pod("talking", main, restartPolicy="Never") as name:
        await cluster.until(name, ready)
        child = await cluster.start_kubectl("logs", "-f", name)
        assert child.stdout is not None
        async with asyncio.timeout(20):
            assert await child.stdout.readline() == b"one\n"
            await cluster.kubectl("exec", name, "--", "touch", "/tmp/go")
            out, _ = await child.communicate()
        assert sorted(out.splitlines()) == [b"three", b"two"]
        assert await cluster.kubectl("logs", name, "--tail=1") in ("two\n", "three\n")
        stamped = await cluster.kubectl("logs", name, "--timestamps", "--limit-bytes=10")
        assert stamped[:4].isdigit()
        assert await cluster.kubectl("logs", name, "--since-time=2999-01-01T00:00:00Z") == ""


async def test_only_the_api_server_and_masters_may_ask_a_kubelet(cluster: RealCluster, web: str) -> None:
    definition = cluster.agent.definition
    url = f"https://{definition.address}:{definition.kubelet_port}/containerLogs/default/{web}/main"
    authority = cluster.authority

    async def ask(context: ssl.SSLContext) -> int:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            return (await client.get(url)).status_code

    assert await ask(authority.client_context(None)) == 401
    assert await ask(authority.client_context(authority.client("scheduler"))) == 403
    assert await ask(authority.client_context(authority.kubelet_client)) == 200


def _by(websockets: str) -> dict[str, str]:
    return {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
