"""The process of one edge device, as the emulators keep it: started, adopted after a restart, started again.

It runs in a session of its own and does not end with the emulators. The lock of its folder says whether it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.device import LOG, READY, DeviceFile, Ready, holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject

MODULE = "windtunnel_emulators.edge"
_POLL_S = 0.25
_READY_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_STABLE_S = 30.0
_REMOVE_S = 10.0
"""For an orderly end before a device's folder is removed."""
_log = logging.getLogger(__name__)


class CannotStart(Exception):
    """A device's process that cannot be started; the message is a sentence."""


@dataclass(slots=True, kw_only=True)
class State:
    """What is known of a process."""

    word: str = "starting"
    """``starting``, ``running``, ``failed`` or ``stopped``."""
    pid: int | None = None
    problem: str | None = None


class EdgeProcess:
    """Kept running until ``stop``."""

    def __init__(self, device: str, hub: str, folder: Path, clock: Clock, settings: Callable[[], DeviceFile]) -> None:
        """``settings`` makes what the device is told, anew for each start. It raises ``CannotStart``."""
        self.device = device
        self.hub = hub
        self.folder = folder
        self.state = State()
        self.address: str | None = None
        self._clock = clock
        self._settings = settings
        self._child: int | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begin to keep it."""
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"edge device {self.device}")

    def changed(self) -> None:
        """What the device is told may be another: if it is, the process is started anew."""
        self._changed.set()

    async def stop(self, limit_s: float) -> bool:
        """Keep it no more, and end it in order; False when it had not ended in time, and goes on ending."""
        await self.let_go()
        pid = holder(self.folder)
        if pid:
            _signal(pid, signal.SIGTERM)
        ended = await self._until_ended(limit_s)
        self.state = State(word="stopped" if ended else "stopping", pid=None if ended else pid)
        return ended

    async def remove(self) -> None:
        """End it, by force if it takes too long; its folder may be removed then."""
        if not await self.stop(_REMOVE_S):
            pid = holder(self.folder)
            if pid:
                _log.error("edge device %s did not end within %.0f s and is killed", self.device, _REMOVE_S)
                _signal(pid, signal.SIGKILL)
                await self._until_ended(_REMOVE_S)

    async def let_go(self) -> None:
        """Keep it no more; the process goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def shown(self) -> JsonObject:
        """For people."""
        ready = Ready.read(self.folder) if self.state.word == "running" else None
        return {
            "device": self.device,
            "hub": self.hub,
            "folder": str(self.folder),
            "pid": self.state.pid,
            "address": self.address,
            "state": self.state.word,
            "problem": self.state.problem,
            "control": None if ready is None else ready.control,
        }

    async def _keep(self) -> None:
        wait = _FIRST_WAIT_S
        while True:
            began = self._clock.monotonic()
            self._changed.clear()
            try:
                settings = self._settings()
                self.address = settings.address
                new = settings.write(self.folder)
                pid = holder(self.folder)
                if pid and new:
                    _log.info("edge device %s starts anew, with other settings", self.device)
                    _signal(pid, signal.SIGTERM)
                    await self._until_ended(_REMOVE_S)
                    continue
                if pid is None:
                    self._spawn()
                await self._until_ready()
            except CannotStart as problem:
                self._failed(str(problem))
            except OSError as problem:
                self._failed(f"its folder {self.folder} cannot be used: {problem.strerror or problem}")
            else:
                await self._until_ended_or_changed()
                if self._changed.is_set():
                    wait = _FIRST_WAIT_S
                    continue
                self._failed(self._last_words() or "its process has ended")
                if self._clock.monotonic() - began > _STABLE_S:
                    wait = _FIRST_WAIT_S
            with contextlib.suppress(TimeoutError):
                await _within(self._clock, wait, self._changed)
            wait = min(_LONGEST_WAIT_S, wait * 2)

    def _failed(self, why: str) -> None:
        self.state = State(word="failed", problem=why)
        _log.error("edge device %s of hub %s does not run: %s", self.device, self.hub, why)

    def _spawn(self) -> None:
        self.state = State()
        (self.folder / READY).unlink(missing_ok=True)
        arguments = [sys.executable, "-m", MODULE, "--device", str(self.folder)]
        output = str(self.folder / "output")
        self._child = os.posix_spawn(
            sys.executable,
            arguments,
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                # What is not logged: a sentence of why it cannot start, or a traceback. Begun anew at each start.
                (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )

    async def _until_ready(self) -> None:
        """Raises ``CannotStart``."""
        end = self._clock.monotonic() + _READY_S
        while self._clock.monotonic() < end:
            ready, pid = Ready.read(self.folder), holder(self.folder)
            if ready is not None and ready.pid == pid:
                self.state = State(word="running", pid=pid)
                _log.info("edge device %s of hub %s runs as process %d", self.device, self.hub, pid)
                return
            if self._reaped() and pid is None:
                raise CannotStart(self._last_words() or "its process ended before it was ready")
            await self._clock.sleep(_POLL_S / 5)
        raise CannotStart(f"its process is not ready after {_READY_S:.0f} s; its log is {self.folder / LOG}")

    async def _until_ended(self, limit_s: float) -> bool:
        end = self._clock.monotonic() + limit_s
        while holder(self.folder) is not None:
            self._reaped()
            if self._clock.monotonic() >= end:
                return False
            await self._clock.sleep(min(_POLL_S / 5, limit_s))
        self._reaped()
        return True

    async def _until_ended_or_changed(self) -> None:
        while holder(self.folder) is not None and not self._changed.is_set():
            with contextlib.suppress(TimeoutError):
                await _within(self._clock, _POLL_S, self._changed)
        self._reaped()

    def _reaped(self) -> bool:
        """Whether a child of ours has ended; there is none when the process was adopted."""
        if self._child is None:
            return True
        try:
            pid, _ = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            pid = self._child
        if pid:
            self._child = None
        return self._child is None

    def _last_words(self) -> str:
        """What it has said at its end, outside its log."""
        try:
            lines = (self.folder / "output").read_text("utf-8", "replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return lines[-1][:500].removeprefix("edge device: ") if lines else ""


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _environment() -> dict[str, str]:
    """The emulators' own, and the packages where they have found theirs."""
    paths = [path for path in sys.path if path and os.path.isabs(path) and not path.endswith(".zip")]
    mine = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    wanted = [path for path in paths if path in mine]
    return {**os.environ, **({"PYTHONPATH": os.pathsep.join(wanted)} if wanted else {})}


async def _within(clock: Clock, seconds: float, event: asyncio.Event) -> None:
    """Wait for an event; raises ``TimeoutError``."""
    from windtunnel_emulators.iot.hub.waiting import within

    await within(clock, seconds, asyncio.ensure_future(event.wait()))
