"""Parts of the docker runtime that need no engine."""

from __future__ import annotations

import io
import platform
import signal
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.images.bases import ANNOTATION
from windtunnel_emulators.registry.pull import FetchedManifest
from windtunnel_emulators.runtime.docker import DockerRuntime
from windtunnel_emulators.runtime.engine import pause
from windtunnel_emulators.runtime.engine.client import Engine, EngineProblem
from windtunnel_emulators.runtime.engine.frames import Frames
from windtunnel_emulators.runtime.interface import Credentials, ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)), max_size=8),
    sizes=st.lists(st.integers(1, 12), max_size=60),
)
def test_however_frames_are_cut_the_output_is_the_same(pieces: list[tuple[int, bytes]], sizes: list[int]) -> None:
    data = b"".join(bytes([stream, 0, 0, 0]) + len(piece).to_bytes(4, "big") + piece for stream, piece in pieces)
    frames, got = Frames(), list[tuple[str, bytes]]()
    while data:
        size = sizes.pop() if sizes else len(data)
        got += frames.feed(data[:size])
        data = data[size:]
    assert got == [({1: "stdout", 2: "stderr"}[stream], piece) for stream, piece in pieces]


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_pause_image_is_one_small_program(architecture: str, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(pause.archive(architecture))) as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.mode, member.size < 200) == ("pause", 0o755, True)
        program = tar.extractfile(member)
        assert program is not None
        (tmp_path / "pause").write_bytes(program.read())
    (tmp_path / "pause").chmod(0o755)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    if machine == architecture and platform.system() == "Linux":
        process = subprocess.Popen([tmp_path / "pause"])
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.terminate()
        assert process.wait(20) == -signal.SIGTERM


def test_an_engine_on_an_unknown_processor_is_refused() -> None:
    with pytest.raises(ValueError, match="knows engines on amd64 and arm64, and this one is on s390x"):
        pause.archive("s390x")


async def test_no_engine_is_a_sentence(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/no.sock"
    runtime = DockerRuntime(tmp_path, RealClock(), OneImage({}), url=url)
    with pytest.raises(EngineProblem, match=r"no Docker engine answers at unix://.*use --runtime process") as problem:
        await runtime.start_up()
    assert problem.value.status is None
    with pytest.raises(ImageError, match="no Docker engine answers"):
        await runtime.pull("alpine")
    await runtime.close()


def test_the_engine_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///somewhere.sock")
    assert Engine().url == "unix:///somewhere.sock"
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert Engine().url.endswith("/var/run/docker.sock")


class OneImage:
    """An emulated registry whose image has these annotations."""

    def __init__(self, annotations: dict[str, str]) -> None:
        self.annotations = annotations

    def owns(self, reference: str) -> bool:
        return reference.startswith("mine.azurecr.io/")

    def local_name(self, reference: str) -> str:
        return reference.replace("mine.azurecr.io", "localhost:1")

    def fetch(self, reference: str, credentials: Sequence[Credentials] = ()) -> FetchedManifest:
        return FetchedManifest(digest="", manifest={"annotations": {**self.annotations}}, config={}, layers=())


async def test_an_image_that_was_built_without_docker_is_refused_with_the_way_out(tmp_path: Path) -> None:
    runtime = DockerRuntime(tmp_path, RealClock(), OneImage({ANNOTATION: "docker.io/library/python:3.11-slim"}))
    with pytest.raises(ImageError, match=r"was built without Docker.*build it again") as refused:
        await runtime.pull("mine.azurecr.io/model:1")
    assert not refused.value.denied
