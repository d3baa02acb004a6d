"""The front end: who is let in, what is passed on, and what a client sees when the container does not answer."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import socket
import ssl
from typing import TYPE_CHECKING, TypeAlias

import pytest

from windtunnel_contracts import models
from windtunnel_scoring.cors import Cors
from windtunnel_scoring.errors import StartError
from windtunnel_scoring.frontend import tls
from windtunnel_scoring.frontend.app import FrontEnd, ProxyOptions
from windtunnel_scoring.frontend.keys import Keys
from windtunnel_scoring.frontend.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.scoring.conftest import Client, Reply, Server
    from windtunnel_scoring.asgi import App, Message
    from windtunnel_scoring.record import RequestRecord

DEADLINE_S = 30.0
Front: TypeAlias = "Callable[..., Awaitable[Client]]"
KEY = {"authorization": "Bearer first"}


class Container:
    """A server that reads a request's head and body and answers what the test says, byte by byte."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        self.requests: list[bytes] = []
        self.connections = 0
        self.answers_before_body = False
        self.hangs = asyncio.Event()
        self.hang = False
        self.closes = False
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = b""
                if not self.answers_before_body:
                    length = re.search(rb"content-length: (\d+)", head)
                    if length:
                        body = await reader.readexactly(int(length[1]))
                    elif b"transfer-encoding: chunked" in head:
                        body = await reader.readuntil(b"0\r\n\r\n")
                self.requests.append(head + body)
                if self.hang:
                    await self.hangs.wait()
                writer.write(self.answer)
                await writer.drain()
                keeps = b"content-length" in self.answer.lower() or b"chunked" in self.answer
                if self.closes or not keeps:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        writer.close()

    def headers(self) -> dict[str, str]:
        """Of the last request."""
        lines = self.requests[-1].split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    async def stop(self) -> None:
        self.hangs.set()
        if self._server is not None:
            self._server.close()


@pytest.fixture
async def container() -> AsyncIterator[Container]:
    made = Container()
    yield made
    await made.stop()


@pytest.fixture
async def front(container: Container, client_of: Callable[[App], Client]) -> AsyncIterator[Front]:
    """Makes a front end before the container; with two keys unless told otherwise."""
    upstreams: list[Upstream] = []

    async def make(**options: object) -> Client:
        port = await container.start()
        records: list[RequestRecord] = []
        given = {"keys": Keys("first", "second"), "observe": records.append, **options}
        upstreams.append(Upstream("127.0.0.1", port))
        client = client_of(FrontEnd(upstreams[-1], ProxyOptions(**given)))  # type: ignore[arg-type]  # mixed
        client.records = records
        return client

    yield make
    for upstream in upstreams:
        upstream.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "target", ["/score", "/swagger.json", "/anything", "//", "/?x=1/../score", "/v1/models/m:predict"]
)
async def test_everything_but_health_needs_a_key(front: Front, container: Container, target: str) -> None:
    client = await front()
    method = "POST" if target.startswith("/?") else "GET"
    for headers, reason in (({}, "no key"), ({"authorization": "Bearer third"}, "wrong key")):
        reply = await client.request(method, target, headers=headers)
        assert (reply.status, reply.message, reply.headers["www-authenticate"]) == (401, "Unauthorized", "Bearer")
        assert reply.headers["x-request-id"] == reply.headers["x-ms-request-id"]
        assert client.records[-1].reason == reason
    assert container.requests == []
    for key in ("first", "second"):
        assert (await client.request(method, target, headers={"authorization": f"Bearer {key}"})).status == 200
    assert len(container.requests) == 2


async def test_health_is_open_and_asks_the_container(front: Front, container: Container) -> None:
    client = await front()
    assert (await client.request("GET", "/")).body == b"ok"
    assert (await client.request("HEAD", "/")).status == 200
    assert (await client.request("POST", "/")).status == 401
    assert [record.status for record in client.records] == [401], "probes are not logged"


async def test_without_authentication_everyone_is_let_in(front: Front, container: Container) -> None:
    client = await front(keys=None)
    await client.request("GET", "/score", headers={"authorization": "Bearer x"})
    assert container.headers()["authorization"] == "Bearer x", "it is not ours"


