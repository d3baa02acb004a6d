"""``Context``: the files of an image build, and the one archive that they make on any machine.

The same files give the same digest and the same bytes: entries are sorted, times and owners are zero, and the gzip
container holds stored blocks only, since the output of compressors differs between zlib versions (weights hardly
compress anyway). Contents come from memory or stream from disk, never both at once.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol, cast

from windtunnel.errors import InvalidSpec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BLOCK = 65_535
"""The longest stored block of deflate (RFC 1951, 3.2.4)."""
_CHUNK = 1 << 20


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of a context."""

    path: str
    """Inside the context, with forward slashes."""
    sha256: str
    size: int
    source: bytes | Path

    @classmethod
    def of_bytes(cls, path: str, data: bytes) -> Entry:
        """A file that is in memory."""
        return cls(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data), source=data)

    @classmethod
    def of_file(cls, path: str, source: Path, sha256: str | None = None) -> Entry:
        """A file on disk; ``sha256`` saves reading it when it is known already."""
        if sha256 is None:
            with source.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path=path, sha256=sha256, size=source.stat().st_size, source=source)


class Context:
    """An image build's files, of which one is the ``Dockerfile``."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(sorted(entries, key=lambda e: e.path))
        paths = [e.path for e in self.entries]
        if len(set(paths)) != len(paths):
            raise ValueError(f"two files at one path: {paths}")
        listing = "".join(f"{e.sha256} {e.size} {e.path}\n" for e in self.entries)
        self.digest = hashlib.sha256(listing.encode()).hexdigest()
        """Of paths and contents: what decides whether an image has to be built."""

    @property
    def size(self) -> int:
        """Of all contents, in bytes."""
        return sum(e.size for e in self.entries)

    def write(self, sink: Sink) -> None:
        """The archive (tar.gz). Raises ``InvalidSpec`` when a file on disk is not any more what it was."""
        stored = _StoredGzip(sink)
        # The stream mode of tarfile writes what it is given and never seeks.
        with tarfile.open(
            fileobj=cast("IO[bytes]", stored), mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK
        ) as archive:
            for entry in self.entries:
                header = tarfile.TarInfo(entry.path)
                header.size = entry.size
                header.mode = 0o644
                with _Checked(entry) as content:
                    archive.addfile(header, cast("IO[bytes]", content))  # pyright: ignore[reportUnknownMemberType]  # typeshed: TarFile
        stored.finish()

    def save(self, path: Path) -> None:
        """Write the archive to a file."""
        with path.open("wb") as file:
            self.write(file)


class _Checked(io.RawIOBase):
    """Reads an entry's content and, at the end, makes sure that it is what was promised."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self._entry = entry
        self._file = io.BytesIO(entry.source) if isinstance(entry.source, bytes) else entry.source.open("rb")
        self._hash = hashlib.sha256()
        self._left = entry.size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self._left -= len(data)
        if self._left == 0 and self._hash.hexdigest() != self._entry.sha256:
            raise InvalidSpec(
                f"{self._entry.path} changed while it was being packed", way_out="Deploy again when it is complete."
            )
        if len(data) < size and self._left > 0:
            raise InvalidSpec(
                f"{self._entry.path} became shorter while it was being packed",
                way_out="Deploy again when it is complete.",
            )
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


class _StoredGzip:
    """A gzip stream of stored blocks: the same bytes whatever zlib is installed."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._crc = 0
        self._size = 0
        # RFC 1952: magic, deflate, no flags, no time, no hints, unknown operating system.
        sink.write(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")

    def write(self, data: bytes) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        for start in range(0, len(data), _BLOCK):
            self._block(data[start : start + _BLOCK], last=False)
        return len(data)

    def finish(self) -> None:
        self._block(b"", last=True)
        self._sink.write(struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _block(self, data: bytes, *, last: bool) -> None:
        self._sink.write(struct.pack("<BHH", int(last), len(data), len(data) ^ 0xFFFF))
        self._sink.write(data)
