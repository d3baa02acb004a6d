"""Unmodified kubectl, Helm and the Python client say the same about the embedded and about a real API server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from launching import cluster_of, launched  # noqa: E402
from transcript import Step, kubectl_session, python_session  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kubernetes
ENGINES = ("embedded", "binaries")
_HELM_S = 120.0


def _programs() -> Path:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not (Path(folder) / "kube-apiserver").exists():
        pytest.fail("KUBEBUILDER_ASSETS is no folder with kube-apiserver, etcd and kubectl")
    return Path(folder)


@pytest.fixture(scope="module", params=ENGINES)
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of two nodes on each engine."""
    folder = tmp_path_factory.mktemp(request.param)
    _programs()
    with launched(folder, engine=request.param) as emulators:
        yield cluster_of(emulators, folder, nodes=2)


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Step]]:
    """The sessions on both engines, one after the other."""
    found: dict[str, list[Step]] = {}
    for engine in ENGINES:
        folder = tmp_path_factory.mktemp(engine)
        with launched(folder, engine=engine) as emulators:
            config = cluster_of(emulators, folder, nodes=2)
            found[engine] = [*kubectl_session(config, _programs() / "kubectl"), *python_session(config)]
    return found


def test_the_same_session_has_the_same_transcript(transcripts: dict[str, list[Step]]) -> None:
    listed = {d["step"]: d["reason"] for d in tomllib.loads((HERE / "differences.toml").read_text())["difference"]}
    real = {step.run: step for step in transcripts["binaries"]}
    ours = {step.run: step for step in transcripts["embedded"]}
    assert list(ours) == list(real)
    different = [run for run in real if str(ours[run]) != str(real[run]) and run not in listed]
    report = "\n".join(f"--- real\n{real[run]}+++ embedded\n{ours[run]}" for run in different)
    assert not different, report
    alike_by_now = [run for run in listed if run in real and str(ours[run]) == str(real[run])]
    assert not alike_by_now, "listed as different, and alike"


def test_every_step_of_the_session_went_through(transcripts: dict[str, list[Step]]) -> None:
    stuck = [str(step) for step in transcripts["embedded"] if step.code < 0 or step.run == "python: end"]
    assert not stuck, "\n".join(stuck)
    assert len(transcripts["embedded"]) > 100


def test_helm_installs_upgrades_rolls_back_and_removes_a_chart(kubeconfig: Path, tmp_path: Path) -> None:
    helm = shutil.which("helm")
    if helm is None:
        if os.environ.get("WINDTUNNEL_CI"):
            pytest.fail("helm is not on PATH")
        pytest.skip("helm is not on PATH: go install helm.sh/helm/v3/cmd/helm@latest")
    kubectl = str(_programs() / "kubectl")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}

    def run(*command: str) -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_HELM_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def greeting() -> str:
        return run(kubectl, "get", "configmap", "gust-settings", "-o", "jsonpath={.data.greeting}")

    chart = str(HERE / "chart")
    run(helm, "install", "gust", chart, "--wait", "--timeout", "60s")
    assert greeting() == "first"
    run(helm, "upgrade", "gust", chart, "--set", "greeting=second,replicas=2", "--wait", "--timeout", "60s")
    assert greeting() == "second"
    assert run(kubectl, "get", "deployment", "gust", "-o", "jsonpath={.status.readyReplicas}") == "2"
    run(helm, "rollback", "gust", "1", "--wait", "--timeout", "60s")
    assert greeting() == "first"
    assert [line.split()[0] for line in run(helm, "history", "gust").splitlines()[1:]] == ["1", "2", "3"]
    run(helm, "uninstall", "gust", "--wait", "--timeout", "60s")
    assert run(kubectl, "get", "deployment,configmap", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name") == ""
    assert "gust" not in run(helm, "list")