async def test_what_is_passed_on(front: Front, container: Container) -> None:
    client = await front()
    headers = {
        **KEY,
        "host": "svc.westeurope.azurecontainer.io",
        "connection": "close, x-hop",
        "x-hop": "1",
        "te": "trailers",
        "keep-alive": "5",
        "proxy-authorization": "secret",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-proto": "gopher",
        "x-own": "kept",
        "content-type": "application/json",
    }
    await client.request("POST", "/score?a=%20b", b"{}", headers)
    assert container.requests[-1].startswith(b"POST /score?a=%20b HTTP/1.1\r\n")
    assert container.requests[-1].endswith(b"\r\n\r\n{}")
    got = container.headers()
    request_id = got.pop("x-request-id")
    assert got == {
        "host": "svc.westeurope.azurecontainer.io",
        "x-own": "kept",
        "content-type": "application/json",
        "content-length": "2",
        "x-forwarded-for": "10.0.0.1, 127.0.0.9",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "svc.westeurope.azurecontainer.io",
    }
    assert client.records[-1].request_id == request_id, "one id in both logs"


async def test_what_comes_back(front: Front, container: Container) -> None:
    container.answer = (
        b"HTTP/1.1 418 Teapot\r\nContent-Length: 5\r\nX-Ms-Run-Function-Failed: False\r\nConnection: x-hop\r\n"
        b"X-Hop: 1\r\nKeep-Alive: timeout=5\r\nDate: then\r\nSet-Cookie: a\r\n\r\nshort"
    )
    reply = await (await front()).request("GET", "/score", headers=KEY)
    assert (reply.status, reply.body) == (418, b"short")
    assert reply.headers == {"content-length": "5", "x-ms-run-function-failed": "False", "set-cookie": "a"}


async def test_a_chunked_answer(front: Front, container: Container) -> None:
    container.answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    reply = await (await front()).request("GET", "/score", headers=KEY)
    assert reply.body == b"abcde"
    assert "transfer-encoding" not in reply.headers


async def test_an_answer_that_ends_with_the_connection(front: Front, container: Container) -> None:
    container.answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    client = await front()
    for _ in range(2):
        assert (await client.request("GET", "/score", headers=KEY)).body == b"all of it"
    assert container.connections == 2


async def test_interim_answers_are_skipped(front: Front, container: Container) -> None:
    container.answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"
    client = await front()
    reply = await client.request("POST", "/score", b"x", {**KEY, "expect": "100-continue"})
    assert (reply.status, reply.body) == (200, b"x")
    assert "expect" not in container.headers()


async def test_connections_are_kept(front: Front, container: Container) -> None:
    client = await front()
    for _ in range(5):
        await client.request("POST", "/score", b"x", KEY)
    assert container.connections == 1
    container.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    for _ in range(2):
        await client.request("HEAD", "/score", headers=KEY)
    assert container.connections == 2


@pytest.mark.parametrize(("status", "seen"), [(500, 500), (502, 502)])
async def test_a_failed_run_is_500_or_502(front: Front, container: Container, status: int, seen: int) -> None:
    container.answer = b"HTTP/1.1 500 X\r\ncontent-length: 2\r\nx-ms-run-function-failed: True\r\n\r\n{}"
    reply = await (await front(run_failed_status=status)).request("GET", "/score", headers=KEY)
    assert (reply.status, reply.body, reply.headers["x-ms-run-function-failed"]) == (seen, b"{}", "True")


async def test_nothing_listens(client_of: Callable[[App], Client]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = client_of(FrontEnd(Upstream("127.0.0.1", unused.getsockname()[1]), ProxyOptions(keys=None)))
        for target in ("/", "/score"):
            reply = await client.request("GET", target)
            assert (reply.status, reply.message) == (503, "The scoring container is not ready.")
            assert reply.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200", b"SSH-2.0-OpenSSH_9.9\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
)
async def test_no_answer_is_502(front: Front, container: Container, answer: bytes) -> None:
    container.answer = answer
    client = await front()
    reply = await client.request("POST", "/score", b"x", KEY)
    assert (reply.status, reply.message) == (502, "Replica closed connection before replying")
    assert client.records[-1].reason == "upstream closed"
    assert len(container.requests) == 1, "a request is never sent twice"


async def test_half_an_answer_is_not_made_whole(front: Front, container: Container) -> None:
    container.answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"
    container.closes = True
    client = await front()
    stream = Stream()
    stream.pieces.put_nowait(b"")
    assert await stream.request(client, **KEY) == 200
    assert stream.sent[-1] == {"type": "http.response.body", "body": b"abc", "more_body": True}
    assert client.records[-1].reason == "upstream closed"


