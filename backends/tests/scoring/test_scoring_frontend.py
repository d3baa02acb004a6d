"""The front end: who is let in, what is passed on, and what a client sees when the container does not answer."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING, TypeAlias

import pytest

from windtunnel_scoring.cors import Cors
from windtunnel_scoring.frontend.app import FrontEnd, ProxyOptions
from windtunnel_scoring.frontend.keys import Keys
from windtunnel_scoring.frontend.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.scoring.conftest import Client
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
