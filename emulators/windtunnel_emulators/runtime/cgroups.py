"""Control groups: the kernel's own limits of memory and processor time, version 1 and 2, where they can be written.

Each container gets a group of its own below the emulators' own group (or beside it, as version 2 allows no processes
in a group that has groups below), named with a prefix that a later start sweeps by.
"""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.keeper import processes

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
_OWN = Path("/proc/self")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """The folders in which this process may make groups."""

    memory: Path | None = None
    cpu: Path | None = None
    accounting: Path | None = None
    version: int = 1

    @classmethod
    def find(cls, proc: Path = _OWN) -> Hierarchies:
        """What the machine offers; nothing where it has no control groups or they may not be written."""
        mounts = _mounts(proc)
        own = dict(_own_groups(proc))
        if "" in mounts and (found := _version_2(mounts[""], own.get("", "/"))):
            return cls(memory=found, cpu=found, accounting=found, version=2)
        folders = {
            name: _writable([mounts[name] / own.get(name, "/").lstrip("/"), mounts[name]])
            for name in ("memory", "cpu", "cpuacct")
            if name in mounts
        }
        return cls(memory=folders.get("memory"), cpu=folders.get("cpu"), accounting=folders.get("cpuacct"))


class ControlGroups:
    """Makes the groups of one runtime, whose ``prefix`` no other has."""

    def __init__(self, hierarchies: Hierarchies, prefix: str) -> None:
        self._at = hierarchies
        self._prefix = prefix
        self._staying: set[Path] = set()
        """Could not be removed when their container ended: the kernel was not through with its last process."""

    @property
    def memory(self) -> bool:
        """Memory limits are the kernel's."""
        return self._at.memory is not None

    @property
    def cpu(self) -> bool:
        """Limits of processor time are the kernel's."""
        return self._at.cpu is not None

    def create(self, name: str, *, cpu: float | None, memory_bytes: int | None) -> ControlGroup:
        """Raises ``OSError``."""
        self._remove_staying()
        folders = {
            kind: folder / f"{self._prefix}{name}"
            for kind, folder in (
                ("memory", self._at.memory),
                ("cpu", self._at.cpu),
                ("accounting", self._at.accounting),
            )
            if folder is not None
        }
        for folder in set(folders.values()):
            folder.mkdir(exist_ok=True)
        group = ControlGroup(folders, self._at.version, self._staying)
        if memory_bytes is not None:
            group.limit_memory(memory_bytes)
        if cpu is not None:
            group.limit_cpu(cpu)
        return group

    def sweep(self) -> int:
        """Kill what a predecessor of the same prefix left, and remove its groups; how many processes there were."""
        killed = 0
        for folder in {f for f in (self._at.memory, self._at.cpu, self._at.accounting) if f is not None}:
            for group in folder.glob(f"{self._prefix}*"):
                killed += _empty(group)
                _remove(group)
        self._staying.clear()
        return killed

    def _remove_staying(self) -> None:
        for folder in list(self._staying):
            if _remove(folder):
                self._staying.discard(folder)


