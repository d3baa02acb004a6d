"""A container of the process runtime: its output, its end, and the commands executed in it."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import signal
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime import filesystem
from windtunnel_emulators.runtime.attachments import ProcessAttachment
from windtunnel_emulators.runtime.folders import remove_tree
from windtunnel_emulators.runtime.interface import Exit, StartError, Usage
from windtunnel_emulators.runtime.keeper import processes
from windtunnel_emulators.runtime.logs import LogWriter
from windtunnel_emulators.runtime.sessions import launch_on_terminal, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.cgroups import ControlGroup
    from windtunnel_emulators.runtime.connection import KeeperConnection, Started
    from windtunnel_emulators.runtime.filesystem import Surroundings
    from windtunnel_emulators.runtime.interface import ContainerSpec, ExecSession
    from windtunnel_emulators.runtime.keeper.protocol import Message
    from windtunnel_emulators.runtime.logs import Stream

_log = logging.getLogger(__name__)
_LAST_OUTPUT_S = 2.0
_INPUT_AGAIN_S = 0.01
_FIRST_SIZE = (24, 80)


class ProcessContainer:
    """Implements ``interface.Container``; made by ``launch``."""

    def __init__(
        self,
        spec: ContainerSpec,
        around: Surroundings,
        *,
        keeper: KeeperConnection,
        clock: Clock,
        group: ControlGroup | None,
    ) -> None:
        self._spec = spec
        self._around = around
        self._keeper = keeper
        self._clock = clock
        self._group = group
        self._log = LogWriter(spec.log, clock.now)
        self._started = clock.now()
        self._outputs: set[int] = set()
        self._drained = asyncio.Event()
        self._sessions = itertools.count(1)
        self._child: Started | None = None
        self._end: asyncio.Task[Exit] | None = None
        self._over_limit = False
        self._input = -1
        self._terminal = -1
        self._attached: set[ProcessAttachment] = set()

    async def launch(self) -> None:
        """Raises ``StartError``; called once."""
        argv = self._around.arguments(command_line(self._spec), self._spec.image)
        message = filesystem.order(self._spec.id, argv, self._around)
        message["groups"] = [] if self._group is None else [*self._group.joins]
        if self._spec.terminal:
            await self._launch_on_terminal(message)
            return
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        given = null
        if self._spec.takes_input:
            given, self._input = os.pipe()
            os.set_blocking(self._input, False)
        files = [given, self._capture("stdout"), self._capture("stderr")]
        try:
            self._child = await self._keeper.launch(message, files)
        except BaseException:
            self._release()
            raise
        finally:
            for file in {null, *files}:
                os.close(file)
        self._started = self._clock.now()
        self._end = asyncio.create_task(self._until_end(self._child), name=f"end of {self._spec.id}")

    async def _launch_on_terminal(self, message: Message) -> None:
        try:
            self._child, master = await launch_on_terminal(self._keeper, message, _FIRST_SIZE)
        except BaseException:
            self._release()
            raise
        os.set_blocking(master, False)
        self._input = os.dup(master) if self._spec.takes_input else -1
        self._terminal = master
        self._outputs.add(master)
        asyncio.get_running_loop().add_reader(master, self._read, master, "stdout")
        self._started = self._clock.now()
        self._end = asyncio.create_task(self._until_end(self._child), name=f"end of {self._spec.id}")

    @property
    def spec(self) -> ContainerSpec:
        return self._spec

    @property
    def started(self) -> datetime:
        return self._started

    @property
    def running(self) -> bool:
        return self._end is not None and not self._end.done()

    @property
    def init(self) -> int:
        """Its first process, as this machine counts."""
        return 0 if self._child is None else self._child.pid.result()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ending)

    async def stop(self, grace_s: float) -> Exit:
        ending = self._ending
        if grace_s > 0 and not ending.done():
            self._keeper.signal(self._spec.id, signal.SIGTERM)
            limit = asyncio.ensure_future(self._clock.sleep(grace_s))
            try:
                await asyncio.wait({ending, limit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                limit.cancel()
        self._keeper.kill(self._spec.id)
        return await asyncio.shield(ending)

    def attach(self) -> ProcessAttachment:
        if not self.running:
            raise StartError(f"container {self._spec.id} does not run")
        attachment = ProcessAttachment(self._write_input, self._close_input, self._resize, self._attached.discard)
        self._attached.add(attachment)
        return attachment

    async def _write_input(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._input < 0 or not self.running:
                raise BrokenPipeError(errno.EPIPE, "the container has no input, or does not read any more")
            try:
                view = view[os.write(self._input, view) :]
            except BlockingIOError:
                await self._clock.sleep(_INPUT_AGAIN_S)
            except OSError as problem:
                raise BrokenPipeError(errno.EPIPE, "the container does not read any more") from problem

    def _close_input(self) -> None:
        if self._input >= 0 and not self._spec.terminal:
            os.close(self._input)
            self._input = -1

    def _resize(self, rows: int, columns: int) -> None:
        if self._terminal >= 0:
            import fcntl
            import struct
            import termios

            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def execute(
        self, command: tuple[str, ...], *, terminal: tuple[int, int] | None = None, separate: bool = False
    ) -> ExecSession:
        if not self.running:
            raise StartError(f"container {self._spec.id} does not run")
        if not command:
            raise StartError("the command to execute is empty")
        argv = self._around.arguments(command, self._spec.image)
        message = filesystem.order(f"{self._spec.id}/{next(self._sessions)}", argv, self._around)
        message |= {"do": "execute", "container": self._spec.id, "root": None}
        message["groups"] = [] if self._group is None else [*self._group.joins]
        if terminal is not None:
            message["environment"] = {"TERM": "xterm", **self._around.environment}
        return await open_session(self._keeper, message, terminal, separate=separate)

    def usage(self) -> Usage:
        group = self._group
        cpu = None if group is None else group.cpu_seconds()
        memory = None if group is None else group.memory_bytes()
        if cpu is None or memory is None:
            pids = processes.Tree().below(self.init) if self.running else []
            cpu = sum(processes.cpu_seconds(pid) for pid in pids) if cpu is None else cpu
            memory = sum(processes.own_memory(pid) for pid in pids) if memory is None else memory
        return Usage(cpu_seconds=cpu, memory_bytes=memory)

    def exceeded_memory(self) -> None:
        """It uses more than it may, as nothing but this runtime has noticed: it ends."""
        self._over_limit = True
        self._keeper.kill(self._spec.id)

    def note(self, text: str) -> None:
        """A line in its log that is the runtime's own."""
        self._log.note(text)

    def on_end(self, callback: Callable[[], object]) -> None:
        """Called once when it has ended."""
        self._ending.add_done_callback(lambda task: callback())

    @property
    def _ending(self) -> asyncio.Task[Exit]:
        assert self._end is not None
        return self._end

    def _capture(self, stream: Stream) -> int:
        """The writing end of a pipe whose content goes to the log."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        self._outputs.add(read)
        asyncio.get_running_loop().add_reader(read, self._read, read, stream)
        return write

    def _read(self, file: int, stream: Stream) -> None:
        try:
            data = os.read(file, 65536)
            if data:
                for attachment in self._attached:
                    attachment.feed(stream, data)
                self._log.feed(stream, data)
                return
        except BlockingIOError:
            return
        except OSError as problem:
            if file == self._terminal and problem.errno == errno.EIO:
                # Nobody has the terminal open any more.
                self._close_output(file)
                return
            # A full disk must not stop the container: from here on its output is lost, which is said.
            _log.exception("the output of %s cannot be kept any more", self._spec.id)
        self._close_output(file)

    def _close_output(self, file: int) -> None:
        if file == self._terminal:
            self._terminal = -1
        asyncio.get_running_loop().remove_reader(file)
        os.close(file)
        self._outputs.discard(file)
        if not self._outputs:
            self._drained.set()

    async def _until_end(self, child: Started) -> Exit:
        code = await child.code
        finished = self._clock.now()
        # All its processes are dead, so the pipes end as soon as they have been read.
        try:
            await asyncio.wait_for(self._drained.wait(), _LAST_OUTPUT_S)
        except TimeoutError:
            _log.warning("a process that container %s left behind still holds its output", self._spec.id)
        self._release()
        for attachment in self._attached:
            attachment.end()
        self._over_limit |= self._group is not None and self._group.ran_out_of_memory()
        if self._group is not None:
            self._group.remove()
        # Logs stay; what the container wrote elsewhere ends with it.
        await asyncio.to_thread(remove_tree, self._spec.directory)
        reason = "Completed" if code == 0 else "OOMKilled" if self._over_limit and code == 137 else "Error"
        return Exit(code=code, reason=reason, started=self._started, finished=finished)

    def _release(self) -> None:
        for file in list(self._outputs):
            self._close_output(file)
        if self._input >= 0:
            os.close(self._input)
            self._input = -1
        self._log.close()


def command_line(spec: ContainerSpec) -> tuple[str, ...]:
    """What is executed. Raises ``StartError`` when neither the image nor the spec says."""
    image = spec.image
    argv = (*spec.command, *spec.arguments) if spec.command else (*image.entrypoint, *(spec.arguments or image.command))
    if not argv:
        raise StartError(f"image {image.reference!r} has neither an entry point nor a command, and none was given")
    return argv
