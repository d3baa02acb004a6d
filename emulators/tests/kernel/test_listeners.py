"""Ports that are remembered, TLS, and an end within a second whatever clients do."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect

from windtunnel_emulators.asgi import chunks, respond
from windtunnel_emulators.server import Listeners, PortTaken
from windtunnel_emulators.store import Store
from windtunnel_emulators.tls import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from windtunnel_emulators.asgi import Receive, Scope, Send

LIMIT_S = 20.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    folder = tmp_path_factory.mktemp("tls")
    return CertificateAuthority.load_or_create(folder, now=datetime.now(UTC), environment=os.environ)


@pytest.fixture
async def listeners(authority: CertificateAuthority) -> AsyncIterator[Listeners]:
    made = Listeners(Store(None), authority.server_context())
    yield made
    await made.close_all()


async def scheme(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, 200, scope["scheme"].encode())


async def get(port: int, tls: ssl.SSLContext | None = None) -> bytes:
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), LIMIT_S)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_port_speaks_tls_that_clients_of_the_authority_trust(
    listeners: Listeners, authority: CertificateAuthority
) -> None:
    port = await listeners.open("a", scheme)
    tls = ssl.create_default_context(cafile=str(authority.ca_file))
    assert (await get(port, tls)).endswith(b"https")
    with pytest.raises(ssl.SSLCertVerificationError):
        await get(port, ssl.create_default_context())
    assert b"date: " in await get(port, tls)


async def test_a_plain_port_is_plain(listeners: Listeners) -> None:
    assert (await get(await listeners.open("a", scheme, tls=False))).endswith(b"http")


async def test_a_port_that_was_asked_for_is_had_or_refused_with_a_sentence(listeners: Listeners) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {number} of 127\.0\.0\.1, asked for as a, is in use"):
            await listeners.open("a", scheme, port=number, tls=False)
    assert await listeners.open("a", scheme, port=number, tls=False) == number
    assert listeners.port("a") == number


async def test_a_name_keeps_its_port_from_one_start_to_the_next(authority: CertificateAuthority) -> None:
    store = Store(None)
    first = Listeners(store, authority.server_context())
    ports = {name: await first.open(name, scheme) for name in ("a", "b")}
    await first.close_all()
    second = Listeners(store, authority.server_context())
    assert {name: await second.open(name, scheme) for name in ("b", "a")} == ports
    await second.close_all()
    with socket.create_server(("127.0.0.1", ports["a"])):
        third = Listeners(store, authority.server_context())
        moved = await third.open("a", scheme)
        assert moved != ports["a"]
        await third.close_all()
    assert Listeners(store, authority.server_context()).remembered("a") == moved


async def test_a_port_that_is_given_up_for_good_is_forgotten(listeners: Listeners) -> None:
    port = await listeners.open("a", scheme)
    await listeners.close("a")
    assert listeners.remembered("a") == port
    await listeners.close("a", forget=True)
    assert listeners.remembered("a") is None
    assert listeners.port("a") is None


async def test_a_reserved_port_takes_connections_before_it_is_served(listeners: Listeners) -> None:
    port = listeners.reserve("a")
    assert listeners.remembered("a") == port
    waiting = asyncio.create_task(get(port))
    assert await listeners.open("a", scheme, tls=False) == port
    assert (await waiting).endswith(b"http")
    with pytest.raises(ValueError, match="has a port already"):
        listeners.reserve("a")


async def test_a_name_is_open_once(listeners: Listeners) -> None:
    await listeners.open("a", scheme)
    with pytest.raises(ValueError, match="a is open already"):
        await listeners.open("a", scheme)


async def test_ports_are_of_this_machine_alone(listeners: Listeners) -> None:
    port = await listeners.open("a", scheme, tls=False)
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # free, since only 127.0.0.1 was taken


async def test_an_application_may_drop_the_client(listeners: Listeners) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["abort"]()
        await respond(send, 503)

    port = await listeners.open("a", app, tls=False)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        answer = await get(port)
    assert answer == b""


async def test_websockets_are_served_over_tls(listeners: Listeners, authority: CertificateAuthority) -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{scope['path']} {message['text']}"})

    port = await listeners.open("a", echo)
    tls = ssl.create_default_context(cafile=str(authority.ca_file))
    async with connect(f"wss://localhost:{port}/x", ssl=tls) as client:
        await client.send("one")
        assert await asyncio.wait_for(client.recv(), LIMIT_S) == "/x one"


async def test_a_body_is_read_no_faster_than_it_is_used(listeners: Listeners) -> None:
    gate, largest = asyncio.Event(), 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal largest
        await gate.wait()
        async for piece in chunks(receive):
            largest = max(largest, len(piece))
        await respond(send, 200, b"done")

    port = await listeners.open("a", app, tls=False)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = 20_000_000
    writer.write(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % size + b"x" * size)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 0.2)  # the server does not take it all
    gate.set()
    assert (await asyncio.wait_for(reader.read(), LIMIT_S)).endswith(b"done")
    assert largest < 1_000_000
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_the_end_does_not_wait_for_clients(authority: CertificateAuthority) -> None:
    """An idle one, one whose answer never comes, and one that has not said what it wants."""
    begun = asyncio.Event()
    cancelled: list[str] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/idle":
            await respond(send, 200, b"idle")
            return
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(scope["path"])
            raise

    listeners = Listeners(Store(None), authority.server_context())
    port = await listeners.open("a", never)
    tls = ssl.create_default_context(cafile=str(authority.ca_file))
    clients = [await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost") for _ in range(3)]
    clients[0][1].write(b"GET /idle HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(clients[0][0].readuntil(b"idle"), LIMIT_S)
    clients[1][1].write(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(begun.wait(), LIMIT_S)
    started = time.monotonic()
    await listeners.close_all()
    assert time.monotonic() - started < 3
    assert cancelled == ["/never"]
    for _, writer in clients:
        writer.transport.abort()


@pytest.mark.parametrize("begun", [False, True])
async def test_an_application_that_finds_no_room_on_the_disk_says_so(listeners: Listeners, begun: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise OSError(errno.ENOSPC, "no room")

    answer = await get(await listeners.open("a", app, tls=False))
    if begun:
        assert b"507" not in answer
    else:
        assert answer.startswith(b"HTTP/1.1 507 ")
        assert b'"The state folder cannot be written to: its disk is full. Nothing was changed."' in answer
