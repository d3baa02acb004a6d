"""HTTP/1.1 over real sockets: what clients send in all its forms, and what applications answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.asgi import ClientGone, chunks, respond
from windtunnel_emulators.http1 import Connection, Shared

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send

LIMIT_S = 20.0


@dataclass
class Port:
    """An application at a port."""

    number: int
    shared: Shared
    seen: list[Scope] = field(default_factory=list["Scope"])

    async def say(self, *pieces: bytes, until: bytes | None = None) -> bytes:
        """Send pieces one by one; what comes back until the server closes, or until ``until``."""
        async with self.client() as (reader, writer), asyncio.timeout(LIMIT_S):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if until is None:
                return await reader.read()
            answer = b""
            while until not in answer:
                more = await reader.read(65536)
                assert more, answer
                answer += more
            return answer

    @asynccontextmanager
    async def client(self, limit: int = 65536) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection, closed at the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.number, limit=limit)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def served(app: ASGI) -> AsyncGenerator[Port]:
    """Serve an application for a test."""
    loop = asyncio.get_running_loop()
    shared = Shared(app)
    shared.date = b"date: now\r\n"
    server = await loop.create_server(lambda: Connection(shared, loop), "127.0.0.1", 0)
    try:
        yield Port(server.sockets[0].getsockname()[1], shared)
    finally:
        server.close()
        for connection in list(shared.connections):
            connection.transport.abort()
        await server.wait_closed()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body, and what the request looked like."""
    body = b""
    async for piece in chunks(receive):
        body += piece
    line = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode()
    await respond(send, 200, line + body)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Does not read the body."""
    await respond(send, 200, b"hello")


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def test_a_request_and_its_answer() -> None:
    async with served(echo) as port:
        answer = await port.say(b"GET /a%20b?c=d%20e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"date: now",
        b"content-length: 17",
        b"content-type: text/plain; charset=utf-8",
        b"connection: close",
    ]
    assert body == b"GET /a b c=d%20e "


async def test_the_scope_has_what_asgi_says() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await hello(scope, receive, send)

    async with served(app) as port:
        await port.say(b"PUT //x/%2F?q HTTP/1.0\r\nX-One:  1 \r\nx-one: 2\r\n\r\n")
        (scope,) = scopes
        assert scope["type"] == "http"
        assert (scope["method"], scope["http_version"], scope["scheme"]) == ("PUT", "1.0", "http")
        assert (scope["raw_path"], scope["path"], scope["query_string"]) == (b"//x/%2F", "//x//", b"q")
        assert [(name, value.strip()) for name, value in scope["headers"]] == [(b"x-one", b"1"), (b"x-one", b"2")]
        assert scope["server"] == ("127.0.0.1", port.number)
        assert scope["client"][0] == "127.0.0.1"


async def test_an_address_with_scheme_and_host_is_taken_apart() -> None:
    async with served(echo) as port:
        answer = await port.say(b"GET http://x:1/p?q HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.endswith(b"GET /p q ")


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with served(echo) as port:
        answer = await port.say(GET, GET, LAST)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"connection: close") == 1


async def test_requests_that_do_not_wait_are_answered_in_their_order() -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        if scope["path"] == "/0":
            await gate.wait()
        await echo(scope, receive, send)

    async with served(app) as port:
        requests = [b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nb-%d" % (n, n) for n in range(9)]
        task = asyncio.create_task(port.say(b"".join([*requests, LAST])))
        await asyncio.wait_for(begun.wait(), LIMIT_S)
        gate.set()
        answer = await task
    assert [part[:1] for part in answer.split(b"POST /")[1:]] == [b"%d" % n for n in range(9)]
    assert answer.endswith(b"GET /last  ")


async def test_http_1_0_is_closed_after_the_answer() -> None:
    async with served(echo) as port:
        answer = await port.say(b"GET / HTTP/1.0\r\n\r\n")
    assert b"connection: close\r\n" in answer


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_answer_of_unsaid_length(version: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    async with served(app) as port:
        answer = await port.say(b"GET / HTTP/%b\r\nhost: x\r\nconnection: close\r\n\r\n" % version)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (b"transfer-encoding: chunked" in head) == (version == b"1.1")
    assert body == (b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" if version == b"1.1" else b"onetwo")


async def test_a_head_request_gets_no_body() -> None:
    async with served(hello) as port:
        answer = await port.say(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", LAST)
    first, _, second = answer.partition(b"\r\n\r\n")
    assert b"content-length: 5" in first
    assert second.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("status", [204, 304])
async def test_some_statuses_have_no_body_and_no_length(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(app) as port:
        answer = await port.say(GET, LAST)
    assert answer.count(b"HTTP/1.1 %d " % status) == 2
    assert b"transfer-encoding" not in answer


async def test_a_body_in_chunks_comes_as_one_stream() -> None:
    request = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    async with served(echo) as port:
        answer = await port.say(request, b"3\r\nabc\r\n", b"1", b"0\r\n" + b"d" * 16 + b"\r\n0\r\n\r\n")
    assert answer.endswith(b"POST /  abc" + b"d" * 16)


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    head = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
    async with served(echo) as port, port.client() as (reader, writer):
        writer.write(head)
        async with asyncio.timeout(LIMIT_S):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert (await reader.read()).endswith(b"PUT /  abc")


async def test_a_client_that_asks_first_is_refused_before_it_sends() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 413, b"too much")

    head = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\nexpect: 100-continue\r\n\r\n"
    async with served(app) as port:
        answer = await port.say(head, until=b"too much")
    assert b"100 Continue" not in answer


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
async def test_a_body_that_nobody_reads_is_dropped_and_its_sender_gets_the_answer(connection: bytes) -> None:
    size = 30_000_000
    head = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nconnection: %b\r\n\r\n" % (size, connection)
    async with served(hello) as port:
        pieces = [head, *[b"x" * 1_000_000] * 30]
        answer = await (port.say(*pieces) if connection == b"close" else port.say(*pieces, LAST))
    assert answer.count(b"hello") == (1 if connection == b"close" else 2)


async def test_a_body_is_read_no_faster_than_it_is_used() -> None:
    gate, largest = asyncio.Event(), 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal largest
        await gate.wait()
        async for piece in chunks(receive):
            largest = max(largest, len(piece))
        await respond(send, 200, b"done")

    size = 20_000_000
    head = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % size
    async with served(app) as port, port.client() as (reader, writer):
        writer.write(head + b"x" * size)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.2)  # the server does not take it all
        gate.set()
        async with asyncio.timeout(LIMIT_S):
            assert (await reader.read()).endswith(b"done")
    assert largest < 1_000_000


async def test_an_answer_is_written_no_faster_than_it_is_read() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async with served(app) as port, port.client(1000) as (reader, writer):
        writer.write(LAST)
        await asyncio.sleep(0.2)  # nothing else shows that no more comes
        assert sent < 150
        async with asyncio.timeout(LIMIT_S):
            assert len(await reader.read()) > 20_000_000
    assert sent == 200


async def test_an_application_is_told_that_the_client_has_gone() -> None:
    gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async for _ in chunks(receive):
                pass
        except ClientGone:
            gone.set_result("while sending")
        else:
            gone.set_result(str((await receive())["type"]))

    async with served(app) as port:
        async with port.client() as (_, writer):
            writer.write(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc")
            await writer.drain()
        assert await asyncio.wait_for(gone, LIMIT_S) == "while sending"
        gone = asyncio.get_running_loop().create_future()
        async with port.client() as (_, writer):
            writer.write(GET)
            await writer.drain()
        assert await asyncio.wait_for(gone, LIMIT_S) == "http.disconnect"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nhost x\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 1_000_000, b"431 Request Header Fields Too Large"),
        (b"GET /" + b"y" * 1_000_000, b"431 Request Header Fields Too Large"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, b"400 Bad Request"),  # TLS to a plain port
    ],
)
async def test_what_is_not_http_is_refused_and_closed(sent: bytes, status: bytes) -> None:
    async with served(hello) as port:
        answer = await port.say(sent)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in answer


async def test_two_lengths_are_no_way_to_smuggle_a_request() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
    async with served(echo) as port:
        answer = await port.say(head + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in answer


@pytest.mark.parametrize("upgrade", [b"h2c", b"unheard-of"])
async def test_an_upgrade_that_is_not_known_here_goes_on_as_http(upgrade: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: %b\r\n\r\n" % upgrade
    async with served(hello) as port:
        answer = await port.say(head)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"hello")


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


async def stops_early(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})


async def does_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def says_too_much(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def breaks_a_header(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, b"x", headers=[(b"a", b"b\r\nset-cookie: c")])


@pytest.mark.parametrize("app", [fails, does_nothing, breaks_a_header])
async def test_a_defect_before_the_answer_is_a_500(app: ASGI, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with served(app) as port:
            answer = await port.say(LAST)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error")
    assert answer.endswith(b"Internal Server Error")
    assert b"set-cookie" not in answer
    assert "GET /last" in caplog.text


@pytest.mark.parametrize("app", [stops_early, says_too_much])
async def test_a_defect_in_the_answer_cuts_the_connection(app: ASGI, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with served(app) as port, port.client() as (reader, writer):
            writer.write(GET)
            async with asyncio.timeout(LIMIT_S):
                try:
                    answer = await reader.read()
                except ConnectionResetError:
                    answer = b""
    assert not answer.endswith(b"hello")
    assert "GET /" in caplog.text


async def test_an_application_may_drop_the_client() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["abort"]()
        await respond(send, 503)

    async with served(app) as port, port.client() as (reader, writer):
        writer.write(GET)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = await asyncio.wait_for(reader.read(), LIMIT_S)
    assert answer == b""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    chunked=st.booleans(),
    cuts=st.lists(st.integers(1, 400), max_size=12),
)
def test_however_a_stream_is_cut_the_same_requests_are_answered(
    bodies: list[bytes], chunked: bool, cuts: list[int]
) -> None:
    stream = b""
    for number, body in enumerate(bodies):
        head = b"POST /%d HTTP/1.1\r\nhost: x\r\n" % number
        if chunked:
            pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
            stream += head + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
        else:
            stream += head + b"content-length: %d\r\n\r\n" % len(body) + body
    stream += LAST
    edges = [0, *sorted({min(cut, len(stream)) for cut in cuts}), len(stream)]
    parts = [stream[start:end] for start, end in itertools.pairwise(edges)]

    async def play() -> bytes:
        async with served(echo) as port:
            return await port.say(*parts)

    answer = asyncio.run(play())
    assert answer.count(b"HTTP/1.1 200 OK") == len(bodies) + 1
    rest = answer
    for number, body in enumerate(bodies):
        _, found, rest = rest.partition(b"\r\n\r\nPOST /%d  " % number + body)
        assert found
