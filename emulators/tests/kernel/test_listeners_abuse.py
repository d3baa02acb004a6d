"""Clients that mean no good: endless heads, heads that never end, requests that nobody fetches the answers of."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators import server
from windtunnel_emulators.asgi import respond
from windtunnel_emulators.server import Listeners
from windtunnel_emulators.store import Store

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from windtunnel_emulators.asgi import Receive, Scope, Send

LIMIT_S = 20.0


@pytest.fixture
async def listeners() -> AsyncIterator[Listeners]:
    without_tls: ssl.SSLContext = None  # type: ignore[assignment]  # no port of these tests asks for it
    made = Listeners(Store(None), without_tls)
    yield made
    await made.close_all()


async def length_of_path(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, b"%d" % len(scope["path"]))


@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\nhost: x\r\nx: ", b"GET / HTTP/1.1\r\n", b"GET /"])
async def test_an_endless_head_is_refused_before_it_fills_memory(listeners: Listeners, beginning: bytes) -> None:
    port = await listeners.open("a", length_of_path, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    piece = (b"y" * 1000 if beginning[-1:] != b"\n" else b"name: " + b"y" * 990 + b"\r\n") * 16
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 64 * 1024 * 1024 and not reader.at_eof():
            writer.write(piece)
            await asyncio.wait_for(writer.drain(), LIMIT_S)
            sent += len(piece)
    assert sent < 16 * 1024 * 1024
    writer.close()


async def test_a_head_that_is_too_long_gets_a_sentence(listeners: Listeners) -> None:
    port = await listeners.open("a", length_of_path, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
    await writer.drain()
    writer.write(b"y" * 66_000)
    answer = await asyncio.wait_for(reader.read(), LIMIT_S)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.endswith(b"The head of the request is longer than 65536 bytes.")
    writer.close()


async def test_a_long_head_that_comes_whole_is_answered(listeners: Listeners) -> None:
    port = await listeners.open("a", length_of_path, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"y" * 60_000 + b"\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), LIMIT_S)).endswith(b"\r\n\r\n1")
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_client_that_does_not_finish_its_head_is_dropped(
    listeners: Listeners, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_S", 0.2)
    port = await listeners.open("a", length_of_path, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), LIMIT_S) == b""
    writer.close()


async def test_a_request_that_takes_its_time_is_not_dropped(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_S", 0.2)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        # Until the other client, which came later, has been dropped.
        other, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await other.read() == b""
        writer.close()
        await respond(send, 200, b"done")

    port = await listeners.open("a", slow, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), LIMIT_S)).endswith(b"done")
    writer.close()


async def test_requests_whose_answers_nobody_reads_are_not_taken_in(listeners: Listeners) -> None:
    async def big(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, 200, b"z" * 10_000)

    port = await listeners.open("a", big, tls=False)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    requests = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 4000
    taken = 0
    try:
        while taken < 64 * 1024 * 1024:
            writer.write(requests)
            async with asyncio.timeout(1.0):
                await writer.drain()
            taken += len(requests)
    except TimeoutError:
        pass
    assert taken < 32 * 1024 * 1024
    writer.transport.abort()


async def test_only_a_get_becomes_a_websocket(listeners: Listeners) -> None:
    port = await listeners.open("a", length_of_path, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /abc HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n"
        b"content-length: 2\r\n\r\nhi"
    )
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n4"), LIMIT_S)
    assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()
