"""The WebSockets of exec and attach: password first, input and output, and their end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.container_instance.conftest import Emulators, Reply

    Make = Callable[..., dict[str, Any]]

EXEC = "containers/main/exec"
ATTACH = "containers/main/attach"


class Socket:
    """A WebSocket client of the service's application, without a socket."""

    def __init__(self, emulators: Emulators, address: str, **headers: str) -> None:
        url = urlsplit(address)
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "path": url.path,
            "query_string": url.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[Any] = asyncio.Queue()
        self._in.put_nowait({"type": "websocket.connect"})
        app = emulators.service.routes["/execstream/"]
        self.task = asyncio.ensure_future(app(self.scope, self._in.get, self._out.put))

    def send(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        self._in.put_nowait({"type": "websocket.receive", kind: data})

    def leave(self) -> None:
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            message: dict[str, Any] = await self._out.get()
            return message

    async def accepted(self) -> None:
        assert await self.next() == {"type": "websocket.accept"}

    async def output(self) -> str:
        message = await self.next()
        assert message["type"] == "websocket.send", message
        return str(message.get("text") or message["bytes"].decode())

    async def close_code(self) -> int:
        message = await self.next()
        assert message["type"] == "websocket.close", message
        await self.task
        return int(message["code"])


async def opened(emulators: Emulators, action: str = EXEC, body: object = None) -> Reply:
    given = body or {"command": "/bin/sh -c 'echo a b'", "terminalSize": {"rows": 24, "cols": 80}}
    reply = await emulators.post("g1", action, given)
    assert reply.status == 200, reply.body
    return reply


async def test_a_session_is_an_address_and_a_password(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await opened(emulators)
    url = urlsplit(str(reply.body["webSocketUri"]))
    assert (url.scheme, url.netloc) == ("wss", "localhost:4580")
    assert url.path.startswith("/execstream/sessionId/")
    assert url.query == "api-version=1.0&rows=24&cols=80"
    assert len(reply.body["password"]) >= 32


async def test_exec_takes_input_and_gives_output_until_the_command_ends(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await opened(emulators)
    socket = Socket(emulators, reply.body["webSocketUri"])
    await socket.accepted()
    socket.send(reply.body["password"])
    assert await socket.output() == "/bin/sh -c echo a b\r\n"
    socket.send(b"hello\r")
    assert await socket.output() == "HELLO\r"
    socket.send(b"exit\r")
    assert await socket.close_code() == 1000
    (process,) = emulators.runtime.running[0].execs
    assert (process.command, process.terminal, process.closed) == (("/bin/sh", "-c", "echo a b"), (24, 80), True)


async def test_a_client_that_leaves_ends_its_command(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await opened(emulators)
    socket = Socket(emulators, reply.body["webSocketUri"])
    await socket.accepted()
    socket.send(reply.body["password"])
    await socket.output()
    socket.leave()
    await socket.close_code()
    assert emulators.runtime.running[0].execs[0].closed


@pytest.mark.parametrize("password", ["", "wrong", "\ud800", b"\xff"])
async def test_a_wrong_password_opens_nothing(emulators: Emulators, body: Make, password: str | bytes) -> None:
    await emulators.created("g1", body())
    reply = await opened(emulators)
    socket = Socket(emulators, reply.body["webSocketUri"])
    await socket.accepted()
    socket.send(password)
    assert await socket.close_code() == 1008
    assert emulators.runtime.running[0].execs == []
    again = Socket(emulators, reply.body["webSocketUri"])
    await again.accepted()
    assert await again.close_code() == 1008


async def test_a_session_is_used_once_and_expires(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    late = await opened(emulators)
    await emulators.clock.advance(61)
    unknown = late.body["webSocketUri"].replace(late.body["webSocketUri"][-60:-40], "0" * 20)
    for address in (late.body["webSocketUri"], unknown, "wss://localhost/execstream/"):
        socket = Socket(emulators, address)
        await socket.accepted()
        assert await socket.close_code() == 1008


async def test_a_command_that_cannot_be_run_says_why(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await opened(emulators, body={"command": "nonsense"})
    socket = Socket(emulators, reply.body["webSocketUri"])
    await socket.accepted()
    socket.send(reply.body["password"])
    assert await socket.output() == "there is no command 'nonsense'\r\n"
    assert await socket.close_code() == 1011


async def test_a_container_that_has_ended_gives_a_session_that_says_so(emulators: Emulators, body: Make) -> None:
    # Recorded (azure-cli, test_container_exec): exec on a container that ended with 2 answers 200.
    await emulators.created("g1", body(image="exit/2", restartPolicy="Never"))
    await emulators.eventually(lambda: not emulators.runtime.running)
    reply = await opened(emulators)
    socket = Socket(emulators, reply.body["webSocketUri"])
    await socket.accepted()
    socket.send(reply.body["password"])
    assert "does not run; it is Terminated: Error" in await socket.output()
    assert await socket.close_code() == 1011


async def test_a_stopped_group_gives_no_session(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    await emulators.post("g1", "stop")
    for action in (EXEC, ATTACH):
        reply = await emulators.post("g1", action, {"command": "ls"})
        assert (reply.status, reply.code) == (409, "ContainerGroupStopped")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"command": ""},
        {"command": "  "},
        {"command": "'"},
        {"command": "a\0b"},
        {"command": "ls", "terminalSize": {"rows": 0, "cols": 80}},
        {"command": "ls", "terminalSize": {"rows": 24, "cols": 100_000}},
    ],
)
async def test_what_cannot_be_run_is_refused_at_once(emulators: Emulators, body: Make, wrong: dict[str, Any]) -> None:
    await emulators.created("g1", body())
    reply = await emulators.post("g1", EXEC, wrong)
    assert (reply.status, reply.code) == (400, "InvalidContainerExecRequest")


async def test_a_body_of_the_wrong_type_is_refused(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body())
    reply = await emulators.post("g1", EXEC, {"command": ["ls"]})
    assert (reply.status, reply.code) == (400, "InvalidRequestContent")
    assert "'command' is an array where a string is expected" in reply.message
    missing = await emulators.post("g1", "containers/other/exec", {"command": "ls"})
    assert (missing.status, missing.code) == (404, "ContainerNotFound")


async def test_attach_follows_the_output_and_ends_with_the_container(emulators: Emulators, body: Make) -> None:
    await emulators.created("g1", body(restartPolicy="Never"))
    (container,) = emulators.runtime.running
    reply = await opened(emulators, ATTACH)
    assert "rows" not in reply.body["webSocketUri"]
    socket = Socket(emulators, reply.body["webSocketUri"], authorization=reply.body["password"])
    await socket.accepted()
    assert await socket.output() == "ran as built\n"
    with container.spec.log.open("a") as log:
        log.write("2026-01-01T00:00:09.000000Z stderr more of it\n")
    await emulators.clock.advance(1)
    assert await socket.output() == "more of it\n"
    container.end(0)
    await emulators.eventually(lambda: not container.running)
    while socket.task.done() is False:
        await emulators.clock.advance(1)
    assert await socket.close_code() == 1000


async def test_the_address_is_a_websocket_only(emulators: Emulators) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope: dict[str, Any] = {"type": "http", "path": "/execstream/x", "headers": []}
    await emulators.service.routes["/execstream/"](scope, receive, send)
    assert sent[0]["status"] == 426
