"""The router as a program: how it finds the Kubernetes API, how it starts, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from windtunnel_scoring.errors import StartError
from windtunnel_scoring.router import credentials
from windtunnel_scoring.router.settings import RouterSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from tests.router.conftest import FakeApi, Reply, Town

    Send = Callable[..., Coroutine[None, None, Reply]]
    Eventually = Callable[[Callable[[], bool], str], Awaitable[None]]

ROOT = Path(__file__).parents[2]


def certificate() -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM), private


def kubeconfig(server: str, user: dict[str, object], cluster: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "azureml"}}],
        "clusters": [{"name": "k", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
    }


class Program:
    """``python -m windtunnel_scoring.router``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready = folder / "ready.json"
        self.log = folder / "log.txt"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, **variables: str) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "WINDTUNNEL_ADDRESS": "127.0.0.1",
            "WINDTUNNEL_ROUTER_PORT": "0",
            "WINDTUNNEL_INNER_PORT": "0",
            "WINDTUNNEL_READY_FILE": str(self.ready),
            **variables,
        }
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "windtunnel_scoring.router", env=environment, stdout=log, stderr=log
            )

    def announced(self) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.ready.read_text("utf-8"))
        return found

    async def wait(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(30):
            return await self.process.wait()


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    made = Program(tmp_path)
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()
        await made.process.wait()


async def test_it_starts_serves_and_drains(
    program: Program, town: Town, api: FakeApi, send: Send, eventually: Eventually
) -> None:
    await town.service()
    replica = await town.replica("a")
    config = program.folder / "config"
    config.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{api.port}", {"token": "t"})), "utf-8")
    await program.start(KUBECONFIG=str(config))
    await eventually(program.ready.exists, "it is ready")
    port, inner = program.announced()["port"], program.announced()["innerPort"]
    assert (await send(inner, "GET", "/")).body == b"Healthy"
    replica.gate.clear()
    running = asyncio.create_task(
        send(port, "POST", "/api/v1/service/svc/score", b"x", {"authorization": "Bearer first"})
    )
    await eventually(lambda: replica.working == 1, "a request works")
    assert program.process is not None
    program.process.terminate()
    await eventually(lambda: "Shutting down" in program.log.read_text("utf-8"), "it stops")
    replica.gate.set()
    assert (await running).status == 200, "what was begun is finished"
    assert await program.wait() == 0
    assert "first" not in program.log.read_text("utf-8")


async def test_it_waits_for_the_api_and_can_be_told_to_stop_meanwhile(program: Program, eventually: Eventually) -> None:
    config = program.folder / "config"
    config.write_text(json.dumps(kubeconfig("http://127.0.0.1:1", {"token": "t"})), "utf-8")
    await program.start(KUBECONFIG=str(config))
    await eventually(lambda: "going on with what is known" in program.log.read_text("utf-8"), "it tries")
    assert not program.ready.exists()
    assert program.process is not None
    program.process.terminate()
    assert await program.wait() == 0


async def test_tls_with_the_users_certificate(
    program: Program, town: Town, api: FakeApi, eventually: Eventually
) -> None:
    public, private = certificate()
    (program.folder / "tls.crt").write_bytes(public)
    (program.folder / "tls.key").write_bytes(private)
    config = program.folder / "config"
    config.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{api.port}", {"token": "t"})), "utf-8")
    await program.start(
        KUBECONFIG=str(config),
        WINDTUNNEL_TLS_CERT=str(program.folder / "tls.crt"),
        WINDTUNNEL_TLS_KEY=str(program.folder / "tls.key"),
    )
    await eventually(program.ready.exists, "it is ready")
    context = ssl.create_default_context(cadata=public.decode())
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", program.announced()["port"], ssl=context, server_hostname="localhost"
    )
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"Healthy")
    writer.close()


async def test_without_an_api_it_says_what_is_missing(program: Program) -> None:
    await program.start()
    assert await program.wait() == 3
    assert "KUBERNETES_SERVICE_HOST is not set" in program.log.read_text("utf-8")


def test_inside_a_cluster_the_token_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_bytes(certificate()[0])
    (tmp_path / "namespace").write_text("azureml", "utf-8")
    (tmp_path / "token").write_text("one\n", "utf-8")
    found = credentials.find(
        {
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "KUBERNETES_SERVICE_PORT": "443",
            "WINDTUNNEL_SERVICE_ACCOUNT_DIR": str(tmp_path),
        }
    )
    assert (found.host, found.port, found.namespace) == ("10.0.0.1", 443, "azureml")
    assert found.authorization() == "Bearer one"
    (tmp_path / "token").write_text("two", "utf-8")
    assert found.authorization() == "Bearer one", "not at every call"
    monkeypatch.setattr(credentials, "_RENEW_S", 0.0)
    assert found.authorization() == "Bearer two"
    (tmp_path / "token").unlink()
    assert found.authorization() == "Bearer two", "while the file is replaced"
    assert "two" not in repr(found)


def test_a_kubeconfig_in_yaml_with_a_client_certificate(tmp_path: Path) -> None:
    public, private = certificate()
    encoded = {name: base64.b64encode(value).decode() for name, value in (("c", public), ("k", private))}
    path = tmp_path / "config"
    path.write_text(
        "current-context: c\n"
        "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters: [{name: k, cluster:"
        f" {{server: 'https://[::1]:6443', certificate-authority-data: {encoded['c']}}}}}]\n"
        f"users: [{{name: u, user: {{client-certificate-data: {encoded['c']}, client-key-data: {encoded['k']}}}}}]\n",
        "utf-8",
    )
    found = credentials.find({"KUBECONFIG": str(path)})
    assert (found.host, found.port, found.namespace, found.authorization()) == ("::1", 6443, "default", "")
    assert found.tls is not None
    assert found.tls.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[1]", "is no JSON object"),
        (": :", "it is no YAML"),
        (json.dumps(kubeconfig("ftp://x", {})), "an http(s) URL is needed"),
        (json.dumps(kubeconfig("http://x", {"exec": {"command": "az"}})), "plugins are not run"),
        (json.dumps({**kubeconfig("http://x", {}), "current-context": "other"}), "has no 'other'"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "config"
    path.write_text(content, "utf-8")
    with pytest.raises(StartError) as caught:
        credentials.find({"KUBECONFIG": str(path)})
    assert sentence in str(caught.value)


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(StartError, match="WINDTUNNEL_TLS_KEY is not set"):
        RouterSettings.from_environment({"WINDTUNNEL_TLS_CERT": "x"})
    found = RouterSettings.from_environment({"WINDTUNNEL_NAMESPACES": " a, b ,", "POD_NAME": "p"})
    assert (found.namespaces, found.pod_name, found.port) == (("a", "b"), "p", 80)
