"""A container of the process runtime: its output, its end, and the commands executed in it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.interface import Exit, StartError, Usage
from windtunnel_emulators.runtime.logs import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.runtime.connection import KeeperConnection, Started
    from windtunnel_emulators.runtime.interface import ContainerSpec, ExecSession
    from windtunnel_emulators.runtime.logs import Stream


class ProcessContainer:
    """Implements ``interface.Container``; made by ``launch``."""

    def __init__(self, spec: ContainerSpec, keeper: KeeperConnection, clock: Clock, log: LogWriter) -> None:
        self._spec = spec
        self._keeper = keeper
        self._clock = clock
        self._log = log
        self._started = clock.now()
        self._end: asyncio.Task[Exit] | None = None
        self._outputs: set[int] = set()
        self._drained = asyncio.Event()

    @classmethod
    async def launch(cls, spec: ContainerSpec, keeper: KeeperConnection, clock: Clock) -> ProcessContainer:
        """Raises ``StartError``."""
        argv = command_line(spec)
        spec.directory.mkdir(parents=True, exist_ok=True)
        container = cls(spec, keeper, clock, LogWriter(spec.log, clock.now))
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        files = [null, container._capture("stdout"), container._capture("stderr")]
        try:
            started = await keeper.launch(
                {
                    "do": "start",
                    "id": spec.id,
                    "argv": list(argv),
                    "environment": dict(environment(spec)),
                    "folder": spec.working_directory or spec.image.working_directory or "/",
                },
                files,
            )
        except BaseException:
            container._release()
            raise
        finally:
            for file in files:
                os.close(file)
        container._end = asyncio.create_task(container._until_end(started), name=f"end of {spec.id}")
        return container

    @property
    def spec(self) -> ContainerSpec:
        return self._spec

    @property
    def started(self) -> datetime:
        return self._started

    @property
    def running(self) -> bool:
        return self._end is not None and not self._end.done()

    async def wait(self) -> Exit:
        assert self._end is not None
        return await asyncio.shield(self._end)

    async def stop(self, grace_s: float) -> Exit:
        assert self._end is not None
        if not self._end.done():
            if grace_s > 0:
                self._keeper.signal(self._spec.id, signal.SIGTERM)
                limit = asyncio.ensure_future(self._clock.sleep(grace_s))
                await asyncio.wait({self._end, limit}, return_when=asyncio.FIRST_COMPLETED)
                limit.cancel()
            self._keeper.kill(self._spec.id)
        return await asyncio.shield(self._end)

    async def execute(self, command: tuple[str, ...], *, terminal: tuple[int, int] | None = None) -> ExecSession:
        raise StartError("exec is not there yet")

    def usage(self) -> Usage:
        return Usage(cpu_seconds=0.0, memory_bytes=0)

    def on_end(self, callback: Callable[[], object]) -> None:
        """Called once when it has ended."""
        assert self._end is not None
        self._end.add_done_callback(lambda task: callback())

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
        except BlockingIOError:
            return
        if data:
            self._log.feed(stream, data)
        else:
            self._close_output(file)

    def _close_output(self, file: int) -> None:
        asyncio.get_running_loop().remove_reader(file)
        os.close(file)
        self._outputs.discard(file)
        if not self._outputs:
            self._drained.set()

    async def _until_end(self, started: Started) -> Exit:
        code = await started.code
        finished = self._clock.now()
        # All its processes are dead, so the pipes end as soon as they have been read.
        await self._drained.wait()
        self._release()
        return Exit(code=code, reason="Completed" if code == 0 else "Error", started=self._started, finished=finished)

    def _release(self) -> None:
        for file in list(self._outputs):
            self._close_output(file)
        self._log.close()


def command_line(spec: ContainerSpec) -> tuple[str, ...]:
    """What is executed. Raises ``StartError`` when neither the image nor the spec says."""
    image = spec.image
    argv = spec.command or (*image.entrypoint, *(spec.arguments or image.command))
    if spec.command:
        argv = (*spec.command, *spec.arguments)
    if not argv:
        raise StartError(f"image {image.reference!r} has neither an entry point nor a command, and none was given")
    return argv


def environment(spec: ContainerSpec) -> dict[str, str]:
    """The whole environment: nothing of the emulators' own is in it."""
    base = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    return {**base, **spec.image.environment, **spec.environment, "WINDTUNNEL_ADDRESS": spec.address}
