"""Tar archives, read with suspicion: build contexts, layers, and archives within them.

The standard library's reader is not used on what strangers send: in Python versions that are supported here it loops
for ever on a negative size and holds headers of any length in memory. Nothing is extracted; an archive is a list of
entries that say where in the file their content lies. Format: POSIX.1-2017 pax, and GNU tar's long names.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING

from windtunnel_emulators.images.errors import ArchiveError
from windtunnel_emulators.images.slices import Slice, never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BLOCK = 512
_CHUNK = 1 << 20
_LARGEST_HEADER = 1 << 20
_GIB = 1 << 30

# Above this size, content that grew more than so many times is taken for a bomb; deflate can reach 1,032.
_SUSPICIOUS_SIZE = 256 << 20
_SUSPICIOUS_GROWTH = 200


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold at most."""

    entries: int = 200_000
    size: int = 32 * _GIB
    names: int = 64 << 20
    """Characters of all paths and link targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member. ``path`` is clean: relative, without ``.`` and ``..``; "" is the root."""

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    content: Slice | None = None
    """Of a file."""
    target: str | None = None
    """Of a link: as written for a symbolic one, clean for a hard one."""


def compression(archive: Path) -> str | None:
    """``tar``, ``gzip``, ``bzip2``, ``xz`` or ``zstd`` by its first bytes; None when it is no archive."""
    with archive.open("rb") as file:
        head = file.read(_BLOCK)
    for name, magic in (("gzip", b"\x1f\x8b"), ("bzip2", b"BZh"), ("xz", b"\xfd7zXZ\0"), ("zstd", b"\x28\xb5\x2f\xfd")):
        if head.startswith(magic):
            return name
    return "tar" if len(head) == _BLOCK and (head == bytes(_BLOCK) or _checksum_holds(head)) else None


def plain(archive: Path, scratch: Path, limits: Limits, *, stop: Callable[[], bool] = never) -> Path:
    """The uncompressed archive: ``archive`` itself, or what is written to ``scratch``. Raises ``ArchiveError``."""
    kind = compression(archive)
    if kind == "tar":
        return archive
    limit = min(limits.size, max(_SUSPICIOUS_SIZE, _SUSPICIOUS_GROWTH * archive.stat().st_size))
    total = 0
    try:
        with _open(kind, archive) as source, scratch.open("xb") as target:
            while chunk := source.read(_CHUNK):
                total += len(chunk)
                if total > limit:
                    raise ArchiveError(f"the archive unpacks to more than {limit:,} bytes, which is the limit for it")
                if stop():
                    raise ArchiveError("reading the archive was stopped")
                target.write(chunk)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"the {kind} data of the archive is damaged: {error}") from error
    except OSError as error:
        # bz2 reports damage as a bare OSError; every real one has a number.
        if error.errno is not None:
            raise
        raise ArchiveError(f"the {kind} data of the archive is damaged: {error}") from error
    return scratch


def _open(kind: str | None, archive: Path) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    match kind:
        case "gzip":
            return gzip.GzipFile(archive)
        case "bzip2":
            return bz2.BZ2File(archive)
        case "xz":
            return lzma.LZMAFile(archive)
        case "zstd":
            raise ArchiveError("the archive is compressed with zstd; tar, tar.gz, tar.bz2 and tar.xz are read")
        case _:
            raise ArchiveError("the archive is neither a tar file nor a compressed one (tar.gz, tar.bz2, tar.xz)")


