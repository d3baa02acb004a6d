"""The build context: the same files, the same bytes; read back by ordinary tools."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.context import Context, Entry
from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from pathlib import Path


def archive(context: Context) -> bytes:
    out = io.BytesIO()
    context.write(out)
    return out.getvalue()


paths = st.from_regex(r"[a-z]{1,8}(/[a-zé ]{1,60}){0,3}", fullmatch=True)
files = st.dictionaries(paths, st.binary(max_size=300), min_size=1, max_size=6)


@given(files, st.randoms())
def test_order_does_not_matter_and_any_tool_reads_it_back(contents: dict[str, bytes], shuffle: object) -> None:
    entries = [Entry.of_bytes(path, data) for path, data in contents.items()]
    first = Context(entries)
    second = Context(reversed(entries))
    assert first.digest == second.digest
    assert archive(first) == archive(second)
    with tarfile.open(fileobj=io.BytesIO(archive(first)), mode="r:gz") as read:
        members = read.getmembers()
        found = {m.name: (read.extractfile(m) or io.BytesIO()).read() for m in members}
    assert found == contents
    assert [m.name for m in members] == sorted(contents)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}


@given(files, st.data())
def test_any_change_of_a_file_changes_the_digest(contents: dict[str, bytes], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(contents)))
    changed = {**contents, path: contents[path] + b"x"}
    digests = {Context(Entry.of_bytes(p, d) for p, d in c.items()).digest for c in (contents, changed)}
    assert len(digests) == 2


def test_the_bytes_are_the_same_for_ever() -> None:
    # A change of these two means that everybody's images are built again: bump them knowingly.
    context = Context([Entry.of_bytes("Dockerfile", b"FROM scratch\n"), Entry.of_bytes("a/b", b"\0" * 70_000)])
    assert context.digest == "afb5432d0b3c69853ca664b740da73644bf035ef2e2267382a907a2eae4950a6"
    assert (
        hashlib.sha256(archive(context)).hexdigest()
        == "a5ce9d3f0d85515432411a5158e607d97f80d1e4a0357fbed661c8baecd84c61"
    )


def test_a_large_file_streams_from_disk_and_is_whole(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    path = tmp_path / "big"
    path.write_bytes(content)
    data = archive(Context([Entry.of_file("big", path)]))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as read:
        member = read.extractfile("big")
        assert member is not None
        assert member.read() == content


def test_a_file_that_changes_while_it_is_packed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a" * 100)
    context = Context([Entry.of_file("model.onnx", path)])
    path.write_bytes(b"b" * 100)
    with pytest.raises(InvalidSpec, match=r"model\.onnx changed while it was being packed"):
        archive(context)
    path.write_bytes(b"a" * 50)
    with pytest.raises(InvalidSpec, match=r"model\.onnx (became shorter|changed) while it was being packed"):
        archive(context)


def test_two_files_at_one_path_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="two files at one path"):
        Context([Entry.of_bytes("a", b"1"), Entry.of_bytes("a", b"2")])
