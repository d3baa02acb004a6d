"""What the project was asked for of AKS, one test each: through the command line, at emulators that really run.

The seed (how-to-deploy-and-where, 2018): "AKS is good for high-scale production deployments. It provides autoscaling,
logging, model data collection, and fast responses"; a cluster is created once and reused for many deployments.
"""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest

from cli_shell import Shell
from windtunnel import profiles, registry
from windtunnel.scoring_client import ScoringClient
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT_S = 120.0
ONE = {"data": [[1.0, 0.0, 0.0, 0.0]]}
# The weights of the model are 0 to 11, row by row.
ONES_ANSWER = [[0.0, 1.0, 2.0]]


class AksShell(Shell):
    """Everything on AKS, on a cluster that is small enough for development."""

    def __init__(self, state: Path) -> None:
        super().__init__(state, WINDTUNNEL_CLUSTER_PURPOSE="DevTest")

    def deploy(self, model: Path, name: str, *more: str) -> Any:
        return self.json("deploy", str(model), "--target", "aks", "--name", name, *more)

    def score(self, name: str, body: object = ONE) -> Any:
        asked = ("score", name, "--target", "aks", "--input", "-")
        return json.loads(self.run(*asked, stdin=json.dumps(body).encode())[0])


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AksShell]:
    """Emulators of this module's own, on free ports, with one small cluster once something is deployed."""
    shell = AksShell(tmp_path_factory.mktemp("seed") / "state")
    shell.run("up", "--port", "0")
    yield shell
    shell.run("down")


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"not within {LIMIT_S:g} s: {what}"
        time.sleep(0.1)


def test_a_cluster_is_created_once_and_reused_for_many_deployments(shell: AksShell, model_file: Path) -> None:
    names = [f"reuse-{n}" for n in range(3)]
    made = [shell.deploy(model_file, name) for name in names]
    assert [service["state"] for service in made] == ["Healthy"] * 3
    assert [service["authEnabled"] for service in made] == [True] * 3
    routers = {service["scoringUri"].partition("/api/v1/service/")[0] for service in made}
    assert len(routers) == 1
    assert [shell.score(name) for name in names] == [ONES_ANSWER] * 3
    cluster = shell.json("cluster", "show")
    assert all(service["id"].startswith(cluster["id"]) for service in made)
    assert {s["name"] for s in shell.json("list")} >= set(names)
    for name in names:
        shell.run("delete", name, "--target", "aks")
    assert shell.json("cluster", "show")["provisioningState"] == "Succeeded"


def test_automatic_scaling(shell: AksShell, model_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text("import time\n\n\ndef init():\n    pass\n\n\ndef run(raw):\n    time.sleep(0.2)\n    return 1\n")
    shell.deploy(
        model_file, "scaled", "--entry-script", str(script), "--autoscale", "--autoscale-max-replicas", "3",
        "--max-request-wait-time", "60000",
    )  # fmt: skip
    assert shell.json("show", "scaled", "--target", "aks")["replicas"] == 1
    report = None
    request = tmp_path / "one.json"
    request.write_text(json.dumps(ONE))
    with ThreadPoolExecutor(1) as pool:
        # Twelve a second of a fifth of a second each keep more than two replicas busy.
        load = pool.submit(_bench, shell, request)
        until(lambda: _replicas(shell) == 3, "three replicas under load")
        report = load.result(LIMIT_S)
    assert report["errors"] == {}
    assert report["answered"] > 0
    shell.run("delete", "scaled", "--target", "aks")


def _bench(shell: AksShell, request: Path) -> Any:
    command = [sys.executable, "-m", "windtunnel", "bench", "scaled", "--target", "aks", "-i", str(request)]
    command += ["--rate", "12", "--duration", "8", "-o", "json"]
    done = subprocess.run(command, env=shell.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _replicas(shell: AksShell) -> int:
    """Asked by a second process of ours while the first one is busy: through the command line all the same."""
    command = [sys.executable, "-m", "windtunnel", "show", "scaled", "--target", "aks", "-o", "json"]
    done = subprocess.run(command, env=shell.environment, capture_output=True, text=True, check=True)
    found: int = json.loads(done.stdout)["replicas"]
    return found


def test_logging(shell: AksShell, model_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(
        "def init():\n    print('wings out')\n\n\ndef run(raw):\n    print('lift is', raw)\n    return 'up'\n"
    )
    shell.deploy(model_file, "logged", "--entry-script", str(script), "--replicas", "1")
    assert shell.score("logged", {"angle": 4}) == "up"

    def log() -> str:
        return shell.run("logs", "logged", "--target", "aks")[0]

    until(lambda: "lift is" in log(), "what the script printed")
    assert log().index("wings out") < log().index('lift is {"angle": 4}')
    assert "POST" in log()
    shell.run("delete", "logged", "--target", "aks")


def test_model_data_collection(shell: AksShell, model_file: Path) -> None:
    shell.deploy(model_file, "plain", "--replicas", "1")
    assert shell.score("plain") == ONES_ANSWER
    shell.deploy(model_file, "collected", "--replicas", "1", "--collect-model-data")
    assert shell.score("collected") == ONES_ANSWER

    def files(name: str) -> dict[str, bytes]:
        profile = profiles.load("local", {}, shell.environment, shell.state.parent)
        with registry.load("local").connect(profile) as backend:
            return dict(backend.collected(Target.AKS, name))

    def rows(designation: str) -> list[list[str]]:
        found = [text for path, text in files("collected").items() if f"/{designation}/" in path]
        return [row for text in found for row in csv.reader(io.StringIO(text.decode()))]

    until(lambda: len(rows("inputs")) >= 2 and len(rows("predictions")) >= 2, "inputs and predictions")
    head, first = rows("inputs")[:2]
    assert "$aml_dc_correlation_id" in head
    assert [float(value) for value in first[:4]] == ONE["data"][0]
    predicted = rows("predictions")[1]
    correlation = first[head.index("$aml_dc_correlation_id")]
    assert correlation in predicted
    path = next(iter(files("collected")))
    assert re.fullmatch(r"[0-9a-f-]{36}/windtunnel/windtunnel/collected/linear/1/\w+/\d{4}/\d\d/\d\d/data\.csv", path)
    assert files("plain") == {}, "it is off unless it is asked for"
    for name in ("plain", "collected"):
        shell.run("delete", name, "--target", "aks")


def test_fast_responses(shell: AksShell, model_file: Path, tmp_path: Path) -> None:
    """What a client waits for is its own prediction: four replicas work on four requests at the same time."""
    script = tmp_path / "score.py"
    script.write_text(
        "import json, time\n\n\n"
        "def init():\n    pass\n\n\n"
        "def run(raw):\n    began = time.time()\n    time.sleep(2.0)\n    return [began, time.time()]\n"
    )
    shell.deploy(
        model_file, "fast", "--entry-script", str(script), "--replicas", "4", "--max-request-wait-time", "60000"
    )
    profile = profiles.load("local", {}, shell.environment, shell.state.parent)
    with registry.load("local").connect(profile) as backend, ThreadPoolExecutor(4) as pool:
        clients = [ScoringClient(backend.endpoint(Target.AKS, "fast")) for _ in range(4)]
        spans = [future.result().json() for future in [pool.submit(client.score, b"{}") for client in clients]]
    for client in clients:
        client.close()
    times = [cast("list[float]", span) for span in spans]
    assert max(began for began, _ in times) < min(ended for _, ended in times)
    shell.run("delete", "fast", "--target", "aks")
