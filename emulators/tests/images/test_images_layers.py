from __future__ import annotations

import gzip
import hashlib
import random
import tarfile
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.images.archive import Kind, Limits
from windtunnel_emulators.images.errors import ArchiveError
from windtunnel_emulators.images.layers import write_layer
from windtunnel_emulators.images.slices import Slice
from windtunnel_emulators.images.tree import DIRECTORY, Node
from windtunnel_emulators.images.unpack import read_layers

if TYPE_CHECKING:
    from pathlib import Path


def file(path: Path, data: bytes, mode: int = 0o644) -> Node:
    path.write_bytes(data)
    return Node(kind=Kind.FILE, mode=mode, content=Slice.whole(path))


def test_the_digests_are_those_of_the_file_and_of_what_is_in_it(tmp_path: Path) -> None:
    layer = write_layer([("a", file(tmp_path / "a", b"hello"))], tmp_path / "layer", time=0)
    data = layer.file.read_bytes()
    assert layer.size == len(data)
    assert layer.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert layer.diff_id == "sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest()


def test_the_same_files_make_the_same_layer_whatever_their_order(tmp_path: Path) -> None:
    nodes = [("b/c", file(tmp_path / "c", b"1")), ("a", file(tmp_path / "a", b"2")), ("b", DIRECTORY)]
    first = write_layer(nodes, tmp_path / "first", time=7, removed=["x", "b/y"])
    (tmp_path / "c").touch()
    second = write_layer(reversed(nodes), tmp_path / "second", time=7, removed=["b/y", "x"])
    assert first.digest == second.digest
    assert first.digest != write_layer(nodes, tmp_path / "third", time=8, removed=["x", "b/y"]).digest


def test_the_standard_library_reads_a_layer(tmp_path: Path) -> None:
    nodes = [
        ("app", DIRECTORY),
        ("app/run", file(tmp_path / "run", b"#!", 0o755)),
        ("app/" + "long" * 40, Node(kind=Kind.SYMLINK, target="run")),
    ]
    layer = write_layer(nodes, tmp_path / "layer", time=1700000000, removed=["app/old"])
    with tarfile.open(layer.file) as archive:
        members = archive.getmembers()
        assert [m.name for m in members] == ["app", "app/.wh.old", "app/" + "long" * 40, "app/run"]
        assert {m.mtime for m in members} == {1700000000}
        assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
        assert (members[2].linkname, members[3].mode) == ("run", 0o755)
        content = archive.extractfile("app/run")
        assert content is not None
        assert content.read() == b"#!"


def test_a_layer_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    lower = write_layer([("a", DIRECTORY), ("a/x", file(tmp_path / "x", b"x"))], tmp_path / "lower", time=0)
    upper = write_layer([("a/y", file(tmp_path / "y", b"y"))], tmp_path / "upper", time=0, removed=["a/x"])
    tree = read_layers([lower.file, upper.file], tmp_path, Limits())
    assert [path for path, _ in tree.walk()] == ["a", "a/y"]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 65_535, 65_536, 3_000_001])
def test_content_of_any_size_is_kept(tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    layer = write_layer([("model.onnx", file(tmp_path / "model", data))], tmp_path / "layer", time=0)
    with tarfile.open(layer.file) as archive:
        content = archive.extractfile("model.onnx")
        assert content is not None
        assert content.read() == data
    assert layer.size < size + 5_000


def test_a_layer_is_the_same_on_every_machine(tmp_path: Path) -> None:
    layer = write_layer([("app", DIRECTORY), ("app/a", file(tmp_path / "a", b"hello"))], tmp_path / "layer", time=0)
    assert layer.digest == "sha256:6e8497f0f7e37b4f3f2628456d319bc98954bd7bf3935b9ac6b5c48ffe789057"


def test_writing_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="stopped"):
        write_layer([("a", file(tmp_path / "a", b"x"))], tmp_path / "layer", time=0, stop=lambda: True)


def test_a_file_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    node = file(tmp_path / "a", b"12345")
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(ArchiveError, match="cut short"):
        write_layer([("a", node)], tmp_path / "layer", time=0)
