"""Which engines there are, and what the emulators say where one cannot be used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest
import yaml

from whole_clusters import plan
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.kubernetes import kubeconfig
from windtunnel_emulators.kubernetes.engines.binaries import BinariesEngine
from windtunnel_emulators.kubernetes.engines.interface import Credential, EngineProblem
from windtunnel_emulators.kubernetes.engines.kind import KindEngine
from windtunnel_emulators.kubernetes.engines.ports import take
from windtunnel_emulators.kubernetes.engines.selection import make_engine
from windtunnel_emulators.kubernetes.plan import node_name

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.server import Listeners
    from windtunnel_emulators.store import Store


def test_binaries_are_refused_without_a_folder_and_without_its_programs(tmp_path: Path) -> None:
    with pytest.raises(EngineProblem, match="KUBEBUILDER_ASSETS names, and it is not set"):
        BinariesEngine(environment={}, clock=RealClock()).check()
    (tmp_path / "etcd").touch()
    with pytest.raises(EngineProblem, match="has no program kube-apiserver"):
        BinariesEngine(environment={"KUBEBUILDER_ASSETS": str(tmp_path)}, clock=RealClock()).check()


def test_a_program_that_does_not_run_is_named(tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(EngineProblem, match="kube-apiserver does not run here"):
        BinariesEngine(environment={"KUBEBUILDER_ASSETS": str(tmp_path)}, clock=RealClock()).check()


def test_kind_is_refused_without_its_programs(tmp_path: Path) -> None:
    with pytest.raises(EngineProblem, match="needs the program kind"):
        KindEngine(environment={"PATH": str(tmp_path)}, clock=RealClock()).check()


def test_the_release_of_kinds_nodes_is_the_images(tmp_path: Path) -> None:
    for image, release in (("kindest/node:v1.35.1@sha256:00", "1.35.1"), ("windtunnel/kind-node:v1.34.4", "1.34.4")):
        engine = KindEngine(environment={"PATH": "", "WINDTUNNEL_KIND_IMAGE": image}, clock=RealClock())
        assert engine.versions() == (release,)
    with pytest.raises(EngineProblem, match="does not name a release"):
        KindEngine(environment={"WINDTUNNEL_KIND_IMAGE": "x:latest"}, clock=RealClock()).versions()
    program = tmp_path / "kind"
    program.write_bytes(b"\x7fELF..kindest/node:v1.34.0@sha256:" + b"a" * 64 + b"..")
    program.chmod(0o755)
    assert KindEngine(environment={"PATH": str(tmp_path)}, clock=RealClock()).versions() == ("1.34.0",)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(EngineProblem, match="no engine 'x' for Kubernetes; there are embedded, binaries, kind"):
        make_engine(
            "x",
            environment={},
            store=cast("Store", None),
            clock=RealClock(),
            listeners=cast("Listeners", None),
        )


def test_the_emulators_say_so_when_they_are_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "windtunnel_emulators", "--state-dir", str(tmp_path), "--port", "0"]
    done = subprocess.run(
        [*command, "--kubernetes", "binaries"],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "KUBEBUILDER_ASSETS" in done.stderr
    assert "Traceback" not in done.stderr


def test_ports_are_kept_and_given_up_when_somebody_else_has_them(tmp_path: Path) -> None:
    import socket

    file = tmp_path / "ports.json"
    first = take(file, ("a", "b"))
    assert len(set(first.values())) == 2
    assert take(file, ("a", "b")) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["a"]))
        other.listen()
        second = take(file, ("a", "b"))
    assert second["b"] == first["b"]
    assert second["a"] != first["a"]


def test_a_kubeconfig_is_yaml_whatever_its_names() -> None:
    credential = Credential(certificate="c", key="k", token="0123")
    for name in ("glider", "1234", "yes", "a: b", "x_y-z"):
        whole = kubeconfig.document(
            cluster=name, user=f"clusterUser_rg_{name}", server="https://127.0.0.1:1", ca="ca", credential=credential
        )
        assert yaml.safe_load(kubeconfig.as_yaml(whole)) == whole


def test_nodes_are_named_as_aks_names_them() -> None:
    first, later = node_name(plan(), "np1", 0), node_name(plan(), "np1", 36)
    assert first.startswith("aks-np1-")
    assert first.endswith("-vmss000000")
    assert later.endswith("-vmss000010")