def entries(tar: Path, limits: Limits) -> Iterator[Entry]:
    """The members of an uncompressed archive, in order. Raises ``ArchiveError``."""
    length = tar.stat().st_size
    position = total = count = names = 0
    extra: dict[str, str] = {}
    with tar.open("rb") as file:
        while True:
            file.seek(position)
            header = file.read(_BLOCK)
            if not header.strip(b"\0"):
                # The end: a block of zeros; or the file's end, as old writers leave it.
                if extra:
                    raise ArchiveError("the archive ends after a header that belongs to another one")
                return
            if len(header) < _BLOCK:
                raise ArchiveError("the archive is cut off in a header")
            if not _checksum_holds(header):
                raise ArchiveError(f"the archive is damaged: the header at byte {position:,} has a wrong checksum")
            flag = header[156:157]
            size = _size(extra, header) if flag in b"\x000 7LKxgS" else 0
            content = Slice(tar, position + _BLOCK, size)
            position += _BLOCK + -(-size // _BLOCK) * _BLOCK
            if content.offset + size > length:
                raise ArchiveError(f"the archive is cut off: {_shown(header)} says that it has {size:,} bytes")
            if flag in b"LKxg":
                file.seek(content.offset)
                _read_extension(file, flag, size, extra)
                continue
            count += 1
            total += size
            if count > limits.entries:
                raise ArchiveError(f"the archive has more than {limits.entries:,} entries")
            if total > limits.size:
                raise ArchiveError(f"the archive holds more than {limits.size:,} bytes")
            entry = _entry(header, flag, content, extra)
            extra = {}
            names += len(entry.path) + len(entry.target or "")
            if names > limits.names:
                raise ArchiveError(f"the archive has paths of more than {limits.names:,} characters altogether")
            yield entry


def clean_path(raw: str, *, what: str = "the archive has the path") -> str:
    """The path without ``.`` and empty parts. Raises ``ArchiveError`` for one that is unsafe.

    ``/`` alone is the root of the archive, as ``.`` is: ``az acr build`` writes it.
    """
    if raw.startswith("/") and raw.strip("/"):
        raise ArchiveError(f"{what} {raw[:200]!r}, which is absolute")
    parts = [part for part in raw.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ArchiveError(f"{what} {raw[:200]!r}, which goes up with '..'")
    if "\0" in raw:
        raise ArchiveError(f"{what} {raw[:200]!r}, which has a NUL character")
    if len(raw.encode()) > 4095 or any(len(part.encode()) > 255 for part in parts) or len(parts) > 255:
        raise ArchiveError(f"{what} {raw[:80]!r}..., which is too long")
    return "/".join(parts)


def _entry(header: bytes, flag: bytes, content: Slice, extra: dict[str, str]) -> Entry:
    name = extra.get("path") or _name(header)
    if flag == b"S" or any(key.startswith("GNU.sparse.") for key in extra):
        raise ArchiveError(f"{name[:200]!r} is a sparse file, which is not read; pack it without --sparse")
    kind = _KINDS.get(flag)
    if kind is None:
        what = _SPECIAL.get(flag, f"of the unknown type {flag!r}")
        raise ArchiveError(f"{name[:200]!r} is {what}; files, directories and links are accepted")
    if kind is Kind.FILE and name.endswith("/"):
        kind = Kind.DIRECTORY  # as archives from before POSIX have them
    target = None
    if kind in {Kind.SYMLINK, Kind.HARDLINK}:
        target = extra.get("linkpath") or _text(header[157:257])
        if not target or "\0" in target or len(target.encode()) > 4095:
            raise ArchiveError(f"{name[:200]!r} is a link without a usable target")
        if kind is Kind.HARDLINK:
            target = clean_path(target)
    return Entry(
        path=clean_path(name),
        kind=kind,
        mode=_number(header[100:108]) & 0o7777,
        uid=_number(header[108:116]) & 0x7FFFFFFF,
        gid=_number(header[116:124]) & 0x7FFFFFFF,
        content=content if kind is Kind.FILE else None,
        target=target,
    )


_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"5": Kind.DIRECTORY,
}
_SPECIAL = {b"3": "a character device", b"4": "a block device", b"6": "a FIFO"}


def _name(header: bytes) -> str:
    name = _text(header[0:100])
    # GNU tar's own format has other things where POSIX has the prefix.
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _read_extension(file: IO[bytes], flag: bytes, size: int, extra: dict[str, str]) -> None:
    """Add what an extension header says to ``extra``, which is for the next entry."""
    if size > _LARGEST_HEADER:
        raise ArchiveError(
            f"the archive has an extension header of {size:,} bytes; at most {_LARGEST_HEADER:,} are read"
        )
    data = file.read(size)
    if flag == b"L":
        extra["path"] = _text(data)
    elif flag == b"K":
        extra["linkpath"] = _text(data)
    elif flag == b"x":
        extra.update(_records(data))
    # A global header ("g") holds a comment in practice: git archive's commit.


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """``<length> <key>=<value>\\n``, again and again."""
    position = 0
    while position < len(data):
        digits, _, _ = data[position : position + 20].partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0
        record = data[position : position + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if len(record) != length or not record.endswith(b"\n") or not equals:
            raise ArchiveError("the archive has an extension header that is damaged")
        position += length
        # Extended attributes are bytes of any kind, and not used here.
        if key in {b"path", b"linkpath", b"size"}:
            yield key.decode(), _text(value)
        elif key.startswith(b"GNU.sparse."):
            yield "GNU.sparse.", ""


def _size(extra: dict[str, str], header: bytes) -> int:
    given = extra.get("size")
    if given is None:
        return _number(header[124:136])
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise ArchiveError(f"the archive has the size {given[:40]!r}, which is no number")
    return int(given)


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form for what is larger."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value >= 1 << 63:
            raise ArchiveError("the archive has a header with a number below zero or beyond all bounds")
        return value
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise ArchiveError(f"the archive has a header with {field!r} where a number belongs")
    return int(digits, 8) if digits else 0


def _text(field: bytes) -> str:
    raw = field.partition(b"\0")[0]
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"the archive has the name {raw[:200]!r}, which is not UTF-8") from error


def _shown(header: bytes) -> str:
    return repr(header[0:100].partition(b"\0")[0].decode("utf-8", "replace"))


def _checksum_holds(header: bytes) -> bool:
    field = header[148:156].strip(b" \0")
    if not field or field.strip(b"01234567"):
        return False
    rest = header[:148] + b" " * 8 + header[156:]
    # Some old writers summed signed characters.
    signed = sum(byte - 256 if byte > 127 else byte for byte in rest)
    return int(field, 8) in {sum(rest), signed}
