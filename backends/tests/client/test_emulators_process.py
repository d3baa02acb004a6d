"""The emulators' process as the client sees it: stale files, other processes, failed starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from windtunnel import profiles
from windtunnel.emulated import EmulatedBackend, Emulators, start_options
from windtunnel.errors import EmulatorsFailed, NotConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def ready(folder: Path, pid: int) -> None:
    environment = {
        "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s", "AZURE_SUBSCRIPTION_ID": "sub",
        "REQUESTS_CA_BUNDLE": "/ca.pem", "SSL_CERT_FILE": "/ca.pem",
    }  # fmt: skip
    base = "https://localhost:1"
    endpoints = {"resourceManager": base, "authority": base, "control": f"{base}/_windtunnel"}
    content = {"pid": pid, "version": "0", "endpoints": endpoints, "environment": environment}
    (folder / "ready.json").write_text(json.dumps(content), "utf-8")


@pytest.fixture
def lookalike() -> Iterator[int]:
    """A process that looks like the emulators."""
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "windtunnel_emulators"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_without_a_ready_file_they_do_not_run(tmp_path: Path) -> None:
    assert Emulators(tmp_path).running() is None
    assert Emulators(tmp_path / "absent").running() is None
    with pytest.raises(EmulatorsFailed, match="not running"):
        Emulators(tmp_path).require()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}'])
def test_half_a_ready_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "ready.json").write_text(content, "utf-8")
    assert Emulators(tmp_path).running() is None


def test_a_number_that_another_process_has_now_is_not_the_emulators(tmp_path: Path) -> None:
    ready(tmp_path, os.getppid())
    emulators = Emulators(tmp_path)
    assert emulators.running() is None
    # And it is not ended.
    assert emulators.stop() is False
    os.kill(os.getppid(), 0)
    assert not (tmp_path / "ready.json").exists()


def test_a_process_that_has_ended_is_not_the_emulators(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "", "windtunnel_emulators"])
    process.wait()
    ready(tmp_path, process.pid)
    assert Emulators(tmp_path).running() is None


def test_they_are_stopped_by_their_number_and_waited_for(tmp_path: Path, lookalike: int) -> None:
    ready(tmp_path, lookalike)
    emulators = Emulators(tmp_path)
    found = emulators.running()
    assert found is not None
    assert found.pid == lookalike
    assert emulators.stop(limit_s=10) is True
    assert emulators.running() is None


def test_emulators_that_do_not_answer_are_an_error(tmp_path: Path, lookalike: int) -> None:
    import certifi

    ready(tmp_path, lookalike)
    content = json.loads((tmp_path / "ready.json").read_text("utf-8"))
    content["environment"]["SSL_CERT_FILE"] = certifi.where()
    (tmp_path / "ready.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(EmulatorsFailed, match="do not answer at https://localhost:1/_windtunnel/health"):
        Emulators(tmp_path).health()


def test_a_start_that_fails_brings_the_end_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(EmulatorsFailed, match="ended with exit code 2") as failed:
        Emulators(tmp_path).start(["--no-such-option"], os.environ)
    assert "--no-such-option" in failed.value.log
    assert (tmp_path / "emulators.log").stat().st_mode & 0o077 == 0


def test_two_that_start_them_at_once_get_the_same(tmp_path: Path) -> None:
    emulators = Emulators(tmp_path)
    with ThreadPoolExecutor() as pool:
        starts = [pool.submit(emulators.start, ["--port", "0"], os.environ) for _ in range(3)]
        found = [start.result().pid for start in starts]
    assert emulators.stop()
    assert len(set(found)) == 1


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmulatorsFailed, match="file/state cannot be used: Not a directory"):
        Emulators(tmp_path / "file" / "state").start([], os.environ)


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(EmulatorsFailed, match="were not ready after 0 s and were stopped"):
        Emulators(tmp_path).start(["--port", "0"], os.environ, limit_s=0)
    assert Emulators(tmp_path).running() is None


def test_the_cloud_is_what_the_ready_file_says(tmp_path: Path, lookalike: int) -> None:
    ready(tmp_path, lookalike)
    profile = profiles.load("local", {"state_dir": str(tmp_path)}, {"HOME": str(tmp_path)}, tmp_path)
    cloud, completed = EmulatedBackend.place(profile)
    assert (cloud.resource_manager, cloud.authority, cloud.tenant) == (
        "https://localhost:1",
        "https://localhost:1",
        "t",
    )
    assert (cloud.instance_discovery, cloud.environment_proxies, str(cloud.ca_file)) == (False, False, "/ca.pem")
    assert completed.text("subscription") == "sub"
    assert completed.data_dir == tmp_path / "client"


def test_the_settings_become_options(tmp_path: Path) -> None:
    flags = {"port": "0", "pace": "azure"}
    profile = profiles.load("local", flags, {"HOME": str(tmp_path)}, tmp_path)
    assert start_options(profile) == ["--port", "0", "--pace", "azure", "--runtime", "process"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("port", "-1"), ("port", "65536"), ("pace", "0"), ("pace", "slow"), ("pace", "-2"), ("runtime", "podman")],
)
def test_options_that_the_emulators_do_not_have_are_refused_before_they_start(
    tmp_path: Path, key: str, value: str
) -> None:
    profile = profiles.load("local", {key: value}, {"HOME": str(tmp_path)}, tmp_path)
    with pytest.raises(NotConfigured, match=f"{key} is .*it must be"):
        start_options(profile)


@pytest.mark.parametrize(("key", "value"), [("port", "65535"), ("pace", "0.5"), ("pace", "10"), ("runtime", "docker")])
def test_options_that_they_have_are_passed_on(tmp_path: Path, key: str, value: str) -> None:
    profile = profiles.load("local", {key: value}, {"HOME": str(tmp_path)}, tmp_path)
    options = start_options(profile)
    assert options[options.index(f"--{key}") + 1] == value
