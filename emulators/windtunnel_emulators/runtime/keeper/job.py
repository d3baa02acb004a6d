"""One order to execute something: in a new container, or as a further command of a running one."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import kernel, protocol, root

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.keeper.protocol import Message

_NAMESPACES = (
    ("mnt", kernel.CLONE_NEWNS),
    ("uts", kernel.CLONE_NEWUTS),
    ("ipc", kernel.CLONE_NEWIPC),
    ("pid", kernel.CLONE_NEWPID),
)


class Job:
    """What to execute and where. ``files`` are standard input, output and error; for a terminal, first the socket
    that its other end is sent over."""

    def __init__(self, message: Message, files: list[int], inside: int | None, *, user_namespace: bool) -> None:
        self.argv = protocol.texts(message.get("argv"))
        self.environment = protocol.pairs(message.get("environment"))
        self.folder = protocol.text(message.get("folder"))
        self.files = files
        self.groups: list[int] = []
        """The control groups to join, as open files."""
        size = message.get("terminal")
        self.terminal = [n for n in size if isinstance(n, int)] if isinstance(size, list) else None
        plan = message.get("root")
        self._root = plan if isinstance(plan, dict) else None
        self.group_files = protocol.texts(message.get("groups"))
        self._user_namespace = user_namespace
        self._inside = inside
        """The init of the container whose namespaces to go to."""

    @property
    def contained(self) -> bool:
        """It runs in namespaces of its container."""
        return self._root is not None or self._inside is not None

    @property
    def begins_namespace(self) -> bool:
        """Its init is the first process of a new process namespace."""
        return self._root is not None

    @property
    def sweeps(self) -> bool:
        """Nothing but its init sees to it that all its processes end."""
        return not self.contained

    def prepare(self) -> None:
        """In the init, before the command is forked: go where it is to run. Raises ``OSError``."""
        self.groups = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in self.group_files]
        if self._root is not None:
            root.enter_new_root(self._root, user_namespace=self._user_namespace)
        elif self._inside is not None:
            self._join(self._inside)
        if self.terminal is not None:
            self._open_terminal(self.terminal)

    def close_files(self) -> None:
        """In the init, once the command has them."""
        for file in {*self.files, *self.groups}:
            os.close(file)
        self.files, self.groups = [], []

    def _join(self, pid: int) -> None:
        spaces = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in _NAMESPACES]
        for space, kind in spaces:
            kernel.enter(space, kind)
            os.close(space)

    def _open_terminal(self, size: list[int]) -> None:
        """A terminal of the container's own; its master goes to the emulators."""
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        with socket.socket(fileno=self.files[0]) as channel:
            socket.send_fds(channel, [b"t"], [master])
        os.close(master)
        self.files = [slave, slave, slave]
