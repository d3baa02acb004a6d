"""Layers of an image, written so that the same files always make the same bytes: sorted, one time, one owner.

A layer is a pax tar archive, compressed with gzip; what does not compress (a model's weights) is stored in it as it
is, which is ten times as fast.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.images.archive import Kind
from windtunnel_emulators.images.slices import never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from windtunnel_emulators.images.slices import Slice
    from windtunnel_emulators.images.tree import Node

LAYER_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_BLOCK = 512
_GZIP = 31  # zlib's way to ask for a gzip header (without a time) and trailer
_FAST = 1
_STORED = 0
_SAMPLE = 64 << 10
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
    members = sorted({**dict(nodes), **dict.fromkeys(map(_whiteout, removed))}.items())
    level = _level(node.content for _, node in members if node is not None and node.content is not None)
    compressor = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    outer, inner = hashlib.sha256(), hashlib.sha256()
    size = 0
    with file.open("xb") as target:

        def keep(data: bytes) -> None:
            nonlocal size
            outer.update(data)
            size += len(data)
            target.write(data)

        def write(data: bytes) -> None:
            inner.update(data)
            keep(compressor.compress(data))

        for path, node in members:
            write(_header(path, node, time))
            if node is not None and node.content is not None:
                node.content.copy(write, stop=stop)
                write(bytes(-node.content.size % _BLOCK))
        write(bytes(2 * _BLOCK))
        keep(compressor.flush())
    return Layer(file=file, digest=f"sha256:{outer.hexdigest()}", size=size, diff_id=f"sha256:{inner.hexdigest()}")


def _whiteout(path: str) -> str:
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}.wh.{name}"


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


def _level(contents: Iterable[Slice]) -> int:
    """Not to compress where a sample of the largest file is not worth it; the same content gives the same answer."""
    largest = max(contents, key=lambda content: content.size, default=None)
    if largest is None or largest.size < _SAMPLE:
        return _FAST
    with largest.file.open("rb") as source:
        source.seek(largest.offset + (largest.size - _SAMPLE) // 2)
        sample = source.read(_SAMPLE)
    return _STORED if len(zlib.compress(sample, _FAST)) > 0.9 * len(sample) else _FAST
