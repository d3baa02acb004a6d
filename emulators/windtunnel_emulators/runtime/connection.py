"""The emulators' side of the keeper: starts it with the first container, sends orders, hands out what it reports."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.interface import StartError
from windtunnel_emulators.runtime.keeper import protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.runtime.keeper.protocol import Message

_log = logging.getLogger(__name__)
_PACKAGES = Path(__file__).parents[2]
_CODE = "import sys; sys.path.append(sys.argv[1]); from windtunnel_emulators.runtime.keeper.main import main; main()"
LOST = 137


class Started:
    """One child of the keeper."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.pid: asyncio.Future[int] = loop.create_future()
        """Of its init; ``StartError`` when it could not be started."""
        self.code: asyncio.Future[int] = loop.create_future()


class KeeperConnection:
    """One keeper process; made lazily, made again if it is lost."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = protocol.Frames()
        self._children: dict[str, Started] = {}

    @property
    def pid(self) -> int | None:
        """Of the keeper, when there is one."""
        return None if self._process is None else self._process.pid

    async def launch(self, message: Message, files: Sequence[int]) -> Started:
        """Start a container or a command in one; returns when it runs. Raises ``StartError``."""
        name = protocol.text(message["id"])
        child = Started(name)
        self._children[name] = child
        self._send(message, files)
        try:
            await child.pid
        except asyncio.CancelledError:
            self.kill(name)
            raise
        return child

    def signal(self, name: str, number: int) -> None:
        """Send a signal to the command of a child; nothing when it has ended."""
        if name in self._children:
            self._send({"do": "signal", "id": name, "signal": int(number)}, ())

    def kill(self, name: str) -> None:
        """Kill all processes of a child; nothing when it has ended."""
        if name in self._children:
            self._send({"do": "kill", "id": name}, ())

    async def close(self) -> None:
        """End the keeper and with it all it keeps."""
        process = self._lose()
        if process is not None:
            await asyncio.to_thread(process.wait)

    def _send(self, message: Message, files: Sequence[int]) -> None:
        channel = self._channel or self._open()
        try:
            protocol.send(channel, {**message, "files": len(files)}, files)
        except OSError as problem:
            process = self._lose()
            if process is not None:
                process.kill()
                process.wait()
            raise StartError(f"the keeper of the containers is gone ({problem}); try again") from problem

    def _open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE, str(_PACKAGES)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        ours.settimeout(10)
        self._frames = protocol.Frames()
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours, self._receive, ours)
        return ours

    def _receive(self, channel: socket.socket) -> None:
        if not self._frames.receive(channel):
            if channel is self._channel:
                process = self._lose()
                code = None if process is None else process.wait()
                _log.error("the keeper of the containers ended (%s); its containers ended with it", code)
            return
        for message, _ in self._frames.messages():
            self._take(message)

    def _take(self, message: Message) -> None:
        name = protocol.text(message.get("id"))
        child = self._children.get(name)
        if child is None:
            return
        number = message.get("pid", message.get("code", 0))
        value = number if isinstance(number, int) else LOST
        match message.get("event"):
            case "started":
                if not child.pid.done():  # who started it may have been cancelled meanwhile: it is being killed then
                    child.pid.set_result(value)
            case "failed":
                del self._children[name]
                if not child.pid.done():
                    child.pid.set_exception(StartError(protocol.text(message.get("message"))))
            case _:
                del self._children[name]
                if not child.code.done():
                    child.code.set_result(value)

    def _lose(self) -> subprocess.Popen[bytes] | None:
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            asyncio.get_running_loop().remove_reader(channel)
            channel.close()
        children, self._children = self._children, {}
        for child in children.values():
            if not child.pid.done():
                child.pid.set_exception(StartError("the keeper of the containers ended"))
            elif not child.code.done():
                child.code.set_result(LOST)
        return process
