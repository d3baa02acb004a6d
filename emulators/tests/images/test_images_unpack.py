from __future__ import annotations

import gzip
import os
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images.archive import Limits
from windtunnel_emulators.images.errors import ArchiveError
from windtunnel_emulators.images.unpack import materialise, root_of, sweep

DIGEST = "sha256:" + "1" * 64
Member = tuple[str, bytes, str, bytes, int]
"""Name, type, link target, content, mode."""


def file(name: str, data: bytes = b"", mode: int = 0o644) -> Member:
    return name, tarfile.REGTYPE, "", data, mode


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return name, kind, target, b"", 0o777


def folder(name: str, mode: int = 0o755) -> Member:
    return name, tarfile.DIRTYPE, "", b"", mode


def write_layer(path: Path, members: list[Member]) -> Path:
    data = b""
    for name, kind, target, content, mode in members:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size, info.mode = kind, target, len(content), mode
        data += info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % 512)
    path.write_bytes(gzip.compress(data + bytes(1024), 1))
    return path


def unpack(tmp_path: Path, *layers: list[Member], limits: Limits | None = None) -> Path:
    files = [write_layer(tmp_path / f"layer-{number}", members) for number, members in enumerate(layers)]
    return materialise(DIGEST, files, tmp_path / "images", limits=limits)


def test_layers_become_one_file_system(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        [folder("app"), file("app/a", b"old"), file("app/gone"), file("bin/run", b"#!", 0o755)],
        [file("app/a", b"new"), file("app/.wh.gone"), link("current", "app"), link("same", "app/a", tarfile.LNKTYPE)],
    )
    assert (root / "app/a").read_bytes() == b"new"
    assert (root / "current/a").read_bytes() == (root / "same").read_bytes() == b"new"
    assert not (root / "app/gone").exists()
    assert os.access(root / "bin/run", os.X_OK)
    assert root == root_of(DIGEST, tmp_path / "images")
    assert os.listdir(tmp_path / "images") == [root.name]


def test_an_image_is_unpacked_once(tmp_path: Path) -> None:
    root = unpack(tmp_path, [file("a", b"1")])
    (root / "a").write_bytes(b"kept")
    assert materialise(DIGEST, [], tmp_path / "images") == root
    assert (root / "a").read_bytes() == b"kept"


def test_threads_that_ask_at_once_get_the_same_folder(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer", [file(f"d/{number}", b"x") for number in range(200)])
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(materialise, DIGEST, [layer], tmp_path / "images") for _ in range(8)]
        roots = {future.result() for future in futures}
    assert len(roots) == 1
    assert len(os.listdir(roots.pop() / "d")) == 200
    assert len(os.listdir(tmp_path / "images")) == 1


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/etc/passwd", "etc/passwd"),
        ("../../../../../etc/passwd", "etc/passwd"),
        ("/", ""),
        ("..", ""),
        ("self/../../../../etc/passwd", "etc/passwd"),
        ("../real/file", "real/file"),
        ("/real/link", "real/file"),
        ("/alias/../secret", "deep/secret"),
        (".", "dir"),
    ],
)
def test_a_link_leads_where_it_leads_in_the_container(tmp_path: Path, target: str, leads_to: str) -> None:
    root = unpack(
        tmp_path,
        [
            file("real/file"),
            link("real/link", "file"),
            file("deep/down/file"),
            link("alias", "deep/down"),
            link("dir/self", "."),
            link("dir/here", target),
        ],
    )
    assert os.path.realpath(root / "dir/here") == os.path.realpath(root / leads_to)


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([[file("../x")]], "goes up"),
        ([[file("/x")]], "absolute"),
        ([[link("a", "b", tarfile.FIFOTYPE)]], "FIFO"),
        ([[file("a")], [file("a/b")]], "layer 2 of 2: 'a/b' cannot be put below 'a'"),
        ([[link("a", "b"), link("b", "a"), file("a/c")]], "symbolic links"),
    ],
)
def test_an_unsafe_image_is_refused_and_leaves_nothing(tmp_path: Path, layers: list[list[Member]], why: str) -> None:
    with pytest.raises(ArchiveError) as error:
        unpack(tmp_path, *layers)
    assert why in str(error.value)
    assert os.listdir(tmp_path / "images") == []


def test_the_limits_hold_for_all_layers_together(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="layer 2 of 2: the archive has more than 1 entries"):
        unpack(tmp_path, [file("a"), file("b")], [file("c"), file("d")], limits=Limits(entries=3))
    with pytest.raises(ArchiveError, match="layer 2 of 2: the archive"):
        unpack(tmp_path, [file("a", bytes(3000))], [file("c", bytes(3000))], limits=Limits(size=5500))


def test_unpacking_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer", [file("a", b"x")])
    answers = iter([False, True])
    with pytest.raises(ArchiveError, match="stopped"):
        materialise(DIGEST, [layer], tmp_path / "images", stop=lambda: next(answers, True))
    assert os.listdir(tmp_path / "images") == []


def test_set_user_id_bits_are_dropped_and_the_owner_can_always_read(tmp_path: Path) -> None:
    root = unpack(
        tmp_path, [file("su", b"", 0o6755), folder("tmp", 0o1777), folder("locked", 0), file("locked/f", b"", 0)]
    )
    modes = {path: stat.S_IMODE((root / path).stat().st_mode) for path in ("su", "tmp", "locked", "locked/f")}
    assert modes == {"su": 0o755, "tmp": 0o1777, "locked": 0o700, "locked/f": 0o400}


def test_sweeping_keeps_what_is_wanted(tmp_path: Path) -> None:
    layer = write_layer(tmp_path / "layer", [file("a")])
    images = tmp_path / "images"
    assert sweep(images, []) == 0
    kept = materialise(DIGEST, [layer], images)
    materialise("sha256:" + "2" * 64, [layer], images)
    (images / ".draft-killed").mkdir()
    assert sweep(images, [DIGEST]) == 1
    assert list(images.iterdir()) == [kept]


PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", "", "é", ".wh.a", ".wh..wh..opq"]), min_size=1, max_size=5)
PATHS = st.builds("{}{}".format, st.sampled_from(["", "", "", "/"]), PARTS.map("/".join)).filter(bool)
SAFE = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)
MEMBER = (
    st.builds(file, SAFE | PATHS, st.binary(max_size=9), st.integers(0, 0o7777))
    | st.builds(folder, SAFE | PATHS, st.integers(0, 0o7777))
    | st.builds(link, SAFE | PATHS, PATHS | SAFE, st.sampled_from([tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]))
)


@settings(deadline=None)
@given(st.lists(st.lists(MEMBER, max_size=8), max_size=3))
def test_no_image_reaches_out_of_its_folder(layers: list[list[Member]]) -> None:
    with TemporaryDirectory() as name:
        outside = Path(os.path.realpath(name))
        (outside / "secret").write_bytes(b"secret")
        files = [write_layer(outside / f"layer-{number}", members) for number, members in enumerate(layers)]
        before = sorted(outside.iterdir())
        try:
            root = materialise(DIGEST, files, outside / "images")
        except ArchiveError:
            assert os.listdir(outside / "images") == []
        else:
            assert os.listdir(outside / "images") == [root.name]
            for path in root.rglob("*"):
                assert Path(os.path.realpath(path)).is_relative_to(root)
                mode = path.lstat().st_mode
                assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)
                assert stat.S_ISLNK(mode) or not mode & (stat.S_ISUID | stat.S_ISGID)
        assert sorted(outside.iterdir()) == sorted([*before, outside / "images"])
        assert (outside / "secret").read_bytes() == b"secret"
