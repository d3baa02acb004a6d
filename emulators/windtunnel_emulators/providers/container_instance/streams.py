"""The WebSockets of ``exec`` and ``attach``.

As recorded: the first frame a client sends is the session's password; then its frames are keyboard input and the
server's are output. ``attach`` also takes the password as ``Authorization`` header, as its documentation says. The
server closes when the process, or the container, has ended; no exit code is told.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.group import NoSuchContainer
from windtunnel_emulators.runtime.interface import RuntimeProblem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from windtunnel_emulators.asgi import Message, Receive, Scope, Send
    from windtunnel_emulators.runtime.interface import ExecSession

    from .deployment import Deployment
    from .service import ContainerInstances
    from .sessions import Session

_NORMAL, _POLICY, _FAILED = 1000, 1008, 1011
_PASSWORD_LIMIT_S = 15.0
_FOLLOW_EVERY_S = 0.25
_log = logging.getLogger(__name__)


class Streams:
    """The ASGI application behind ``/execstream/``."""

    def __init__(self, service: ContainerInstances) -> None:
        self._service = service
        self._open: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket to its end."""
        if scope["type"] != "websocket":
            await send({"type": "http.response.start", "status": 426, "headers": [(b"upgrade", b"websocket")]})
            await send({"type": "http.response.body", "body": b"This address is a WebSocket.\n"})
            return
        task = asyncio.ensure_future(self._serve(scope, receive, send))
        self._open.add(task)
        try:
            await task
        finally:
            self._open.discard(task)

    async def close(self) -> None:
        """End all that are open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        session = self._service.sessions.take(str(scope["path"]).rstrip("/").rsplit("/", 1)[-1])
        deployment = None if session is None else self._service.deployed(session.uid)
        if session is None or deployment is None or deployment.group is None:
            await _close(send, _POLICY, "there is no such session, or it was used, or it has expired")
            return
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        if not (header and session.opens_with(header)) and not await _password_follows(session, receive):
            await _close(send, _POLICY, "the password is wrong or did not come")
            return
        try:
            if session.command is None:
                await self._attach(session, deployment, receive, send)
            else:
                await self._execute(session, session.command, deployment, receive, send)
        except RuntimeProblem as problem:
            await send({"type": "websocket.send", "text": f"{problem}\r\n"})
            await _close(send, _FAILED, "the command could not be run")

    async def _execute(
        self, session: Session, command: tuple[str, ...], deployment: Deployment, receive: Receive, send: Send
    ) -> None:
        group = deployment.group
        if group is None:
            raise NoSuchContainer(f"{deployment.id.name} has no containers")
        process = await group.execute(session.container, command, terminal=session.terminal)
        try:
            await _until_either_ends(_feed(process, receive), _pour(process.output(), send))
        finally:
            await process.close()
        await _close(send, _NORMAL, "")

    async def _attach(self, session: Session, deployment: Deployment, receive: Receive, send: Send) -> None:
        await _until_either_ends(_drain(receive), _pour(self._output(session, deployment), send))
        await _close(send, _NORMAL, "")

    async def _output(self, session: Session, deployment: Deployment) -> AsyncIterator[bytes]:
        """What the container writes, from the beginning of its run until it is over."""
        told: list[str] = []
        while True:
            group, status = deployment.group, deployment.status
            if group is None:
                return
            lines = group.logs(session.container, timestamps=True).splitlines(keepends=True)
            fresh = lines[len(told) :] if lines[: len(told)] == told else lines
            told = lines
            if fresh:
                yield "".join(line.partition(" ")[2] for line in fresh).encode()
            container = None if status is None else status.container(session.container)
            if container is None or container.over or (status is not None and status.finished):
                return
            await self._service.world.clock.sleep(_FOLLOW_EVERY_S)


async def _password_follows(session: Session, receive: Receive) -> bool:
    try:
        async with asyncio.timeout(_PASSWORD_LIMIT_S):
            message = await receive()
    except TimeoutError:
        return False
    return message["type"] == "websocket.receive" and session.opens_with(_data(message).decode("utf-8", "replace"))


async def _feed(process: ExecSession, receive: Receive) -> None:
    """Input, until the client leaves or the process reads no more."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        try:
            await process.send(_data(message))
        except BrokenPipeError:
            await _drain(receive)
            return


async def _drain(receive: Receive) -> None:
    while (await receive())["type"] == "websocket.receive":
        pass


async def _pour(output: AsyncIterator[bytes], send: Send) -> None:
    async for data in output:
        await send({"type": "websocket.send", "bytes": data})


async def _until_either_ends(
    reading: Coroutine[object, object, None], writing: Coroutine[object, object, None]
) -> None:
    """Run both; when one ends the other is ended. Raises what either raised."""
    tasks = {asyncio.ensure_future(reading), asyncio.ensure_future(writing)}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(send: Send, code: int, reason: str) -> None:
    try:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    except RuntimeError as gone:  # uvicorn's way to say that the client has closed already
        _log.debug("a WebSocket was closed by its client: %s", gone)


def _data(message: Message) -> bytes:
    data = message.get("bytes")
    return data if isinstance(data, bytes) else str(message.get("text") or "").encode("utf-8", "replace")
