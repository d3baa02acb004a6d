"""Volumes: what is in them, and what happens when one cannot be had."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.providers.container_instance.bodies import GitRepoVolume
from windtunnel_emulators.providers.container_instance.volumes import VolumeProblem, clone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.container_instance.conftest import Emulators

    Make = Callable[..., dict[str, Any]]

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits; the first is the tag ``one``."""
    folder = tmp_path / "sources.git"

    def git(*words: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *author, "-C", str(folder), *words], check=True, capture_output=True)

    folder.mkdir()
    git("init", "--quiet")
    for text in ("one", "two"):
        (folder / "file").write_text(text)
        git("add", ".")
        git("commit", "--quiet", "-m", text)
        if text == "one":
            git("tag", "one")
    return folder


@needs_git
@pytest.mark.parametrize(
    ("directory", "revision", "file", "text"),
    [
        (None, None, "sources/file", "two"),
        (".", None, "file", "two"),
        ("./below/here", "one", "below/here/file", "one"),
    ],
)
async def test_a_repository_is_cloned_to_where_a_kubelet_would_put_it(
    tmp_path: Path, repository: Path, directory: str | None, revision: str | None, file: str, text: str
) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    wanted = GitRepoVolume(repository=f"file://{repository}", directory=directory, revision=revision)
    await clone("code", wanted, folder, protocol="file")
    assert (folder / file).read_text() == text


@needs_git
async def test_only_https_is_spoken(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(VolumeProblem, match=r"git volume 'code' cannot be cloned: .*transport 'file' not allowed"):
        await clone("code", GitRepoVolume(repository=f"file://{repository}"), tmp_path / "volume")


@needs_git
async def test_a_revision_that_is_not_there(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    wanted = GitRepoVolume(repository=f"file://{repository}", revision="nine")
    with pytest.raises(VolumeProblem, match="cannot be cloned"):
        await clone("code", wanted, folder, protocol="file")


async def test_a_repository_that_cannot_be_reached_fails_the_creation(emulators: Emulators, body: Make) -> None:
    volume = {"name": "code", "gitRepo": {"repository": "https://localhost:1/a/b.git", "directory": "."}}
    reply = await emulators.put("g1", body(volumes=[volume]))
    assert reply.status == 201
    await emulators.settled()
    shown = (await emulators.get("g1")).body["properties"]
    assert shown["provisioningState"] == "Failed"
    (event,) = shown["instanceView"]["events"]
    assert event["name"] == "FailedMount"
    assert event["message"].startswith("git volume 'code' cannot be cloned: ")
    assert emulators.runtime.containers == []


async def test_an_empty_folder_is_empty_again_after_a_new_deployment(emulators: Emulators, body: Make) -> None:
    asked = body(volumes=[{"name": "space", "emptyDir": {}}])
    asked["properties"]["containers"][0]["properties"]["volumeMounts"] = [{"name": "space", "mountPath": "/s"}]
    await emulators.created("g1", asked)
    (emulators.runtime.running[0].spec.mounts[0].source / "file").write_text("x")
    await emulators.post("g1", "restart")
    await emulators.eventually(lambda: len(emulators.runtime.running) == 1)
    assert (emulators.runtime.running[0].spec.mounts[0].source / "file").exists()
    await emulators.created("g1", asked)
    assert list(emulators.runtime.running[0].spec.mounts[0].source.iterdir()) == []
