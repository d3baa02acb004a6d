"""Paths of a container that has no root of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.runtime.interface import Mount, StartError
from windtunnel_emulators.runtime.translation import Translation, copy_image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def translation(tmp_path: Path) -> Translation:
    root, share, nested = tmp_path / "root", tmp_path / "share", tmp_path / "nested"
    for folder in (root / "app", root / "usr/bin", share, nested):
        folder.mkdir(parents=True)
    (root / "app/model.onnx").touch()
    (root / "usr/bin/tool").touch()
    mounts = (Mount(source=share, target="/mnt/share"), Mount(source=nested, target="/mnt/share/nested"))
    return Translation(root, mounts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/app/model.onnx", "{root}/app/model.onnx"),
        ("/app/", "{root}/app/"),
        ("/app/../app/model.onnx", "{root}/app/model.onnx"),
        ("/app/new-file", "{root}/app/new-file"),
        ("--model=/app/model.onnx", "--model={root}/app/model.onnx"),
        ("cd /app && cat 'model.onnx' >/mnt/share/out;ls", "cd {root}/app && cat 'model.onnx' >{share}/out;ls"),
        ("/app:/mnt/share:/usr/bin", "{root}/app:{share}:{root}/usr/bin"),
        ("/mnt/share/nested/x", "{nested}/x"),
        ("/mnt/share", "{share}"),
        ("/mnt/shared", "/mnt/shared"),
        ("/usr/bin/tool", "{root}/usr/bin/tool"),
        ("/usr/bin/env", "/usr/bin/env"),
        ("/", "/"),
        ("/proc/self", "/proc/self"),
        ("http://example.com/app", "http://example.com/app"),
        ("relative/app", "relative/app"),
        ("a/app", "a/app"),
        ("/../../app", "{root}/app"),
    ],
)
def test_paths_of_image_and_mounts_are_rewritten(
    translation: Translation, tmp_path: Path, text: str, expected: str
) -> None:
    names = {name: str(tmp_path / name) for name in ("root", "share", "nested")}
    assert translation.text(text) == expected.format(**names)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    from pathlib import Path

    assert "/" in text or Translation(Path("/nowhere"), ()).text(text) == text


def test_programs_are_looked_for_in_the_image_first(translation: Translation, tmp_path: Path) -> None:
    found = translation.environment({"PATH": "/usr/local/bin:/usr/bin", "MODEL": "/app/model.onnx"})
    assert found["PATH"] == f"/usr/local/bin:{tmp_path}/root/usr/bin:/usr/bin"
    assert found["MODEL"] == f"{tmp_path}/root/app/model.onnx"


def test_the_root_as_working_directory_is_the_images(translation: Translation, tmp_path: Path) -> None:
    assert translation.folder("/") == str(tmp_path / "root")
    assert translation.folder("/app") == str(tmp_path / "root/app")


def test_a_mount_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="nothing behind it"):
        Translation(tmp_path, (Mount(source=tmp_path / "absent", target="/x"),))


def test_the_image_is_copied_anew(tmp_path: Path) -> None:
    image, root = tmp_path / "image", tmp_path / "root"
    image.mkdir()
    (image / "file").write_text("original")
    (image / "link").symlink_to("file")
    for _ in range(2):
        copy_image(image, root)
        assert (root / "file").read_text() == "original"
        assert (root / "link").is_symlink()
        assert (root / "tmp").is_dir()
        (root / "file").write_text("changed")
        (root / "more").touch()
    assert (image / "file").read_text() == "original"
    copy_image(None, root)
    assert sorted(path.name for path in root.iterdir()) == ["root", "tmp"]
