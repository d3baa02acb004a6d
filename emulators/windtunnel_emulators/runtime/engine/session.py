"""Commands executed in a running container of a Docker engine, over the connection that the engine upgrades for it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.runtime.engine.client import EngineProblem
from windtunnel_emulators.runtime.engine.frames import Frames
from windtunnel_emulators.runtime.engine.upgraded import Upgraded
from windtunnel_emulators.runtime.interface import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.engine.client import DockerApi, Engine

_log = logging.getLogger(__name__)
_MOST = 65536
_POLL_S = 0.02
_NOT_STARTED = (126, 127)


class EngineSession:
    """Implements ``interface.ExecSession``."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        exec_id: str,
        upgraded: Upgraded,
        *,
        terminal: bool,
        separate: bool = False,
    ) -> None:
        self._engine = engine
        self._container = container
        self._id = exec_id
        self._terminal = terminal
        self._errors: asyncio.Queue[bytes | None] | None = asyncio.Queue() if separate and not terminal else None
        self._upgraded = upgraded
        self._socket = upgraded.socket
        self._socket.setblocking(False)
        self._early = upgraded.early()
        self._code: int | None = None
        self._closed = False

    async def send(self, data: bytes) -> None:
        if self._closed or self._code is not None:
            raise BrokenPipeError(errno.EPIPE, "the command has ended")
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError as problem:
            raise BrokenPipeError(errno.EPIPE, "the command does not read any more") from problem

    async def resize(self, rows: int, columns: int) -> None:
        if self._terminal and not self._closed:
            # One that has just ended has no size any more.
            with contextlib.suppress(EngineProblem):
                await self._engine.call(lambda api: api.exec_resize(self._id, height=rows, width=columns))

    async def close_input(self) -> None:
        if not self._terminal and not self._closed:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    async def output(self) -> AsyncIterator[bytes]:
        """Has to be read for ``errors`` to come."""
        frames = None if self._terminal else Frames()
        try:
            while not self._closed:
                data = await self._receive()
                if not data:
                    return
                if frames is None:
                    yield data
                    continue
                for stream, content in frames.feed(data):
                    if stream == "stderr" and self._errors is not None:
                        self._errors.put_nowait(content)
                    else:
                        yield content
        finally:
            if self._errors is not None:
                self._errors.put_nowait(None)

    async def errors(self) -> AsyncIterator[bytes]:
        while self._errors is not None and (data := await self._errors.get()) is not None:
            yield data

    async def wait(self) -> int:
        while self._code is None:
            found = await self._engine.call(lambda api: api.exec_inspect(self._id))
            code = found.get("ExitCode")
            if found.get("Running") is False and isinstance(code, int):
                self._code = code
                break
            # The engine tells nobody when a command ends.
            await asyncio.sleep(_POLL_S)
        return self._code

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._upgraded.close()
        try:
            await self._kill()
            await self.wait()
        except EngineProblem as problem:
            # The container is gone, and the command with it.
            self._code = 128 + signal.SIGKILL
            if problem.status not in (404, 409):
                raise

    async def check_start(self) -> None:
        """Raises ``StartError`` when the command was not found or may not be executed."""
        while True:
            found = await self._engine.call(lambda api: api.exec_inspect(self._id))
            if found.get("Pid") or found.get("Running") is False:
                break
            await asyncio.sleep(_POLL_S)
        code = found.get("ExitCode")
        if not found.get("Pid") and isinstance(code, int) and code in _NOT_STARTED:
            said = b"".join([piece async for piece in self.output()]).decode("utf-8", "replace").strip()
            self._code = code
            self._closed = True
            self._upgraded.close()
            raise StartError(said or f"the command cannot be started ({code})")

    async def _receive(self) -> bytes:
        early, self._early = self._early, b""
        if early:
            return early
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, _MOST)
        except OSError:
            return b""

    async def _kill(self) -> None:
        """The engine cannot end a command: its process has to be found."""
        found = await self._engine.call(lambda api: api.exec_inspect(self._id))
        pid = found.get("Pid")
        if found.get("Running") is not True or not isinstance(pid, int) or pid <= 1:
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            inner = _inner_pid(pid)
            if inner is None:
                _log.warning("a command in container %s goes on: nothing here may end it", self._container)
                return
            await self._engine.call(lambda api: _execute(api, self._container, ["kill", "-9", str(inner)]))


async def open_session(
    engine: Engine,
    container: str,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    terminal: tuple[int, int] | None,
    *,
    separate: bool = False,
) -> EngineSession:
    """Raises ``StartError``."""

    def work(api: DockerApi) -> tuple[str, Upgraded]:
        made = api.exec_create(
            container, list(command), stdin=True, tty=terminal is not None, environment=dict(environment) or None
        )
        exec_id = as_str(made.get("Id"))
        return exec_id, Upgraded(api.exec_start(exec_id, tty=terminal is not None, socket=True))

    try:
        exec_id, upgraded = await engine.call(work)
        session = EngineSession(engine, container, exec_id, upgraded, terminal=terminal is not None, separate=separate)
        try:
            await session.check_start()
        except BaseException:
            upgraded.close()
            raise
    except EngineProblem as problem:
        raise StartError(str(problem)) from problem
    if terminal is not None:
        await session.resize(*terminal)
    return session


def _inner_pid(pid: int) -> int | None:
    """The number of a process of this machine in its own process namespace."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), list[str]())
    except OSError:
        return None
    return int(numbers[-1]) if len(numbers) > 1 else None


def _execute(api: DockerApi, container: str, command: list[str]) -> JsonObject:
    made = api.exec_create(container, command, stdin=False, tty=False, environment=None)
    exec_id = as_str(made.get("Id"))
    upgraded = Upgraded(api.exec_start(exec_id, tty=False, socket=True))
    try:
        while upgraded.socket.recv(_MOST):
            pass
    finally:
        upgraded.close()
    return api.exec_inspect(exec_id)
