"""From process start to ready, beside moto's server started in the same run; and resident memory."""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from windtunnel_perf.fixture import Benchmark

ROUNDS = 7
LIMIT_S = 30.0


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + LIMIT_S
    while not ready():
        assert process.poll() is None, "the server ended before it was ready"
        assert time.monotonic() < end, f"not ready after {LIMIT_S:g} s"
        time.sleep(0.002)


@contextlib.contextmanager
def _emulators(state: Path) -> Generator[subprocess.Popen[bytes]]:
    ready = state.with_suffix(".ready")
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "windtunnel_emulators", "--port", "0"]
    command += ["--state-dir", str(state), "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(ready.exists, process)
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def _moto() -> Generator[subprocess.Popen[bytes]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(listens, process)
            yield process
        finally:
            process.terminate()


def _resident_mb(process: subprocess.Popen[bytes]) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text("utf-8"))
    assert found is not None
    return int(found[1]) / 1024


def test_start_cold_and_warm_beside_moto(benchmark: Benchmark, tmp_path: Path) -> None:
    seconds: dict[str, list[float]] = {"cold": [], "warm": [], "moto": []}
    memory: list[float] = []

    def timed(name: str, server: contextlib.AbstractContextManager[subprocess.Popen[bytes]]) -> None:
        start = time.perf_counter()
        with server as process:
            seconds[name].append(time.perf_counter() - start)
            if name != "moto":
                memory.append(_resident_mb(process))

    def one_round(n: int) -> None:
        timed("cold", _emulators(tmp_path / f"state{n}"))
        timed("moto", _moto())
        timed("warm", _emulators(tmp_path / f"state{n}"))

    numbers = iter(range(ROUNDS))
    benchmark.pedantic(lambda: one_round(next(numbers)), rounds=ROUNDS, iterations=1)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    benchmark.extra_info.update(
        {f"{name}_s": round(value, 3) for name, value in middle.items()}
        | {"resident_mb": round(max(memory), 1), "cold_over_moto": round(middle["cold"] / middle["moto"], 2)}
    )
    print(f"\nready after: cold {middle['cold']:.3f} s, warm {middle['warm']:.3f} s, moto {middle['moto']:.3f} s")
    print(f"resident: {max(memory):.1f} MB")
