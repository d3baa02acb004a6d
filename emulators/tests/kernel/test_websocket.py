"""WebSockets by a client that others wrote, against applications that speak ASGI."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from windtunnel_emulators.http1 import Connection, Shared

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from websockets.asyncio.client import ClientConnection

    from windtunnel_emulators.asgi import ASGI, Receive, Scope, Send

LIMIT_S = 20.0


@asynccontextmanager
async def served(app: ASGI) -> AsyncGenerator[str]:
    loop = asyncio.get_running_loop()
    shared = Shared(app)
    server = await loop.create_server(lambda: Connection(shared, loop), "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        tasks = [taken.task for taken in shared.sockets]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(shared.connections):
            connection.transport.abort()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4000, "reason": "as you wish"})
            return
        await send({"type": "websocket.send", **{key: message[key] for key in ("text", "bytes") if key in message}})


async def test_text_and_bytes_go_both_ways() -> None:
    async with served(echo) as base, connect(base) as client:
        for data in ("one", b"two", "drei ☃", b"", b"x" * 200_000):
            await client.send(data)
            assert await client.recv() == data
        await client.send(["in ", "pieces"])
        assert await client.recv() == "in pieces"


async def test_pings_are_answered() -> None:
    async with served(echo) as base, connect(base) as client:
        await asyncio.wait_for(await client.ping(), LIMIT_S)


async def test_the_scope_is_that_of_a_websocket() -> None:
    found: asyncio.Future[Scope] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.set_result(scope)
        await send({"type": "websocket.accept", "subprotocol": "b"})

    async with served(app) as base:
        path = f"{base}/exec%20x/y?a=b"
        async with connect(path, subprotocols=["a", "b"], additional_headers={"X-One": "1"}) as client:  # type: ignore[list-item]  # NewType of str
            assert client.subprotocol == "b"
    scope = await found
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/exec x/y")
    assert (scope["query_string"], scope["subprotocols"]) == (b"a=b", ["a", "b"])
    assert (b"x-one", b"1") in scope["headers"]


async def test_the_server_closes_with_a_code_and_a_reason() -> None:
    async with served(echo) as base, connect(base) as client:
        await client.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(client.recv(), LIMIT_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "as you wish")


async def test_the_application_sees_the_client_close() -> None:
    seen: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.set_result(await receive())

    async with served(app) as base:
        async with connect(base) as client:
            await client.close(4001, "enough")
        assert await asyncio.wait_for(seen, LIMIT_S) == {
            "type": "websocket.disconnect",
            "code": 4001,
            "reason": "enough",
        }


async def test_the_application_sees_the_client_vanish() -> None:
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.set_result((await receive())["code"])

    async with served(app) as base:
        client = await connect(base)
        client.transport.abort()
        assert await asyncio.wait_for(seen, LIMIT_S) == 1006


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("app", [refuses, returns])
async def test_a_websocket_that_is_not_accepted_is_refused(app: ASGI) -> None:
    async with served(app) as base:
        with pytest.raises(InvalidStatus) as refused:
            await connect(base)
    assert refused.value.response.status_code == 403


async def test_a_defect_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise ZeroDivisionError

    async with served(app) as base, connect(base) as client:
        with pytest.raises(ConnectionClosedError) as closed:
            await asyncio.wait_for(client.recv(), LIMIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    assert "ZeroDivisionError" in caplog.text


async def test_messages_wait_for_an_application_that_is_slow() -> None:
    gate = asyncio.Event()
    count: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        number = 0
        while (await receive())["type"] == "websocket.receive":
            number += 1
        count.set_result(number)

    async with served(app) as base:
        async with connect(base) as client:
            for _ in range(500):
                await client.send("x")
            gate.set()
        assert await asyncio.wait_for(count, LIMIT_S) == 500


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    async def send_and_wait(client: ClientConnection) -> None:
        await client.send(b"x" * 5_000_000)
        await asyncio.wait_for(client.recv(), LIMIT_S)

    async with served(echo) as base, connect(base, max_size=None) as client:
        with pytest.raises(ConnectionClosedError) as closed:
            await send_and_wait(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("missing", [b"sec-websocket-key", b"sec-websocket-version"])
async def test_a_handshake_that_is_none_is_refused(missing: bytes) -> None:
    headers = {
        b"host": b"x",
        b"connection": b"Upgrade",
        b"upgrade": b"websocket",
        b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",
        b"sec-websocket-version": b"13",
    }
    del headers[missing]
    request = b"GET / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in headers.items()) + b"\r\n"
    async with served(echo) as base:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), LIMIT_S)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 426 "))