async def test_a_container_that_is_too_slow_is_504(front: Front, container: Container) -> None:
    container.hang = True
    client = await front(timeout_ms=50)
    reply = await client.request("GET", "/score", headers=KEY)
    assert (reply.status, reply.message) == (504, "The scoring container did not answer within 50 ms")


async def test_a_body_over_the_limit(front: Front, container: Container) -> None:
    client = await front(max_body_bytes=10)
    reply = await client.request("POST", "/score", b"x" * 11, KEY)
    assert (reply.status, reply.message) == (413, "The request is larger than 10 bytes")
    assert container.requests == []
    assert (await client.request("POST", "/score", b"x" * 10, KEY)).status == 200


class Stream:
    """A client that sends its body in pieces, as the test goes on."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        piece = await self.pieces.get()
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def request(self, client: Client, **headers: str) -> int:
        """The status, or 0 when nothing was answered."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await client.call("POST", "/score", {**KEY, **named}, self.receive, self.send)
        return int(str(self.sent[0]["status"])) if self.sent else 0


async def test_a_body_is_streamed(front: Front, container: Container) -> None:
    client = await front()
    stream = Stream()
    asking = asyncio.create_task(stream.request(client, transfer_encoding="chunked"))
    for piece in (b"abc", b"d" * 40_000, b""):
        stream.pieces.put_nowait(piece)
    assert await asking == 200
    body = container.requests[-1].split(b"\r\n\r\n", 1)[1]
    assert body == b"3\r\nabc\r\n9c40\r\n" + b"d" * 40_000 + b"\r\n0\r\n\r\n"


async def test_a_streamed_body_over_the_limit(front: Front, container: Container) -> None:
    client = await front(max_body_bytes=10)
    stream = Stream()
    asking = asyncio.create_task(stream.request(client, transfer_encoding="chunked"))
    for _ in range(3):
        stream.pieces.put_nowait(b"xxxx")
    assert await asking == 413


async def test_an_answer_that_does_not_wait_for_the_body(front: Front, container: Container) -> None:
    container.answers_before_body = True
    container.answer = b"HTTP/1.1 431 X\r\ncontent-length: 0\r\n\r\n"
    client = await front()
    stream = Stream()
    asking = asyncio.create_task(stream.request(client, content_length="1000"))
    stream.pieces.put_nowait(b"the beginning")
    assert await asking == 431


async def test_a_client_that_goes_away(front: Front, container: Container) -> None:
    client = await front()
    stream = Stream()
    asking = asyncio.create_task(stream.request(client, content_length="1000"))
    stream.pieces.put_nowait(b"the beginning")
    stream.pieces.put_nowait(None)
    assert await asking == 0, "there is nobody to answer"
    assert (client.records[-1].status, client.records[-1].reason) == (499, "client gone")


