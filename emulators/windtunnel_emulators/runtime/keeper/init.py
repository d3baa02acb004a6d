"""The first process of a container or of a command executed in one: it forks the command, reaps, and ends as it ended.

Whatever descends from it ends with it: in a process namespace the kernel sees to that, elsewhere this process adopts
every orphan and kills what is left.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import kernel, processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

KILL_ALL = signal.SIGUSR2 if not hasattr(signal, "SIGRTMIN") else signal.SIGRTMIN + 3
"""Sent to an init to have all its processes killed."""
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
CANNOT_START = 127


class Command:
    """What to execute: arguments, environment, folder, and the three standard files."""

    def __init__(
        self, argv: list[str], environment: dict[str, str], folder: str, files: tuple[int, int, int], *, terminal: bool
    ) -> None:
        self.argv = argv
        self.environment = environment
        self.folder = folder
        self.files = files
        self.terminal = terminal


def run(command: Command, report: int, *, prepare: Callable[[], None], contained: bool) -> None:
    """In a fork of the keeper; never returns. ``report`` is a pipe: a sentence when the command cannot be started,
    nothing (and closed) when it runs. ``contained`` says that a process namespace ends all descendants."""
    code = CANNOT_START
    try:
        kernel.die_with_parent(signal.SIGKILL if contained else KILL_ALL)
        kernel.adopt_orphans()
        prepare()
        code = _supervise(command, report, contained=contained)
    except OSError as problem:
        _say(report, problem.strerror or str(problem))
    finally:
        os._exit(code)


def _supervise(command: Command, report: int, *, contained: bool) -> int:
    # Signals wait until the child is known and the handlers stand.
    ours = {*_FORWARDED, KILL_ALL}
    signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    child = os.fork()
    if child == 0:
        try:
            _execute(command, ours)
        except OSError as problem:
            _say(report, _why(command, problem))
        finally:
            os._exit(CANNOT_START)
    os.close(report)
    for file in {*command.files}:
        os.close(file)

    def forward(number: int, frame: FrameType | None) -> None:
        processes.kill(child, number)

    def kill_all(number: int, frame: FrameType | None) -> None:
        if not contained:
            _kill_rest(child)
        os._exit(128 + signal.SIGKILL)

    for number in _FORWARDED:
        signal.signal(number, forward)
    signal.signal(KILL_ALL, kill_all)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    if not contained:
        _kill_rest(child)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _kill_rest(child: int) -> None:
    if kernel.linux:
        processes.kill_below(os.getpid())
    else:
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _execute(command: Command, blocked: set[signal.Signals | int]) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    os.setsid()
    for number in (*_FORWARDED, KILL_ALL, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    if command.terminal:
        import fcntl
        import termios

        fcntl.ioctl(command.files[0], termios.TIOCSCTTY, 0)
    safe = [os.dup(file) if file < 3 else file for file in command.files]
    for target, file in enumerate(safe):
        os.dup2(file, target)
    os.chdir(command.folder)
    os.execvpe(command.argv[0], command.argv, command.environment)  # noqa: S606  # what a container is


def _why(command: Command, problem: OSError) -> str:
    name = command.argv[0]
    if problem.errno == errno.ENOENT and problem.filename == command.folder:
        return f"the working directory {command.folder!r} does not exist in the image"
    if problem.errno == errno.ENOENT and "/" not in name:
        return f"exec: {name!r}: executable file not found in $PATH ({command.environment.get('PATH', '')})"
    if problem.errno == errno.ENOENT:
        return f"exec: {name!r}: no such file or directory (nor its interpreter)"
    return f"exec: {name!r}: {problem.strerror}"


def _say(report: int, sentence: str) -> None:
    os.write(report, sentence.encode("utf-8", "replace")[:4000])
