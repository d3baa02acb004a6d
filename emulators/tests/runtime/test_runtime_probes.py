"""Single questions of probes, to real listeners."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.runtime.interface import ContainerSpec, Image, StartError
from windtunnel_emulators.runtime.plan import ExecAction, HttpAction, Probe, ProbeAction, TcpAction
from windtunnel_emulators.runtime.probes import Outcome, ask
from windtunnel_emulators.tls import CertificateAuthority

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import Container

ADDRESS = "127.77.200.3"
WELL = Outcome(healthy=True)


class Asked:
    """The little of a container that a probe needs."""

    def __init__(self, folder: Path) -> None:
        image = Image(reference="x", digest="sha256:0")
        self.spec = ContainerSpec(id="x", owner="x", image=image, address=ADDRESS, log=folder / "log", directory=folder)

    async def execute(self, command: tuple[str, ...]) -> object:
        raise StartError(f"exec: {command[0]!r}: executable file not found in $PATH")


async def answer(action: ProbeAction, folder: Path, timeout_s: float = 5) -> Outcome:
    container: Container = Asked(folder)  # type: ignore[assignment]  # only what a probe uses
    return await ask(Probe(action=action, timeout_s=timeout_s), container, RealClock())


@asynccontextmanager
async def listener(reply: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncGenerator[tuple[int, list[bytes]]]:
    """The port, and what was asked there; ``reply`` None never answers."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            if reply is None:
                await reader.read()
            else:
                writer.write(reply)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            requests.append(b"")
        finally:
            writer.close()

    server = await asyncio.start_server(serve, ADDRESS, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", ""),
        (b"HTTP/1.0 204\r\n\r\n", ""),
        (b"HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP probe failed with statuscode: 404"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "HTTP probe failed with statuscode: 503"),
        (b"SSH-2.0-x\r\n", "no HTTP answer"),
        (b"", "no HTTP answer"),
        (b"x" * 100_000, "GET /ready?x=1 at"),
    ],
)
async def test_a_http_probe_goes_by_the_status(tmp_path: Path, reply: bytes, message: str) -> None:
    async with listener(reply) as (port, requests):
        action = HttpAction(port=port, path="/ready?x=1", headers=(("X-Probe", "yes"), ("Host", "model")))
        outcome = await answer(action, tmp_path)
    assert outcome.healthy is (message == "")
    assert message in outcome.message
    lines = requests[0].split(b"\r\n")
    assert lines[0] == b"GET /ready?x=1 HTTP/1.1"
    assert b"x-probe: yes" in lines
    assert [line for line in lines if line.startswith(b"host:")] == [b"host: model"]


async def test_a_https_probe_does_not_ask_who_signed(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    authority = CertificateAuthority.load_or_create(tmp_path / "tls", now=datetime.now(UTC), environment={})
    async with listener(b"HTTP/1.1 200 OK\r\n\r\n", authority.server_context()) as (port, _):
        assert await answer(HttpAction(port=port, scheme="HTTPS"), tmp_path) == WELL
    async with listener(b"plain\r\n\r\n") as (port, _):
        assert not (await answer(HttpAction(port=port, scheme="https"), tmp_path, timeout_s=0.2)).healthy


async def test_silence_is_a_failure_after_the_timeout(tmp_path: Path) -> None:
    async with listener(None) as (port, _):
        outcome = await answer(HttpAction(port=port), tmp_path, timeout_s=0.05)
    assert outcome == Outcome(healthy=False, message="no answer within 0.05s")


async def test_a_tcp_probe_is_content_with_a_connection(tmp_path: Path) -> None:
    async with listener(None) as (port, _):
        assert await answer(TcpAction(port=port), tmp_path) == WELL
    outcome = await answer(TcpAction(port=port), tmp_path)
    assert not outcome.healthy
    assert outcome.message.startswith(f"no connection to {ADDRESS}:{port}: ")
    http = await answer(HttpAction(port=port), tmp_path)
    assert "no connection" in http.message


async def test_a_command_that_is_not_there_is_unhealthy(tmp_path: Path) -> None:
    outcome = await answer(ExecAction(command=("nonesuch",)), tmp_path)
    assert outcome == Outcome(healthy=False, message="exec: 'nonesuch': executable file not found in $PATH")
