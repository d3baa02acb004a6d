"""The first process of a container or of a command executed in one: it forks the command, reaps, and ends as it ended.

Whatever descends from it ends with it: in a process namespace the kernel sees to that, elsewhere this process adopts
every orphan and kills what is left. Once it is in a root of its own, no module can be imported any more: all that is
needed is imported here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import termios
import warnings
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import kernel, processes, root

if TYPE_CHECKING:
    from types import FrameType

    from windtunnel_emulators.runtime.keeper.job import Job

KILL_ALL = signal.SIGRTMIN + 3 if hasattr(signal, "SIGRTMIN") else signal.SIGUSR2
"""Sent to an init to have all its processes killed."""
CANNOT_START = 127
# ``os.execvpe`` imports it when it is called.
_IMPORTED_BEFOREHAND = (warnings,)
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def run(job: Job, report: int) -> None:
    """In a fork of the keeper; never returns. ``report`` is a pipe: a sentence when the command cannot be started,
    nothing (and closed) when it runs."""
    code = CANNOT_START
    try:
        kernel.die_with_parent(KILL_ALL if job.sweeps else signal.SIGKILL)
        kernel.adopt_orphans()
        code = _supervise(job, report)
    except OSError as problem:
        _say(report, problem.strerror or str(problem))
    except Exception as problem:
        _say(report, f"the keeper failed: {problem!r}")
    finally:
        os._exit(code)


def _supervise(job: Job, report: int) -> int:
    # Signals wait until the child is known and the handlers stand.
    ours = {*_FORWARDED, KILL_ALL}
    signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    job.prepare()
    child = os.fork()
    if child == 0:
        try:
            _execute(job, ours)
        except OSError as problem:
            _say(report, _why(job, problem))
        except Exception as problem:
            _say(report, f"the keeper failed: {problem!r}")
        finally:
            os._exit(CANNOT_START)
    os.close(report)
    job.close_files()

    def forward(number: int, frame: FrameType | None) -> None:
        processes.kill(child, number)

    def kill_all(number: int, frame: FrameType | None) -> None:
        _kill_rest(job, child)
        os._exit(128 + signal.SIGKILL)

    for number in _FORWARDED:
        signal.signal(number, forward)
    signal.signal(KILL_ALL, kill_all)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            break
    if job.sweeps:
        _kill_rest(job, child)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _kill_rest(job: Job, child: int) -> None:
    if job.sweeps and kernel.linux:
        processes.kill_below(os.getpid())
        return
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _execute(job: Job, blocked: set[signal.Signals | int]) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    for group in job.groups:
        # 0 is the process that writes.
        os.write(group, b"0")
    os.setsid()
    for number in (*_FORWARDED, KILL_ALL, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    if job.terminal is not None:
        fcntl.ioctl(job.files[0], termios.TIOCSCTTY, 0)
    # Copies first, as a file may have the number that another is to get. Python's dup2 makes them inheritable.
    for target, file in enumerate([os.dup(file) for file in job.files]):
        os.dup2(file, target)
    os.chdir(job.folder)
    if job.contained:
        root.give_up_capabilities()
    kernel.gain_nothing()
    os.execvpe(job.argv[0], job.argv, job.environment)  # noqa: S606  # what a container is


def _why(job: Job, problem: OSError) -> str:
    name = job.argv[0]
    if problem.filename == job.folder:
        return f"the working directory {job.folder!r} cannot be entered: {problem.strerror}"
    if problem.errno == errno.ENOENT and "/" not in name:
        return f"exec: {name!r}: executable file not found in $PATH ({job.environment.get('PATH', '')})"
    if problem.errno == errno.ENOENT:
        return f"exec: {name!r}: no such file or directory (it, or the interpreter it names)"
    return f"exec: {name!r}: {problem.strerror}"


def _say(report: int, sentence: str) -> None:
    os.write(report, sentence.encode("utf-8", "replace")[:4000])
