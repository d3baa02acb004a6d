"""``WORKER_COUNT`` above one: so many processes that share the listening sockets, each with its own ``init()``.

The supervisor binds, starts the workers and waits. A worker that ends by itself ends the container, with its exit
code, as a crash should; SIGTERM goes to all of them. A worker whose supervisor is gone, however that came, stops: it
watches a pipe that only the supervisor holds open.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_scoring.serving import bind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_scoring.settings import ServerSettings

logger = logging.getLogger("windtunnel")

_VARIABLE = "WINDTUNNEL_WORKER"
"""Set by the supervisor for its workers alone: ``<its pid>:<pipe>:<socket>[,<socket>]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """This process, as one of several."""

    supervisor: int
    pipe: int
    descriptors: tuple[int, ...]

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Worker | None:
        """None in a process that is no worker."""
        value = variables.get(_VARIABLE)
        if value is None:
            return None
        supervisor, pipe, descriptors = value.split(":")
        return cls(supervisor=int(supervisor), pipe=int(pipe), descriptors=tuple(map(int, descriptors.split(","))))

    def sockets(self) -> list[socket.socket]:
        """The shared sockets; from here on this process stops when its supervisor is gone."""
        threading.Thread(target=self._watch, name="supervisor-watch", daemon=True).start()
        return [socket.socket(fileno=descriptor) for descriptor in self.descriptors]

    def _watch(self) -> None:
        # Nothing is ever written: reading ends when the last process that holds the other end has ended.
        os.read(self.pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def supervise(settings: ServerSettings, variables: Mapping[str, str]) -> int:
    """Run the workers until told to stop; gives the exit code. Raises ``StartError`` when it cannot bind."""
    ports = [settings.port] + ([settings.health_port] if settings.health_port is not None else [])
    sockets = [bind(settings.address, port) for port in ports]
    stopping = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopping.set()
        for worker in workers:
            worker.terminate()

    workers: list[subprocess.Popen[bytes]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    reading, writing = os.pipe()
    os.set_inheritable(writing, False)
    for _ in range(settings.worker_count):
        if not stopping.is_set():
            workers.append(_start(sockets, reading, variables))
    os.close(reading)
    logger.info("supervising %d workers", len(workers))
    code = _wait(workers, stopping)
    for bound in sockets:
        bound.close()
    os.close(writing)
    return code


def _start(sockets: Sequence[socket.socket], pipe: int, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    descriptors = [bound.fileno() for bound in sockets]
    value = f"{os.getpid()}:{pipe}:{','.join(map(str, descriptors))}"
    return subprocess.Popen(
        [sys.executable, "-m", "windtunnel_scoring"],
        env={**variables, _VARIABLE: value},
        pass_fds=(*descriptors, pipe),
    )


def _wait(workers: Sequence[subprocess.Popen[bytes]], stopping: threading.Event) -> int:
    """Until all have ended; the first that ends by itself takes the others with it."""
    by_pid = {worker.pid: worker for worker in workers}
    code = 0
    while by_pid:
        pid, status = os.wait()
        worker = by_pid.pop(pid, None)
        if worker is None:
            continue
        ended = os.waitstatus_to_exitcode(status)
        worker.returncode = ended
        if not stopping.is_set():
            stopping.set()
            code = ended if ended > 0 else 128 - ended if ended < 0 else 1
            logger.error("worker %d ended with exit code %d; the others are stopped", pid, ended)
            for other in by_pid.values():
                other.terminate()
    return code
