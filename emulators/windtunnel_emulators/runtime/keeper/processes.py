"""Processes as ``/proc`` shows them: who descends from whom, and since when."""

from __future__ import annotations

import os
import signal
import time


def stat_of(pid: int) -> tuple[int, int, int] | None:
    """Parent, session and start time (in ticks since the machine's start); None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1]), int(fields[3]), int(fields[19])


def start_time(pid: int) -> int | None:
    """With the pid, this names a process for good, as pids are used again."""
    stat = stat_of(pid)
    return None if stat is None else stat[2]


def all_pids() -> list[int]:
    """Every process that can be seen; none where there is no ``/proc``."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return []


class Tree:
    """Who descends from whom, at one moment."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] = {}
        for pid in all_pids():
            stat = stat_of(pid)
            if stat is not None:
                self._children.setdefault(stat[0], []).append(pid)

    def below(self, root: int) -> list[int]:
        """All that descend from a process, itself not included."""
        found: list[int] = []
        waiting = [root]
        while waiting:
            children = self._children.get(waiting.pop(), [])
            found += children
            waiting += children
        return found


def resident_memory(pid: int) -> int:
    """Bytes that a process has in memory, what it shares counted in full; 0 when it has ended. Cheap."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def own_memory(pid: int) -> int:
    """Bytes that a process has in memory, what it shares with others counted in part; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def cpu_seconds(pid: int) -> float:
    """Used by a process and by those of its children that have ended; 0 when it has ended itself."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def kill(pid: int, number: int) -> bool:
    """False when there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def kill_below(root: int, limit_s: float = 5.0) -> bool:
    """Kill all descendants of a process, also those that appear meanwhile; False when some outlived the limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = Tree().below(root)
        if not found:
            return True
        for pid in found:
            kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    return False


def pause(seconds: float) -> None:
    """For loops that wait for processes to end."""
    time.sleep(seconds)


def wait_for_children(limit_s: float) -> None:
    """Until all children of this process have ended, or the limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.002)
