"""Child processes of builds: their output goes to a log, they have a time limit, and they end with the emulators."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LAST_LINES = 8
_LONGEST_LINE = 1 << 16

# Asks Linux (prctl 1, PR_SET_PDEATHSIG) to kill the child when its parent is gone, lowers its priority, becomes it.
_GUARD = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
os.getppid() == int(sys.argv[1]) or os._exit(137)
os.nice(int(sys.argv[2]))
os.execve(sys.argv[3], sys.argv[3:], os.environ)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a child ended."""

    code: int | None
    """Below zero for a signal; None when it was ended at its time limit."""
    last_lines: tuple[str, ...]


async def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Callable[[str], None],
    *,
    limit_s: float,
    niceness: int = 0,
) -> Outcome:
    """Run a program whose first argument is its path; each line that it prints is logged.

    It and its own children are killed at the limit and when the caller is cancelled.
    """
    child = await asyncio.create_subprocess_exec(
        *_guarded(arguments, niceness),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    last: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        async with asyncio.timeout(limit_s):
            await _read(child.stdout, log, last)
            code: int | None = await child.wait()
    except TimeoutError:
        code = None
    finally:
        await _end(child)
    return Outcome(code=code, last_lines=tuple(last))


def _guarded(arguments: Sequence[str], niceness: int) -> list[str]:
    if sys.platform != "linux":
        return list(arguments)
    return [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), str(niceness), *arguments]


async def _read(stream: asyncio.StreamReader | None, log: Callable[[str], None], last: deque[str]) -> None:
    assert stream is not None
    while True:
        try:
            line = await stream.readline()
        except ValueError:
            continue  # longer than the limit; what was buffered of it is dropped
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip()
        log(text)
        if text:
            last.append(text)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Kill what has not ended by itself, with all that it started."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