class ControlGroup:
    """The limits of one container."""

    def __init__(self, folders: dict[str, Path], version: int, staying: set[Path] | None = None) -> None:
        """``staying`` gets the folders that ``remove`` could not remove."""
        self._folders = folders
        self._version = version
        self._staying = set[Path]() if staying is None else staying

    @property
    def joins(self) -> list[str]:
        """The files into which a process writes itself to join."""
        return [str(folder / "cgroup.procs") for folder in sorted(set(self._folders.values()))]

    def limit_memory(self, most: int) -> None:
        folder = self._folders.get("memory")
        if folder is None:
            return
        if self._version == 2:
            _write(folder / "memory.max", str(most))
            _write(folder / "memory.swap.max", "0", missing=True)
            _write(folder / "memory.oom.group", "1", missing=True)
        else:
            _write(folder / "memory.limit_in_bytes", str(most))
            _write(folder / "memory.memsw.limit_in_bytes", str(most), missing=True)

    def limit_cpu(self, cores: float) -> None:
        folder = self._folders.get("cpu")
        if folder is None:
            return
        quota = max(_LEAST_QUOTA_US, round(cores * _PERIOD_US))
        if self._version == 2:
            _write(folder / "cpu.max", f"{quota} {_PERIOD_US}")
        else:
            _write(folder / "cpu.cfs_period_us", str(_PERIOD_US))
            _write(folder / "cpu.cfs_quota_us", str(quota))

    def ran_out_of_memory(self) -> bool:
        """The kernel has killed a process of the group for it."""
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        return _field(self._folders.get("memory"), name, "oom_kill") > 0

    def memory_bytes(self) -> int | None:
        """In use now, without files that could be dropped at once; None when it is not counted."""
        folder = self._folders.get("memory")
        if folder is None:
            return None
        name, idle = (
            ("memory.current", "inactive_file")
            if self._version == 2
            else ("memory.usage_in_bytes", "total_inactive_file")
        )
        return max(0, _number(folder / name) - _field(folder, "memory.stat", idle))

    def cpu_seconds(self) -> float | None:
        """Used so far; None when it is not counted."""
        folder = self._folders.get("accounting")
        if folder is None:
            return None
        if self._version == 2:
            return _field(folder, "cpu.stat", "usage_usec") / 1e6
        return _number(folder / "cpuacct.usage") / 1e9

    def remove(self) -> None:
        """Once no process is in it; what cannot be removed now is removed with the next container's start."""
        self._staying.update(folder for folder in set(self._folders.values()) if not _remove(folder))


def _mounts(proc: Path) -> dict[str, Path]:
    """Where each controller's hierarchy is mounted; "" for version 2."""
    found: dict[str, Path] = {}
    for line in _lines(proc / "mounts"):
        _, where, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            found.setdefault("", Path(where))
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, Path(where))
    return found


def _own_groups(proc: Path) -> Iterator[tuple[str, str]]:
    for line in _lines(proc / "cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _version_2(mount: Path, own: str) -> Path | None:
    """The own group or the one above, if groups made in it have both controllers."""
    group = mount / own.lstrip("/")
    for folder in (group, group.parent):
        if not folder.is_relative_to(mount):
            continue
        handed_on = " ".join(_lines(folder / "cgroup.subtree_control")).split()
        if {"memory", "cpu"} <= set(handed_on) and _writable([folder]) is not None:
            return folder
    return None


def _writable(folders: list[Path]) -> Path | None:
    """The first folder that is there and in which a group can be made."""
    for folder in folders:
        probe = folder / f"windtunnel-probe-{os.getpid()}"
        try:
            probe.mkdir()
            probe.rmdir()
        except OSError:
            continue
        return folder
    return None


def _empty(group: Path) -> int:
    """Kill all that is in a group and wait for its end; how many there were."""
    killed: set[int] = set()
    for _ in range(200):
        pids = [int(line) for line in _lines(group / "cgroup.procs")]
        if not pids:
            break
        killed.update(pids)
        for pid in pids:
            processes.kill(pid, signal.SIGKILL)
        processes.pause(0.005)
    return len(killed)


def _remove(folder: Path) -> bool:
    """False when it stays for now."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as problem:
        _log.debug("the control group %s stays for now: %s", folder, problem)
        return False
    return True


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _write(file: Path, value: str, *, missing: bool = False) -> None:
    """``missing`` says that a kernel without the file is fine."""
    try:
        # Opened without O_CREAT: what is not there cannot be made.
        with open(file, "r+", encoding="ascii") as opened:
            opened.write(value)
    except FileNotFoundError:
        if not missing:
            raise


def _number(file: Path) -> int:
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdigit() else 0


def _field(folder: Path | None, name: str, key: str) -> int:
    for line in [] if folder is None else _lines(folder / name):
        words = line.split()
        if len(words) == 2 and words[0] == key:
            return int(words[1])
    return 0
