"""Layers of an image, written so that the same files always make the same bytes: sorted, one time, one owner.

A layer is a pax tar archive in a gzip container of stored blocks: a model's weights do not compress, storing is ten
times as fast, and what a compressor writes differs between versions of zlib.
"""

from __future__ import annotations

import hashlib
import struct
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Kind
from windtunnel_emulators.images.errors import ArchiveError
from windtunnel_emulators.images.slices import never
from windtunnel_emulators.images.tree import WHITEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from windtunnel_emulators.images.tree import Node

LAYER_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_BLOCK = 512

# RFC 1952: magic, deflate, no flags, no time, no hints, unknown operating system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# RFC 1951, 3.2.4: the longest stored block.
_LONGEST_STORED = 65_535

_TYPES = {Kind.FILE: tarfile.REGTYPE, Kind.DIRECTORY: tarfile.DIRTYPE, Kind.SYMLINK: tarfile.SYMTYPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer's file and what a manifest and a configuration say of it."""

    file: Path
    digest: str
    size: int
    diff_id: str
    """Digest of the uncompressed archive."""


def write_layer(
    nodes: Iterable[tuple[str, Node]],
    file: Path,
    *,
    time: int,
    removed: Iterable[str] = (),
    stop: Callable[[], bool] = never,
) -> Layer:
    """Write a layer that adds ``nodes`` and hides ``removed`` paths of lower ones. Raises ``ArchiveError``."""
    added = dict(nodes)
    for path in added:
        if path.rpartition("/")[2].startswith(WHITEOUT):
            raise ArchiveError(f"{path!r} cannot be in an image: in a layer, such a name hides another file")
    members = sorted({**added, **dict.fromkeys(map(_whiteout, removed))}.items())
    outer, inner = hashlib.sha256(), hashlib.sha256()
    size = length = checksum = 0
    with file.open("xb") as target:

        def keep(data: bytes) -> None:
            nonlocal size
            outer.update(data)
            size += len(data)
            target.write(data)

        def write(data: bytes) -> None:
            nonlocal length, checksum
            inner.update(data)
            length += len(data)
            checksum = zlib.crc32(data, checksum)
            for start in range(0, len(data), _LONGEST_STORED):
                keep(_stored(data[start : start + _LONGEST_STORED], last=False))

        keep(_GZIP_HEADER)
        for path, node in members:
            write(_header(path, node, time))
            if node is not None and node.content is not None:
                node.content.copy(write, stop=stop)
                write(bytes(-node.content.size % _BLOCK))
        write(bytes(2 * _BLOCK))
        keep(_stored(b"", last=True) + struct.pack("<II", checksum, length & 0xFFFFFFFF))
    return Layer(file=file, digest=f"sha256:{outer.hexdigest()}", size=size, diff_id=f"sha256:{inner.hexdigest()}")


def _stored(data: bytes, *, last: bool) -> bytes:
    return struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data


def _whiteout(path: str) -> str:
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}{WHITEOUT}{name}"


def _header(path: str, node: Node | None, time: int) -> bytes:
    """Of a whiteout when there is no node: an empty file."""
    info = tarfile.TarInfo(path)
    info.mtime = time
    if node is not None:
        info.type = _TYPES[node.kind]
        info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
        info.size = node.content.size if node.content else 0
        info.linkname = node.target or ""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