async def test_browsers_ask_without_a_key(front: Front, container: Container) -> None:
    client = await front(cors=Cors("http://a.com"))
    asked = {"origin": "http://a.com", "access-control-request-method": "POST"}
    reply = await client.request("OPTIONS", "/score", headers=asked)
    assert (reply.status, reply.headers["access-control-allow-methods"]) == (200, "GET, POST")
    other = await client.request("OPTIONS", "/score", headers={**asked, "origin": "http://b.com"})
    assert "access-control-allow-origin" not in other.headers
    assert (await client.request("OPTIONS", "/score", headers={"origin": "http://a.com"})).status == 401
    refused = await client.request("POST", "/score", headers={"origin": "http://a.com"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "http://a.com")
    assert container.requests == []


async def test_keys_are_never_recorded(front: Front, container: Container) -> None:
    client = await front()
    await client.request("GET", "/score?key=first", headers=KEY)
    await client.request("GET", "/score", headers={"authorization": "Bearer almost-first"})
    assert not [record for record in client.records if "first" in record.line()]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    return certificate(tmp_path_factory.mktemp("tls"))


class TestTls:
    """Certificates as text and as files."""

    def test_text_and_files_and_spelled_out_line_breaks(self, pair: tuple[Path, Path]) -> None:
        cert, key = pair
        for chain, private in (
            (str(cert), str(key)),
            (cert.read_text(), key.read_text()),
            (cert.read_text().replace("\n", "\\n"), key.read_text().replace("\n", "\\n")),
        ):
            assert tls.server_context(chain, private).minimum_version == ssl.TLSVersion.TLSv1_2

    def test_what_cannot_be_used_never_shows_the_key(self, pair: tuple[Path, Path], tmp_path: Path) -> None:
        cert, key = pair
        other = certificate(tmp_path)[1].read_text()
        for chain, private in ((cert.read_text(), other), ("-----BEGIN x", key.read_text()), (str(cert), str(cert))):
            with pytest.raises(StartError, match="the TLS certificate and key cannot be used") as caught:
                tls.server_context(chain, private)
            assert "BEGIN" not in str(caught.value)
            assert caught.value.__cause__ is None
        with pytest.raises(StartError, match="WINDTUNNEL_TLS_KEY is neither PEM text nor a file that exists") as caught:
            tls.server_context(str(cert), "s3cret")
        assert "s3cret" not in str(caught.value)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert, private


class TestProcesses:
    """Both programs, as a container group runs them."""

    @pytest.fixture
    def scoring(self, serve: Callable[..., Server], tmp_path: Path) -> Server:
        models.write(models.identity(), tmp_path / "model")
        return serve({"AZUREML_MODEL_DIR": str(tmp_path / "model")})

    @pytest.fixture
    def https(
        self, serve: Callable[..., Server], scoring: Server, tmp_path: Path
    ) -> Iterator[http.client.HTTPSConnection]:
        cert, key = certificate(tmp_path)
        server = serve(
            {
                "WINDTUNNEL_UPSTREAM_PORT": str(scoring.port),
                "WINDTUNNEL_PRIMARY_KEY": "first",
                "WINDTUNNEL_SECONDARY_KEY": "second",
                "WINDTUNNEL_TLS_CERT": cert.read_text(),
                "WINDTUNNEL_TLS_KEY": key.read_text(),
            },
            module="windtunnel_scoring.frontend",
        )
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", server.port, timeout=DEADLINE_S, context=context)
        connection.connect()
        yield connection
        assert server.stop() == 0, "with a client that keeps its TLS connection open"
        connection.close()
        assert "first" not in server.log()

    def test_tls_and_keys(self, https: http.client.HTTPSConnection, exchange: Callable[..., Reply]) -> None:
        assert isinstance(https.sock, ssl.SSLSocket)
        assert https.sock.version() in ("TLSv1.2", "TLSv1.3")
        assert exchange(https, "GET", "/").body == b"Healthy"
        body = json.dumps({"data": [[1, 2]]}).encode()
        json_type = {"Content-Type": "application/json"}
        assert exchange(https, "POST", "/score", body, json_type).status == 401
        reply = exchange(https, "POST", "/score", body, {**json_type, "Authorization": "Bearer second"})
        assert (reply.status, reply.json()) == (200, [[1.0, 2.0]])
        assert reply.headers["x-ms-server-version"].startswith("windtunnel/")

    def test_a_large_body(self, https: http.client.HTTPSConnection, exchange: Callable[..., Reply]) -> None:
        rows = 100_000
        body = json.dumps({"data": [[0.5, -1.0]] * rows}).encode()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer first"}
        reply = exchange(https, "POST", "/score", body, headers)
        assert reply.json() == [[0.5, -1.0]] * rows

    def test_the_container_ends_and_is_missed(
        self, https: http.client.HTTPSConnection, scoring: Server, exchange: Callable[..., Reply]
    ) -> None:
        assert exchange(https, "GET", "/").status == 200
        assert scoring.stop() == 0
        assert exchange(https, "GET", "/").status == 503

    @pytest.mark.parametrize(
        ("variables", "said"),
        [
            ({}, "neither WINDTUNNEL_PRIMARY_KEY nor WINDTUNNEL_SECONDARY_KEY is set"),
            (
                {"WINDTUNNEL_PRIMARY_KEY": "k", "WINDTUNNEL_TLS_CERT": "/no", "WINDTUNNEL_TLS_KEY": "/no"},
                "WINDTUNNEL_TLS_CERT is neither PEM text nor a file that exists",
            ),
            ({"WINDTUNNEL_AUTH": "none", "WINDTUNNEL_ADDRESS": "203.0.113.1"}, "cannot listen at 203.0.113.1 port 0"),
        ],
    )
    def test_what_cannot_start_ends_with_3(
        self, serve: Callable[..., Server], variables: dict[str, str], said: str
    ) -> None:
        server = serve(variables, module="windtunnel_scoring.frontend", wait=False)
        assert server.wait() == 3
        assert said in server.log()
        assert "Traceback" not in server.log()
