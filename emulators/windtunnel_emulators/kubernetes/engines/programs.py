"""Programs that run as long as a cluster does: started again when they crash, and ended with the emulators."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.clock import Clock

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0
_LONGEST_LOG = 16 * 1024 * 1024
_SHOWN = 400
_log = logging.getLogger(__name__)

# Asks Linux (prctl 1, PR_SET_PDEATHSIG) to kill the program when its parent is gone, then becomes it.
_GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.getppid() == int(sys.argv[1]) or os._exit(137)
os.execve(sys.argv[2], sys.argv[2:], os.environ)
"""

# Elsewhere: stays beside the program, and kills it when the parent is gone or it is itself asked to end.
_WATCHER = """
import os, signal, subprocess, sys, time
child = subprocess.Popen(sys.argv[2:])
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
while child.poll() is None:
    if os.getppid() != int(sys.argv[1]):
        child.kill()
    time.sleep(0.2)
sys.exit(child.returncode & 255)
"""


class Program:
    """One program. ``start`` returns at once; whether it answers is for its owner to find out."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        clock: Clock,
    ) -> None:
        """The first argument is the program's path; what it prints is appended to ``log``."""
        self.name = name
        self.restarts = 0
        self._arguments = list(arguments)
        self._log = log
        self._environment = dict(environment)
        self._clock = clock
        self._child: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed: OSError | None = None

    @property
    def pid(self) -> int | None:
        """Of the child that runs now."""
        return None if self._child is None or self._child.returncode is not None else self._child.pid

    def start(self) -> None:
        """Run it, again and again, until ``stop``."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"program {self.name}")

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after the grace. Safe to call twice."""
        task, self._task = self._task, None
        if task is None:
            return
        child = self._child
        if child is not None and child.returncode is None:
            _signal(child, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await child.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def last_words(self) -> str:
        """The end of its output, for messages."""
        if self._failed is not None:
            return str(self._failed)
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _SHOWN))
                return " / ".join(file.read().decode("utf-8", "replace").strip().splitlines()[-3:])
        except OSError:
            return ""

    async def _keep(self) -> None:
        wait = _FIRST_WAIT_S
        while True:
            began = self._clock.monotonic()
            code = await self._run()
            if self._task is None:
                return  # it was asked to end
            self.restarts += 1
            if self._clock.monotonic() - began > 60:
                wait = _FIRST_WAIT_S
            _log.warning(
                "%s ended with %s; it is started again in %.1f s: %s", self.name, code, wait, self.last_words()
            )
            await self._clock.sleep(wait)
            wait = min(_LONGEST_WAIT_S, wait * 2)

    async def _run(self) -> int | None:
        if self._log.exists() and self._log.stat().st_size > _LONGEST_LOG:
            self._log.replace(self._log.with_suffix(".old.log"))
        with self._log.open("ab") as output:
            try:
                child = await asyncio.create_subprocess_exec(
                    *_guarded(self._arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    start_new_session=True,
                )
            except OSError as problem:
                self._failed = problem
                return None
        self._child = child
        try:
            return await child.wait()
        finally:
            if child.returncode is None:
                _signal(child, signal.SIGKILL)
                await child.wait()


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)


def _guarded(arguments: Sequence[str]) -> list[str]:
    guard = _GUARD if sys.platform == "linux" else _WATCHER
    return [sys.executable, "-I", "-S", "-c", guard, str(os.getpid()), *arguments]
