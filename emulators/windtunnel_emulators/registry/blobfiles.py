"""The files of all registries' blobs: content-addressed, each whole and durable before anybody is told of it.

``{folder}/blobs/{algorithm}/{first two digits}/{digits}``; what is not whole yet lies in ``{folder}/incoming``.
May be used from any thread.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from windtunnel_emulators.registry.digests import Descriptor, check_digest, digest_of, digest_of_file
from windtunnel_emulators.registry.errors import digest_invalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BlobFiles:
    """Blobs as files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._incoming = folder / "incoming"

    def path(self, digest: str) -> Path:
        """Where the blob is, if it is there. ``digest`` is checked, so that the path stays in the folder."""
        algorithm, _, encoded = check_digest(digest).partition(":")
        return self._blobs / algorithm / encoded[:2] / encoded

    def keep_bytes(self, data: bytes, algorithm: str = "sha256") -> Descriptor:
        """Write a blob, durably."""
        digest = digest_of(data, algorithm)
        if not self.path(digest).exists():
            draft = self._draft()
            with draft.open("xb") as target:
                target.write(data)
                target.flush()
                os.fsync(target.fileno())
            self._settle(draft, digest)
        return Descriptor(digest=digest, size=len(data))

    def keep_copy(self, source: Path, algorithm: str = "sha256") -> Descriptor:
        """Copy a file in, durably; the file itself is left alone."""
        draft = self._draft()
        shutil.copyfile(source, draft)
        return self.keep_file(draft, algorithm=algorithm)

    def keep_file(self, source: Path, *, digest: str | None = None, algorithm: str = "sha256") -> Descriptor:
        """Move a file of the same file system in, durably.

        ``digest`` is what it is known to have; without one it is read and hashed.
        """
        digest = digest or digest_of_file(source, algorithm)
        size = source.stat().st_size
        if self.path(digest).exists():
            source.unlink()
            return Descriptor(digest=digest, size=size)
        handle = os.open(source, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        self._settle(source, digest)
        return Descriptor(digest=digest, size=size)

    def verify(self, source: Path, digest: str) -> None:
        """Raises ``RegistryError`` DIGEST_INVALID when the file has another digest."""
        found = digest_of_file(source, digest.partition(":")[0])
        if found != digest:
            raise digest_invalid(digest, f"provided digest did not match uploaded content, which has {found}")

    def remove(self, digest: str) -> None:
        """Does nothing when it is gone."""
        self.path(digest).unlink(missing_ok=True)

    def all(self) -> Iterator[str]:
        """The digests of all files; entries that are no blobs are skipped."""
        for algorithm in _folders(self._blobs):
            for shelf in _folders(algorithm):
                for file in shelf.iterdir():
                    if not file.name.startswith("."):
                        yield f"{algorithm.name}:{file.name}"

    def discard_drafts(self) -> None:
        """Remove what a predecessor left unfinished; only before the first blob comes in."""
        shutil.rmtree(self._incoming, ignore_errors=True)

    def _draft(self) -> Path:
        self._incoming.mkdir(parents=True, exist_ok=True)
        return self._incoming / secrets.token_hex(16)

    def _settle(self, draft: Path, digest: str) -> None:
        """Rename and make the rename durable: the folder itself must reach the disk too."""
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, target)
        for folder in (target.parent, target.parent.parent, self._blobs):
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    # Windows cannot open a folder; there NTFS journals the rename.
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
