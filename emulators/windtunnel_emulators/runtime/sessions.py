"""Commands executed in a running container of the process runtime: over pipes, or on a terminal."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.interface import StartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from windtunnel_emulators.runtime.connection import KeeperConnection, Started
    from windtunnel_emulators.runtime.keeper.protocol import Message

_MOST = 65536


class Session:
    """Implements ``interface.ExecSession``. ``source`` and ``sink`` are the same file for a terminal; ``errors`` is
    that of a stderr kept apart."""

    def __init__(self, keeper: KeeperConnection, child: Started, *, source: int, sink: int, errors: int = -1) -> None:
        self._keeper = keeper
        self._child = child
        self._source = source
        self._sink = sink
        self._errors = errors
        for file in {source, sink, errors} - {-1}:
            os.set_blocking(file, False)

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._sink < 0 or self._child.code.done():
                raise BrokenPipeError(errno.EPIPE, "the command has ended")
            try:
                view = view[os.write(self._sink, view) :]
            except BlockingIOError:
                await self._ready(self._sink, writing=True)
            except OSError as problem:
                # A terminal whose last user is gone says EIO.
                raise BrokenPipeError(errno.EPIPE, "the command does not read any more") from problem

    async def resize(self, rows: int, columns: int) -> None:
        if self._source >= 0 and self._source == self._sink:
            import fcntl
            import struct
            import termios

            fcntl.ioctl(self._source, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def close_input(self) -> None:
        if self._sink >= 0 and self._sink != self._source:
            os.close(self._sink)
            self._sink = -1

    async def output(self) -> AsyncIterator[bytes]:
        async for data in self._read(lambda: self._source):
            yield data

    async def errors(self) -> AsyncIterator[bytes]:
        async for data in self._read(lambda: self._errors):
            yield data

    async def _read(self, current: Callable[[], int]) -> AsyncIterator[bytes]:
        while (source := current()) >= 0:
            over = self._child.code.done()
            try:
                data = os.read(source, _MOST)
            except BlockingIOError:
                if over:
                    # What a process that it left behind may still write is not waited for.
                    return
                await self._ready(source, writing=False)
                continue
            except OSError as problem:
                if problem.errno != errno.EIO:
                    raise
                return
            if not data:
                return
            yield data

    async def wait(self) -> int:
        return await asyncio.shield(self._child.code)

    async def close(self) -> None:
        if not self._child.code.done():
            self._keeper.kill(self._child.name)
            await asyncio.shield(self._child.code)
        for file in {self._source, self._sink, self._errors} - {-1}:
            os.close(file)
        self._source = self._sink = self._errors = -1

    async def _ready(self, file: int, *, writing: bool) -> None:
        """Until the file can be read or written, or the command has ended."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake(_: object = None) -> None:
            if not woken.done():
                woken.set_result(None)

        watch, forget = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        watch(file, wake)
        self._child.code.add_done_callback(wake)
        try:
            await woken
        finally:
            self._child.code.remove_done_callback(wake)
            forget(file)


async def open_session(
    keeper: KeeperConnection, order: Message, terminal: tuple[int, int] | None, *, separate: bool = False
) -> Session:
    """Execute what the order says. Raises ``StartError``."""
    if terminal is not None:
        return await _on_terminal(keeper, order, terminal)
    return await _over_pipes(keeper, order, separate=separate)


async def _over_pipes(keeper: KeeperConnection, order: Message, *, separate: bool) -> Session:
    source, output = os.pipe()
    given, sink = os.pipe()
    errors, failing = os.pipe() if separate else (-1, -1)
    try:
        child = await keeper.launch(order, [given, output, failing if separate else output])
    except BaseException:
        for file in {source, sink, errors} - {-1}:
            os.close(file)
        raise
    finally:
        for file in {given, output, failing} - {-1}:
            os.close(file)
    return Session(keeper, child, source=source, sink=sink, errors=errors)


async def _on_terminal(keeper: KeeperConnection, order: Message, terminal: tuple[int, int]) -> Session:
    child, master = await launch_on_terminal(keeper, order, terminal)
    return Session(keeper, child, source=master, sink=master)


async def launch_on_terminal(
    keeper: KeeperConnection, order: Message, terminal: tuple[int, int]
) -> tuple[Started, int]:
    """Execute on a new terminal: the child, and the file of the terminal's other end. Raises ``StartError``."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            file = theirs.fileno()
            child = await keeper.launch({**order, "terminal": list(terminal)}, [file, file, file])
        # It was sent before the command ran.
        ours.setblocking(False)
        try:
            _, files, _, _ = socket.recv_fds(ours, 1, 1)
        except BlockingIOError:
            files = []
    if not files:
        keeper.kill(child.name)
        raise StartError("the container could not open a terminal")
    os.set_inheritable(files[0], False)
    return child, files[0]
