"""From nothing to the first scored request on AKS: cluster, image, router, service; emulators up, embedded engine."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from windtunnel_contracts.digits import Digits
from windtunnel_perf.emulators import running
from windtunnel_perf.machine import machine

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_perf.fixture import Benchmark

ROUNDS = 3


def test_from_no_cluster_to_the_first_prediction(benchmark: Benchmark, tmp_path: Path) -> None:
    digits = Digits.load()
    request = tmp_path / "request.json"
    request.write_text(json.dumps(digits.request(1)), "utf-8")
    seconds: dict[str, list[float]] = {"first": [], "again": []}
    states = iter(range(ROUNDS))

    def command(state: Path, *arguments: str) -> str:
        environment = {**os.environ, "WINDTUNNEL_STATE_DIR": str(state), "WINDTUNNEL_DATA_DIR": str(state / "client")}
        result = subprocess.run(
            [sys.executable, "-m", "windtunnel", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def one_round() -> None:
        state = tmp_path / f"state{next(states)}"
        with running(state):
            for kind in ("first", "again"):
                # `first` makes the cluster and its router; `again` finds both, as every further service does.
                start = time.perf_counter()
                command(state, "deploy", str(digits.model), "--target", "aks", "--name", f"digits-{kind}")
                answer = command(state, "score", f"digits-{kind}", "--target", "aks", "--input", str(request))
                seconds[kind].append(time.perf_counter() - start)
                assert len(json.loads(answer)) == 1
        shutil.rmtree(state, ignore_errors=True)

    benchmark.pedantic(one_round, rounds=ROUNDS)
    first, again = (statistics.median(seconds[kind]) for kind in ("first", "again"))
    benchmark.extra_info.update(machine=machine(), first_s=first, again_s=again)
    print(f"\ncluster, service, first prediction: {first:.2f} s; a further service: {again:.2f} s")
