"""Blob uploads in progress: resumable, one writer at a time, a chunk counts whole or not at all.

An upload is a row, which says how many bytes were acknowledged, and a file, which may hold more after a chunk that
broke off: that is cut away before the next one. Both outlive a restart; what nobody finishes is removed after a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.registry.digests import algorithm_of, check_algorithm, check_digest
from windtunnel_emulators.registry.errors import RegistryError, digest_invalid, size_invalid, upload_unknown
from windtunnel_emulators.registry.names import check_repository
from windtunnel_emulators.registry.rows import integer, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.registry.digests import Descriptor

LIFETIME_S = 24 * 3600.0
# Azure's limit for one layer (its documentation, "Service tiers": maximum image layer size).
LARGEST_BLOB = 200 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload, as far as it was acknowledged."""

    id: str
    registry: str
    repository: str
    size: int


class _Hash(Protocol):
    @property
    def name(self) -> str: ...
    def update(self, data: bytes, /) -> None: ...
    def copy(self) -> _Hash: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Digesting:
    """The running digest of what was acknowledged, kept so that a finished upload need not be read again."""

    value: _Hash
    size: int


class Uploads:
    """All registries' uploads. Refusals are ``RegistryError``."""

    def __init__(self, content: Content, *, largest: int = LARGEST_BLOB) -> None:
        self._content = content
        self._store = content.store
        self._folder = content.folder / "uploads"
        self._largest = largest
        self._digesting: dict[str, _Digesting] = {}
        self._written: set[str] = set()

    def start(self, registry: str, repository: str, *, algorithm: str = "sha256") -> Upload:
        """Begin an upload. ``algorithm`` is what its digest will probably be of."""
        check_repository(repository)
        value = hashlib.new(check_algorithm(algorithm))
        upload = Upload(id=str(uuid.uuid4()), registry=registry, repository=repository, size=0)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path(upload.id).touch()
        self._store.execute(
            "INSERT INTO registry_uploads VALUES (?, ?, ?, ?, 0)",
            (upload.id, registry, repository, self._content.clock.now().timestamp()),
        )
        self._digesting[upload.id] = _Digesting(value=value, size=0)
        return upload

    def get(self, registry: str, repository: str, id: str) -> Upload:
        """Raises BLOB_UPLOAD_UNKNOWN for one that never was, is over, or belongs to another repository."""
        row = self._store.row(
            "SELECT size FROM registry_uploads WHERE id = ? AND registry = ? AND repository = ?",
            (id, registry, repository),
        )
        if row is None or not self._path(id).exists():
            raise upload_unknown(id)
        return Upload(id=id, registry=registry, repository=repository, size=integer(row[0]))

    async def append(self, upload: Upload, pieces: AsyncIterator[bytes], *, length: int | None = None) -> Upload:
        """Add a chunk, durably. ``length`` is what the client said it has.

        Raises SIZE_INVALID for a blob over the limit or a chunk of another length; what ``pieces`` raises goes through.
        """
        if upload.size + (length or 0) > self._largest:
            raise self._too_large()
        with self._alone(upload):
            before = self._digesting.pop(upload.id, None)
            value = before.value.copy() if before is not None and before.size == upload.size else None
            size = upload.size
            with self._path(upload.id).open("r+b") as file:
                file.truncate(upload.size)
                file.seek(upload.size)
                async for piece in pieces:
                    size += len(piece)
                    if size > self._largest:
                        raise self._too_large()
                    file.write(piece)
                    if value is not None:
                        value.update(piece)
                if length is not None and size - upload.size != length:
                    raise RegistryError(
                        400, "SIZE_INVALID", f"the chunk has {size - upload.size} bytes, its headers say {length}"
                    )
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            if not self._store.execute("UPDATE registry_uploads SET size = ? WHERE id = ?", (size, upload.id)):
                raise upload_unknown(upload.id)
            if value is not None:
                self._digesting[upload.id] = _Digesting(value=value, size=size)
        return Upload(id=upload.id, registry=upload.registry, repository=upload.repository, size=size)

    async def finish(self, upload: Upload, digest: str) -> Descriptor:
        """Make a blob of the repository of it. Raises DIGEST_INVALID when it has another digest; it is then over."""
        check_digest(digest)
        files = self._content.blobs.files
        path = self._path(upload.id)
        with self._alone(upload), self._content.blobs.writing():
            running = self._digesting.pop(upload.id, None)
            with path.open("r+b") as file:
                file.truncate(upload.size)
            try:
                if running is not None and running.size == upload.size and running.value.name == algorithm_of(digest):
                    _compare(digest, f"{running.value.name}:{running.value.hexdigest()}")
                else:
                    await asyncio.to_thread(files.verify, path, digest)
            except RegistryError:
                self._forget(upload.id)
                raise
            kept = await asyncio.to_thread(lambda: files.keep_file(path, digest=digest))
            with self._store.transaction():
                if not self._store.execute("DELETE FROM registry_uploads WHERE id = ?", (upload.id,)):
                    raise upload_unknown(upload.id)
                self._content.blobs.record(kept)
                self._content.link(upload.registry, upload.repository, digest)
        return kept

    def cancel(self, upload: Upload) -> None:
        """End an upload without a blob."""
        with self._alone(upload):
            self._forget(upload.id)

    def discard(self, id: str) -> None:
        """Remove an upload that broke off, if it is there; the one who writes to it calls this."""
        self._forget(id)

    def expire(self) -> None:
        """Remove uploads that nobody finished in a day, and files that belong to none."""
        old = self._content.clock.now().timestamp() - LIFETIME_S
        for (id,) in self._store.rows("SELECT id FROM registry_uploads WHERE started < ?", (old,)):
            if id not in self._written:
                self._forget(text(id))
        known = {id for (id,) in self._store.rows("SELECT id FROM registry_uploads")}
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            if path.name not in known and path.name not in self._written:
                path.unlink(missing_ok=True)

    def _forget(self, id: str) -> None:
        self._digesting.pop(id, None)
        self._store.execute("DELETE FROM registry_uploads WHERE id = ?", (id,))
        self._path(id).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self, upload: Upload) -> Generator[None]:
        """Refuse a second request on an upload while one is at work."""
        if upload.id in self._written:
            raise RegistryError(
                409, "BLOB_UPLOAD_INVALID", "another request is writing to this upload", detail={"upload": upload.id}
            )
        # Another request may have come between the reading of the upload and this one.
        if self.get(upload.registry, upload.repository, upload.id).size != upload.size:
            raise RegistryError(
                409, "BLOB_UPLOAD_INVALID", "another request has written to this upload", detail={"upload": upload.id}
            )
        self._written.add(upload.id)
        try:
            yield
        finally:
            self._written.discard(upload.id)

    def _path(self, id: str) -> Path:
        """``id`` is one that has a row: made here, so that the path stays in the folder."""
        return self._folder / id

    def _too_large(self) -> RegistryError:
        return size_invalid(f"the blob is larger than {self._largest} bytes, the most that a registry takes")


def _compare(wanted: str, found: str) -> None:
    if found != wanted:
        raise digest_invalid(wanted, f"provided digest did not match uploaded content, which has {found}")
