"""A note of every running container's first process, so that a later start can end what a killed predecessor left.

A pid alone names nothing, as pids are used again: the time its process began is noted with it and compared.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import processes

if TYPE_CHECKING:
    from pathlib import Path


class Records:
    """One file, a line per process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, pid: int, what: str) -> None:
        """Note a process of ours that runs now."""
        began = processes.start_time(pid)
        if began is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"pid": pid, "began": began, "what": what}) + "\n")

    def clear(self) -> None:
        """Nothing of ours runs any more."""
        self._path.unlink(missing_ok=True)

    def sweep(self) -> list[str]:
        """Kill what still runs, with all that descends from it; what it was. Forgets everything."""
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        killed: list[str] = []
        for line in lines:
            pid, began, what = _parse(line)
            if began is not None and processes.start_time(pid) == began:
                processes.kill_below(pid)
                processes.kill(pid, signal.SIGKILL)
                killed.append(what)
        self._path.unlink(missing_ok=True)
        return killed


def _parse(line: str) -> tuple[int, int | None, str]:
    """The last line of a machine that lost power may be cut: it names nothing then."""
    try:
        entry: object = json.loads(line)
    except ValueError:
        return 0, None, ""
    match entry:
        case {"pid": int(pid), "began": int(began), "what": str(what)} if pid > 1:
            return pid, began, what
        case _:
            return 0, None, ""
