"""Nothing that was started outlives the emulators, however they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import windtunnel_emulators
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.runtime.keeper import processes
from windtunnel_emulators.runtime.process import ProcessRuntime
from windtunnel_emulators.runtime.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

EMULATORS = """
import asyncio, json, os, sys
from pathlib import Path
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.runtime.interface import ContainerSpec, Image
from windtunnel_emulators.runtime.process import ProcessRuntime

async def main(folder, own_root, marker):
    runtime = ProcessRuntime(folder / "runtime", RealClock(), own_root=own_root, control_groups=False)
    await runtime.start_up()
    script = f"setsid sh -c 'setsid sleep {marker} & sleep {marker}' & trap '' TERM; sleep {marker}; sleep {marker}"
    for name in ("one", "two"):
        await runtime.start(ContainerSpec(
            id=name, owner=name, image=Image(reference="x", digest=""), command=("/bin/sh", "-c", script),
            address="127.0.0.1", log=folder / f"{name}.log", directory=folder / name))
    print(json.dumps({"keeper": runtime.keeper_pid}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2] == "own", os.environ["MARKER"]))
"""


def marked(marker: str) -> list[int]:
    found: list[int] = []
    for pid in processes.all_pids():
        try:
            if marker.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found


def until(condition: object, *, seconds: float = 20) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


class Emulators:
    """A process that is to be killed, and what it started."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder = folder
        self.marker = f"7{os.getpid() % 100_000:05}.{time.monotonic_ns() % 1_000_000:06}"
        packages = str(Path(windtunnel_emulators.__file__).parents[1])
        self.process = subprocess.Popen(
            [sys.executable, "-c", EMULATORS, str(folder), mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": packages, "MARKER": self.marker},
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            reason = self.process.stderr.read().decode().strip().splitlines()[-1]
            self.close()
            pytest.skip(reason)
        self.keeper: int = json.loads(line)["keeper"]
        # In each container: two daemons, the shell's own sleep.
        until(lambda: len(marked(self.marker)) >= 6)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=["own", "shared"])
def emulators(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Emulators]:
    emulators = Emulators(tmp_path, request.param)
    yield emulators
    emulators.close()
    for pid in marked(emulators.marker):
        processes.kill(pid, signal.SIGKILL)


def test_killed_emulators_leave_nothing(emulators: Emulators) -> None:
    os.kill(emulators.process.pid, signal.SIGKILL)
    until(lambda: not marked(emulators.marker) and processes.start_time(emulators.keeper) is None)


def test_a_killed_keeper_leaves_nothing(emulators: Emulators) -> None:
    os.kill(emulators.keeper, signal.SIGKILL)
    until(lambda: not marked(emulators.marker))


def test_emulators_killed_together_with_the_keeper_leave_nothing(emulators: Emulators) -> None:
    os.kill(emulators.process.pid, signal.SIGSTOP)
    os.kill(emulators.keeper, signal.SIGKILL)
    os.kill(emulators.process.pid, signal.SIGKILL)
    until(lambda: not marked(emulators.marker))


async def test_a_start_ends_what_even_that_has_left(tmp_path: Path) -> None:
    left, other = await asyncio.to_thread(
        lambda: (subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"]), subprocess.Popen(["sleep", "600"]))
    )
    try:
        folder = tmp_path / "runtime"
        folder.mkdir()
        records = Records(folder / "running.jsonl")
        records.add(left.pid, "a container")
        until(lambda: len(processes.Tree().below(left.pid)) == 2)
        children = processes.Tree().below(left.pid)
        lines = (folder / "running.jsonl").read_text()
        began = processes.start_time(other.pid)
        assert began is not None
        reused = json.dumps({"pid": other.pid, "began": began - 1, "what": "long gone"})
        (folder / "running.jsonl").write_text(f"{lines}{reused}\n{{cut\n[1]\n" + '{"pid": 1, "began": 0, "what": ""}\n')
        runtime = ProcessRuntime(folder, RealClock(), control_groups=False)
        await runtime.start_up()
        assert await asyncio.to_thread(left.wait, 20) in (-signal.SIGKILL, 128 + signal.SIGKILL)
        assert all(processes.start_time(pid) is None for pid in children)
        assert other.poll() is None
        assert not (folder / "running.jsonl").exists()
        await runtime.close()
    finally:
        for process in (left, other):
            process.kill()
            process.wait()


def test_a_sweep_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert Records(tmp_path / "absent").sweep() == []
