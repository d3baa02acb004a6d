"""A container of a Docker engine: started with its output attached, watched by a thread of its own until it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from typing import TYPE_CHECKING, TypeVar

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.runtime.engine import pods
from windtunnel_emulators.runtime.engine.client import EngineProblem, checked
from windtunnel_emulators.runtime.engine.frames import Frames
from windtunnel_emulators.runtime.engine.session import open_session
from windtunnel_emulators.runtime.engine.upgraded import Upgraded
from windtunnel_emulators.runtime.interface import Exit, StartError, Usage
from windtunnel_emulators.runtime.logs import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.runtime.engine.client import DockerApi, Engine
    from windtunnel_emulators.runtime.interface import Attachment, ContainerSpec, ExecSession

T = TypeVar("T")

_log = logging.getLogger(__name__)
_LOST = 137
_MOST = 65536


class EngineContainer:
    """Implements ``interface.Container``; made by ``launch``."""

    def __init__(self, spec: ContainerSpec, container: str, *, engine: Engine, clock: Clock) -> None:
        self._spec = spec
        self._container = container
        self._engine = engine
        self._clock = clock
        self._started = clock.now()
        self._watched: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._end: asyncio.Task[Exit] | None = None
        self._stop_signal = "SIGTERM"

    @classmethod
    async def launch(
        cls, spec: ContainerSpec, settings: JsonObject, image: str, *, engine: Engine, clock: Clock
    ) -> EngineContainer:
        """Raises ``StartError``."""

        def create(api: DockerApi) -> str:
            return as_str(api.create_container(image, **settings).get("Id"))

        try:
            made = cls(spec, await engine.call(create), engine=engine, clock=clock)
        except EngineProblem as problem:
            raise StartError(f"container {spec.id} cannot be made: {problem}") from problem
        try:
            await made._start()
        except EngineProblem as problem:
            await pods.remove(engine, made._container)
            raise StartError(str(problem)) from problem
        return made

    @property
    def spec(self) -> ContainerSpec:
        return self._spec

    @property
    def started(self) -> datetime:
        return self._started

    @property
    def running(self) -> bool:
        return not self._ending.done()

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ending)

    async def stop(self, grace_s: float) -> Exit:
        ending = self._ending
        if grace_s > 0 and not ending.done():
            await self._signal(self._stop_signal)
            limit = asyncio.ensure_future(self._clock.sleep(grace_s))
            try:
                await asyncio.wait({ending, limit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                limit.cancel()
        if not ending.done():
            await self._signal("SIGKILL")
        return await asyncio.shield(ending)

    def attach(self) -> Attachment:
        raise StartError(
            "a container of a Docker engine cannot be attached to here; follow its logs, execute a command in it, or"
            " use 'docker attach'"
        )

    async def execute(
        self, command: tuple[str, ...], *, terminal: tuple[int, int] | None = None, separate: bool = False
    ) -> ExecSession:
        if not self.running:
            raise StartError(f"container {self._spec.id} does not run")
        if not command:
            raise StartError("the command to execute is empty")
        environment = {"TERM": "xterm"} if terminal is not None else {}
        return await open_session(self._engine, self._container, command, environment, terminal, separate=separate)

    def usage(self) -> Usage:
        """Asks the engine, which takes some milliseconds."""
        try:
            found = self._engine.call_here(lambda api: api.stats(self._container, stream=False, one_shot=True))
        except EngineProblem as problem:
            if problem.status != 404:
                raise
            return Usage(cpu_seconds=0.0, memory_bytes=0)
        cpu = as_object(as_object(found.get("cpu_stats")).get("cpu_usage")).get("total_usage")
        memory = as_object(found.get("memory_stats")).get("usage")
        return Usage(
            cpu_seconds=cpu / 1e9 if isinstance(cpu, int) else 0.0,
            memory_bytes=memory if isinstance(memory, int) else 0,
        )

    def on_end(self, callback: Callable[[], object]) -> None:
        """Called once when it has ended."""
        self._ending.add_done_callback(lambda task: callback())

    @property
    def _ending(self) -> asyncio.Task[Exit]:
        assert self._end is not None
        return self._end

    async def _start(self) -> None:
        """Attach first, so that no output is missed."""
        loop = asyncio.get_running_loop()
        attached: asyncio.Future[None] = loop.create_future()
        thread = threading.Thread(
            target=self._watch, args=(loop, attached), name=f"docker {self._spec.id}", daemon=True
        )
        thread.start()
        await attached
        try:
            await self._engine.call(lambda api: api.start(self._container))
        except EngineProblem:
            # The end of its attachment is of no interest.
            self._watched.cancel()
            raise
        self._started = self._clock.now()
        self._end = asyncio.create_task(self._until_end(), name=f"end of {self._spec.id}")
        found = await self._engine.call(lambda api: api.inspect_container(self._container))
        self._stop_signal = as_str(as_object(found.get("Config")).get("StopSignal")) or self._stop_signal

    def _watch(self, loop: asyncio.AbstractEventLoop, attached: asyncio.Future[None]) -> None:
        """In a thread: keep the output until it ends, and then how the container ended."""
        log = LogWriter(self._spec.log, self._clock.now)
        try:
            api = self._engine.connect()
            try:
                state = checked(lambda: self._follow(api, log, lambda: _settle(loop, attached, None)), self._engine.url)
            finally:
                api.close()
            _settle(loop, self._watched, state)
        except Exception as problem:  # Whatever it is, somebody waits for it.
            _fail(loop, attached, problem)
            _fail(loop, self._watched, problem)
        finally:
            log.close()

    def _follow(self, api: DockerApi, log: LogWriter, attached: Callable[[], None]) -> JsonObject:
        """Blocks until the container has ended; the engine's account of it."""
        upgraded = Upgraded(api.attach_socket(self._container, {"stdout": 1, "stderr": 1, "stream": 1}))
        attached()
        frames = Frames()
        try:
            while data := upgraded.socket.recv(_MOST):
                for stream, content in frames.feed(data):
                    log.feed(stream, content)
        finally:
            upgraded.close()
        api.wait(self._container)
        return as_object(api.inspect_container(self._container).get("State"))

    async def _until_end(self) -> Exit:
        state: JsonObject = {"ExitCode": _LOST}
        try:
            state = await self._watched
        except EngineProblem as problem:
            _log.error("container %s is lost: %s", self._spec.id, problem)
        finished = self._clock.now()
        code = state.get("ExitCode")
        code = code if isinstance(code, int) else _LOST
        try:
            await pods.remove(self._engine, self._container)
        except EngineProblem as problem:
            _log.warning("container %s cannot be removed: %s", self._spec.id, problem)
        killed = state.get("OOMKilled") is True and code == 128 + signal.SIGKILL
        reason = "Completed" if code == 0 else "OOMKilled" if killed else "Error"
        return Exit(code=code, reason=reason, started=self._started, finished=finished)

    async def _signal(self, name: str) -> None:
        try:
            await self._engine.call(lambda api: api.kill(self._container, name))
        except EngineProblem as problem:
            # 404 and 409: it has ended meanwhile.
            if problem.status not in (404, 409):
                raise


def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], value: T) -> None:
    """From a thread: the result, unless nobody wants it any more."""

    def settle() -> None:
        if not future.done():
            future.set_result(value)

    loop.call_soon_threadsafe(settle)


def _fail(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], problem: Exception) -> None:
    def fail() -> None:
        if not future.done():
            future.set_exception(problem)

    loop.call_soon_threadsafe(fail)
