from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.images.archive import Entry, Kind, Limits, compression, entries, plain
from windtunnel_emulators.images.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Compress = Callable[[bytes], bytes]


def member(name: str, data: bytes = b"", **fields: object) -> bytes:
    """A header and its content, as the standard library's writer makes them."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8") + data + bytes(-len(data) % 512)


def read(path: Path, *parts: bytes, limits: Limits | None = None) -> list[Entry]:
    path.write_bytes(b"".join([*parts, bytes(1024)]))
    return list(entries(path, limits or Limits()))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_the_standard_library_writes_is_read(tmp_path: Path, form: int) -> None:
    path = tmp_path / "x.tar"
    long = "folder/" * 20 + "file.txt"  # too long for one field
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in (("a.txt", b"hello"), (long, b"x" * 1000), ("./empty", b"")):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), 0o640, 1000
            archive.addfile(info, io.BytesIO(data))
        for name, kind, target in (
            ("dir/", tarfile.DIRTYPE, ""),
            ("link", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard", tarfile.LNKTYPE, "./a.txt"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    found = {entry.path: entry for entry in entries(path, Limits())}
    assert [(e.path, e.kind) for e in found.values()] == [
        ("a.txt", Kind.FILE),
        (long, Kind.FILE),
        ("empty", Kind.FILE),
        ("dir", Kind.DIRECTORY),
        ("link", Kind.SYMLINK),
        ("hard", Kind.HARDLINK),
    ]
    content = found["a.txt"].content
    assert content is not None
    assert (content.read(10), found["a.txt"].mode, found["a.txt"].uid) == (b"hello", 0o640, 1000)
    assert (found["link"].target, found["hard"].target) == ("/etc/passwd", "a.txt")


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([member("/etc/passwd")], "'/etc/passwd', which is absolute"),
        ([member("a/../../b")], "'a/../../b', which goes up"),
        ([member("..")], "which goes up"),
        ([member("a", type=tarfile.LNKTYPE, linkname="../b")], "'../b', which goes up"),
        ([member("a", type=tarfile.CHRTYPE)], "'a' is a character device"),
        ([member("a", type=tarfile.BLKTYPE)], "'a' is a block device"),
        ([member("a", type=tarfile.FIFOTYPE)], "'a' is a FIFO"),
        ([member("a", type=b"S")], "sparse"),
        ([member("a", pax_headers={"GNU.sparse.major": "1"})], "sparse"),
        ([member("a", type=b"V")], "of the unknown type b'V'"),
        ([member("a", type=tarfile.SYMTYPE)], "without a usable target"),
        ([member("a" * 300)], "too long"),
        ([member("a/" * 400)], "too long"),
        ([member("a", b"1" * 2000)[:512]], "cut off"),
        ([member("a", pax_headers={"comment": "x" * (2 << 20)})], "extension header of"),
        ([member("a", pax_headers={"path": "b"})[:1024]], "belongs to another one"),
        ([b"x" * 512], "wrong checksum"),
    ],
)
def test_an_unsafe_or_damaged_archive_is_refused(tmp_path: Path, parts: list[bytes], why: str) -> None:
    with pytest.raises(ArchiveError) as error:
        read(tmp_path / "x.tar", *parts)
    assert why in str(error.value)


def test_the_root_is_an_entry_like_any_other_directory(tmp_path: Path) -> None:
    names = ("/", "./", ".")
    found = read(tmp_path / "x.tar", *(member(name, type=tarfile.DIRTYPE) for name in names))
    assert [(entry.path, entry.kind) for entry in found] == [("", Kind.DIRECTORY)] * 3


def test_a_size_below_zero_is_refused(tmp_path: Path) -> None:
    header = bytearray(member("a"))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header[:512]):06o}\0 ".encode()
    with pytest.raises(ArchiveError, match="below zero"):
        read(tmp_path / "x.tar", bytes(header))


def test_a_size_beyond_the_field_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.size = 1 << 40
    with pytest.raises(ArchiveError, match="1,099,511,627,776 bytes"):
        read(tmp_path / "x.tar", info.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(entries=2), "more than 2 entries"),
        (Limits(size=5), "more than 5 bytes"),
        (Limits(names=2), "more than 2 characters"),
    ],
)
def test_an_archive_over_a_limit_is_refused(tmp_path: Path, limits: Limits, why: str) -> None:
    with pytest.raises(ArchiveError) as error:
        read(tmp_path / "x.tar", member("a", b"123"), member("b", b"123"), member("c"), limits=limits)
    assert why in str(error.value)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="not UTF-8"):
        read(tmp_path / "x.tar", tarfile.TarInfo("\udcff").tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    ("kind", "compress"), [("tar", bytes), ("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)]
)
def test_an_archive_is_known_by_its_content_and_decompressed(tmp_path: Path, kind: str, compress: Compress) -> None:
    data = member("a", b"hello") + bytes(1024)
    path = tmp_path / "x"
    path.write_bytes(compress(data))
    assert compression(path) == kind
    unpacked = plain(path, tmp_path / "scratch", Limits())
    assert unpacked.read_bytes() == data
    assert (unpacked == path) == (kind == "tar")


def test_gzip_of_several_members_is_read_whole(tmp_path: Path) -> None:
    data = member("a", b"hello") + bytes(1024)
    (tmp_path / "x").write_bytes(gzip.compress(data[:600]) + gzip.compress(data[600:]))
    assert plain(tmp_path / "x", tmp_path / "scratch", Limits()).read_bytes() == data


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compression_is_refused(tmp_path: Path, compress: Compress) -> None:
    whole: bytes = compress(random.Random(1).randbytes(20_000))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for number, data in enumerate((whole[: len(whole) // 2], bytes(damaged))):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(ArchiveError, match="damaged"):
            plain(tmp_path / "x", tmp_path / f"scratch-{number}", Limits())


@pytest.mark.parametrize(
    ("data", "why"), [(b"", "neither a tar"), (b"PK\3\4", "neither a tar"), (b"\x28\xb5\x2f\xfd" + bytes(9), "zstd")]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ArchiveError, match=why):
        plain(tmp_path / "x", tmp_path / "scratch", Limits())


def test_a_bomb_is_stopped_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(ArchiveError, match="more than 2,000,000 bytes"):
        plain(tmp_path / "x", tmp_path / "scratch", Limits(size=2_000_000))
    assert (tmp_path / "scratch").stat().st_size <= 2_000_000


def test_decompression_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(ArchiveError, match="stopped"):
        plain(tmp_path / "x", tmp_path / "scratch", Limits(), stop=lambda: True)


NAMES = st.text("ab./é\0", max_size=12) | st.sampled_from(["a", "a/b", "..", "/a", "a" * 300, "a/" * 200])


def make_member(name: str, data: bytes, kind: bytes, link: str, form: Literal[1, 2]) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info.tobuf(form, "utf-8") + data + bytes(-len(data) % 512)


MEMBERS = st.builds(
    make_member,
    NAMES,
    st.binary(max_size=20),
    st.sampled_from([bytes([code]) for code in b"\x000123456789ASLKxgV"]),
    NAMES,
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(MEMBERS, max_size=5), st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=4), st.data()
)
def test_any_bytes_are_an_archive_or_an_archive_error(
    tmp_path: Path, members: list[bytes], changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    content = bytearray(b"".join(members))
    for position, value in changes:
        if position < len(content):
            content[position] = value
    cut = data.draw(st.integers(0, len(content)))
    path = tmp_path / "x.tar"
    path.write_bytes(content[:cut])
    try:
        found = list(entries(path, Limits(entries=10, size=10_000)))
    except ArchiveError:
        return
    for entry in found:
        assert not entry.path.startswith("/")
        assert ".." not in entry.path.split("/")
        assert entry.content is None or entry.content.offset + entry.content.size <= cut


@pytest.mark.parametrize("name", [".", "./", "/"])
def test_the_root_may_be_a_member(tmp_path: Path, name: str) -> None:
    found = read(tmp_path / "x.tar", member(name, type=tarfile.DIRTYPE), member("a", b"1"))
    assert [(entry.path, entry.kind) for entry in found] == [("", Kind.DIRECTORY), ("a", Kind.FILE)]
