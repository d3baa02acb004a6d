"""Containers and blobs: what is there in the store, the bytes in files, nothing acknowledged before it is durable.

The store's size of a blob is what holds: bytes beyond it are of a write that nobody was told of, and are overwritten.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.store import Store

_COMPONENT = "storage"
_MIGRATIONS = (
    """
    CREATE TABLE blob_containers (
        account TEXT NOT NULL, name TEXT NOT NULL, etag TEXT NOT NULL, modified TEXT NOT NULL, metadata TEXT NOT NULL,
        PRIMARY KEY (account, name)
    ) WITHOUT ROWID;
    CREATE TABLE blobs (
        account TEXT NOT NULL, container TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL,
        appends INTEGER NOT NULL, file TEXT NOT NULL, etag TEXT NOT NULL, created TEXT NOT NULL, modified TEXT NOT NULL,
        content_type TEXT NOT NULL, metadata TEXT NOT NULL,
        PRIMARY KEY (account, container, name)
    ) WITHOUT ROWID;
    """,
)
_COLUMNS = "kind, size, appends, file, etag, created, modified, content_type, metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container."""

    name: str
    etag: str
    modified: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob. ``file`` is below the folder of its account."""

    name: str
    kind: str
    """``BlockBlob`` or ``AppendBlob``."""
    size: int
    appends: int
    """Blocks that were appended."""
    file: str
    etag: str
    created: str
    modified: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class BlobContent:
    """All accounts'. Used on the event loop's thread; the methods that move bytes take a thread each."""

    def __init__(self, store: Store, folder: Path, clock: Clock) -> None:
        store.define(_COMPONENT, _MIGRATIONS)
        self._store = store
        self._folder = folder
        self._clock = clock

    def container(self, account: str, name: str) -> Container | None:
        row = self._store.row(
            "SELECT etag, modified, metadata FROM blob_containers WHERE account = ? AND name = ?", (account, name)
        )
        if row is None:
            return None
        return Container(name=name, etag=str(row[0]), modified=str(row[1]), metadata=json.loads(str(row[2])))

    def containers(self, account: str) -> list[Container]:
        rows = self._store.rows(
            "SELECT name, etag, modified, metadata FROM blob_containers WHERE account = ? ORDER BY name", (account,)
        )
        return [
            Container(name=str(r[0]), etag=str(r[1]), modified=str(r[2]), metadata=json.loads(str(r[3]))) for r in rows
        ]

    def add_container(self, account: str, name: str, metadata: Mapping[str, str]) -> Container:
        made = Container(name=name, etag=_etag(), modified=self._now(), metadata=metadata)
        self._store.execute(
            "INSERT INTO blob_containers VALUES (?, ?, ?, ?, ?)",
            (account, name, made.etag, made.modified, json.dumps(dict(metadata))),
        )
        return made

    def remove_container(self, account: str, name: str) -> list[str]:
        """The files that are nobody's any more."""
        with self._store.transaction():
            rows = self._store.rows("SELECT file FROM blobs WHERE account = ? AND container = ?", (account, name))
            self._store.execute("DELETE FROM blobs WHERE account = ? AND container = ?", (account, name))
            self._store.execute("DELETE FROM blob_containers WHERE account = ? AND name = ?", (account, name))
        return [str(row[0]) for row in rows]

    def drop_account(self, account: str) -> list[str]:
        """The files that are nobody's any more."""
        with self._store.transaction():
            rows = self._store.rows("SELECT file FROM blobs WHERE account = ?", (account,))
            self._store.execute("DELETE FROM blobs WHERE account = ?", (account,))
            self._store.execute("DELETE FROM blob_containers WHERE account = ?", (account,))
        return [str(row[0]) for row in rows]

    def drop_files(self, files: Iterable[str]) -> None:
        """Safe for those that are gone."""
        for file in files:
            self.path(file).unlink(missing_ok=True)

    def blob(self, account: str, container: str, name: str) -> Blob | None:
        row = self._store.row(
            f"SELECT {_COLUMNS} FROM blobs WHERE account = ? AND container = ? AND name = ?",  # noqa: S608
            (account, container, name),
        )
        return None if row is None else _blob(name, row)

    def blobs(self, account: str, container: str, prefix: str) -> list[Blob]:
        """By name, those whose name begins so."""
        rows = self._store.rows(
            f"SELECT name, {_COLUMNS} FROM blobs WHERE account = ? AND container = ? ORDER BY name",  # noqa: S608
            (account, container),
        )
        return [_blob(str(row[0]), row[1:]) for row in rows if str(row[0]).startswith(prefix)]

    def save(self, account: str, container: str, blob: Blob) -> Blob:
        """The blob as it is from now on, with a new etag."""
        saved = Blob(
            name=blob.name,
            kind=blob.kind,
            size=blob.size,
            appends=blob.appends,
            file=blob.file,
            etag=_etag(),
            created=blob.created or self._now(),
            modified=self._now(),
            content_type=blob.content_type,
            metadata=blob.metadata,
        )
        self._store.execute(
            "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                account, container, saved.name, saved.kind, saved.size, saved.appends, saved.file, saved.etag,
                saved.created, saved.modified, saved.content_type, json.dumps(dict(saved.metadata)),
            ),
        )  # fmt: skip
        return saved

    def remove(self, account: str, container: str, blob: Blob) -> None:
        self._store.execute(
            "DELETE FROM blobs WHERE account = ? AND container = ? AND name = ?", (account, container, blob.name)
        )

    def path(self, file: str) -> Path:
        """Where the bytes of a blob are."""
        return self._folder / file

    def new_file(self) -> str:
        """The name of a file that is not there yet; its folder is."""
        name = secrets.token_hex(16)
        (self._folder / name[:2]).mkdir(parents=True, exist_ok=True)
        return f"{name[:2]}/{name}"

    def block_file(self, account: str, container: str, name: str, block: str) -> str:
        """Where an uncommitted block is; the same for the same block."""
        key = hashlib.sha256(f"{account}/{container}/{name}".encode()).hexdigest()
        (self._folder / "blocks" / key).mkdir(parents=True, exist_ok=True)
        return f"blocks/{key}/{hashlib.sha256(block.encode()).hexdigest()}"

    def _now(self) -> str:
        return http_date(self._clock.now())


def write(path: Path, offset: int, data: bytes) -> None:
    """Bytes at an offset, durably; what was beyond it is gone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, offset)
        rest = memoryview(data)
        while rest:
            rest = rest[os.pwrite(descriptor, rest, offset + len(data) - len(rest)) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def http_date(moment: datetime) -> str:
    """As HTTP writes it."""
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


def _etag() -> str:
    return f'"0x8{secrets.token_hex(7).upper()}"'


def _blob(name: str, row: tuple[object, ...]) -> Blob:
    kind, size, appends, file, etag, created, modified, content_type, metadata = row
    return Blob(
        name=name,
        kind=str(kind),
        size=int(str(size)),
        appends=int(str(appends)),
        file=str(file),
        etag=str(etag),
        created=str(created),
        modified=str(modified),
        content_type=str(content_type),
        metadata=json.loads(str(metadata)),
    )
