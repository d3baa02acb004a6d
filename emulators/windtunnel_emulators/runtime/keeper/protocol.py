"""What the emulators and the keeper say to each other: JSON in frames with a length, with open files beside them."""

from __future__ import annotations

import array
import json
import socket
import struct
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
Message: TypeAlias = "dict[str, Value]"

MOST_FILES = 8
_LENGTH = struct.Struct("!I")
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def send(channel: socket.socket, message: Message, files: Sequence[int] = ()) -> None:
    """Send one message; the files may be closed afterwards. The channel blocks."""
    body = json.dumps(message).encode()
    data = memoryview(_LENGTH.pack(len(body)) + body)
    if files:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        data = data[channel.sendmsg([data], rights) :]
    channel.sendall(data)


class Frames:
    """Cuts what comes from a channel into messages, each with the files that came with it."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._files: list[int] = []

    def receive(self, channel: socket.socket) -> bool:
        """Take what is there; False when the other side is gone. ``BlockingIOError`` passes through."""
        space = socket.CMSG_SPACE(MOST_FILES * array.array("i").itemsize)
        try:
            data, ancillary, _, _ = channel.recvmsg(65536, space, _CLOSE_ON_EXEC)
        except ConnectionError:
            return False
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                files = array.array("i")
                files.frombytes(content[: len(content) - len(content) % files.itemsize])
                self._files += files
        self._data += data
        return bool(data)

    def messages(self) -> Iterator[tuple[Message, list[int]]]:
        """The whole messages so far. Each says in ``files`` how many of the files are its own."""
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if len(self._data) < _LENGTH.size + length:
                return
            message: Message = json.loads(bytes(self._data[_LENGTH.size : _LENGTH.size + length]))
            del self._data[: _LENGTH.size + length]
            count = message.get("files")
            mine = count if isinstance(count, int) else 0
            files, self._files = self._files[:mine], self._files[mine:]
            yield message, files


def text(value: Value) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def texts(value: Value) -> list[str]:
    """The strings of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def pairs(value: Value) -> dict[str, str]:
    """The strings of an object."""
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}
