"""The keeper's loop: takes orders, forks, and reports; ends, with everything it started, when its channel closes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import init, kernel, privileges, processes, protocol
from windtunnel_emulators.runtime.keeper.job import Job

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.keeper.protocol import Message

_NOT_STARTED = -1


class Child:
    """A container, or a command executed in one."""

    def __init__(self, name: str, container: str, pid: int, report: int, *, contained: bool) -> None:
        self.name = name
        self.container = container
        """The container it belongs to; its own name for a container."""
        self.pid = pid
        self.report = report
        """Where it says why it could not start; _NOT_STARTED once that is known."""
        self.contained = contained
        self.complaint = bytearray()

    @property
    def killer(self) -> int:
        """The signal to its init that ends all its processes."""
        first_of_namespace = self.contained and self.name == self.container
        return signal.SIGKILL if first_of_namespace else init.KILL_ALL


class Keeper:
    """All children of one emulators process."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._frames = protocol.Frames()
        self._children: dict[int, Child] = {}
        self._group_folders: set[str] = set()
        """Of control groups, which nobody else removes when the emulators have been killed."""
        self._user_namespace = privileges.become_able()

    def serve(self) -> None:
        """Until the channel closes."""
        kernel.adopt_orphans()
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            while self._turn(woken):
                pass
        finally:
            self._kill_all()

    def _turn(self, woken: int) -> bool:
        reports = {child.report: child for child in self._children.values() if child.report != _NOT_STARTED}
        channel = self._channel.fileno()
        ready, _, _ = select.select([channel, woken, *reports], [], [])
        for file in ready:
            if file == woken:
                os.read(woken, 4096)
            elif file in reports:
                self._read_report(reports[file])
        self._reap()
        if channel in ready:
            if not self._frames.receive(self._channel):
                return False
            for message, files in self._frames.messages():
                self._obey(message, files)
        return True

    def _obey(self, message: Message, files: list[int]) -> None:
        name = protocol.text(message.get("id"))
        match message.get("do"):
            case "start" | "execute":
                try:
                    self._fork(name, message, files)
                except OSError as problem:
                    self._tell({"event": "failed", "id": name, "message": str(problem)})
                finally:
                    for file in files:
                        os.close(file)
            case "signal":
                number = message.get("signal")
                for child in self._of(name):
                    if child.name == name and isinstance(number, int):
                        processes.kill(child.pid, number)
            case "kill":
                self._kill(name)
            case other:
                raise ValueError(f"no such order: {other!r}")

    def _fork(self, name: str, message: Message, files: list[int]) -> None:
        container = protocol.text(message.get("container")) or name
        home = next((child for child in self._children.values() if child.name == container), None)
        if container != name and home is None:
            raise OSError(f"container {container} does not run")
        inside = home.pid if home is not None and home.contained else None
        job = Job(message, files, inside, user_namespace=self._user_namespace)
        self._group_folders.update(os.path.dirname(file) for file in job.group_files)
        read, write = os.pipe()
        pid = kernel.fork_into(kernel.CLONE_NEWPID) if job.begins_namespace else os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self._channel.close()
            os.close(read)
            init.run(job, write)
        os.close(write)
        self._children[pid] = Child(name, container, pid, read, contained=job.contained)

    def _read_report(self, child: Child) -> None:
        data = os.read(child.report, 4096)
        if data:
            child.complaint += data
            return
        os.close(child.report)
        child.report = _NOT_STARTED
        if child.complaint:
            sentence = child.complaint.decode("utf-8", "replace")
            self._tell({"event": "failed", "id": child.name, "message": sentence})
        else:
            self._tell({"event": "started", "id": child.name, "pid": child.pid})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            while child.report != _NOT_STARTED:
                self._read_report(child)
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
            if child.name == child.container:
                self._kill(child.name)
            if not child.complaint:
                self._tell({"event": "ended", "id": child.name, "code": code})

    def _of(self, container: str) -> list[Child]:
        return [c for c in self._children.values() if container in (c.name, c.container)]

    def _kill(self, name: str) -> None:
        for child in self._of(name):
            processes.kill(child.pid, child.killer)

    def _kill_all(self) -> None:
        for child in self._children.values():
            processes.kill(child.pid, child.killer)
        processes.wait_for_children(2.0)
        # An init that was itself killed has left its orphans to this process.
        processes.kill_below(os.getpid())
        for folder in self._group_folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)

    def _tell(self, message: Message) -> None:
        try:
            protocol.send(self._channel, message)
        except OSError:
            # The emulators are gone; the loop sees that next.
            return


def main() -> None:
    """The channel is standard input."""
    # Not as standard input, which the children would inherit.
    channel = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    Keeper(channel).serve()
