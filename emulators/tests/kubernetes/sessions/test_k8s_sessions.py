"""Unmodified kubectl, Helm and the Python client say the same about the embedded and about a real API server."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import TypeAlias

import pytest

from launching import cluster_of, launched
from transcript import Step, python_session, shell_session

HERE = Path(__file__).parent

pytestmark = pytest.mark.kubernetes
ENGINES = ("embedded", "binaries")

Transcript: TypeAlias = dict[str, Step]


def _programs() -> Path:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder or not (Path(folder) / "kube-apiserver").exists():
        pytest.fail("KUBEBUILDER_ASSETS is no folder with kube-apiserver, etcd and kubectl")
    return Path(folder)


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Transcript]:
    """The sessions on a cluster of two nodes on each engine, one after the other."""
    found: dict[str, Transcript] = {}
    for engine in ENGINES:
        folder = tmp_path_factory.mktemp(engine)
        with launched(folder, engine=engine) as emulators:
            config = cluster_of(emulators, folder, nodes=2)
            steps = [*shell_session(config, _programs()), *python_session(config)]
        found[engine] = {step.run: step for step in steps}
        (folder / "transcript.txt").write_text("\n".join(map(str, steps)), "utf-8")
    return found


def test_the_same_session_has_the_same_transcript(transcripts: dict[str, Transcript]) -> None:
    listed = tomllib.loads((HERE / "differences.toml").read_text("utf-8")).get("difference", [])
    reasons = {each["step"]: each["reason"] for each in listed}
    ours, real = transcripts["embedded"], transcripts["binaries"]
    assert list(ours) == list(real)
    assert not set(reasons) - set(real), "listed, and no step of the sessions"
    different = [run for run in real if str(ours[run]) != str(real[run])]
    report = [f"--- real\n{real[run]}+++ embedded\n{ours[run]}" for run in different if run not in reasons]
    assert not report, "\n".join(report)
    assert set(different) == set(reasons), "listed as different, and alike"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_step_of_the_session_went_through(transcripts: dict[str, Transcript], engine: str) -> None:
    steps = transcripts[engine].values()
    stuck = [str(step) for step in steps if step.code < 0 or step.run == "python: end"]
    assert not stuck, "\n".join(stuck)
    assert len(steps) > 300


@pytest.mark.parametrize("engine", ENGINES)
def test_helm_installs_upgrades_rolls_back_and_removes_a_chart(transcripts: dict[str, Transcript], engine: str) -> None:
    if shutil.which("helm") is None:
        why = "helm is not on PATH: go install helm.sh/helm/v3/cmd/helm@latest"
        if os.environ.get("WINDTUNNEL_CI"):
            pytest.fail(why)
        pytest.skip(why)
    steps = transcripts[engine]
    greeting = "kubectl get configmap gust-settings -o jsonpath={.data.greeting}"
    said = [steps[f"{greeting}{again}"].output for again in ("", "  #2", "  #3")]
    assert said == ["first\n", "second\n", "first\n"]
    assert steps["kubectl get deployment gust -o jsonpath={.status.readyReplicas}"].output == "2\n"
    history = steps["helm history gust"].output.splitlines()[1:]
    assert [line.split()[0] for line in history] == ["1", "2", "3"]
    left = "kubectl get deployments,configmaps -l app.kubernetes.io/managed-by=Helm -o name"
    assert (steps[left].code, steps[left].output) == (0, "")
    changes = [step for run, step in steps.items() if run.startswith("helm") and "replicas=-1" not in run]
    assert [step.code for step in changes] == [0] * len(changes)
