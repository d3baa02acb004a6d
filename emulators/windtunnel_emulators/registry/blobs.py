"""All registries' blobs: shared files, and the links that put them into repositories.

A blob that no repository links, and a link that no manifest needs, live on for a grace time after they were last pushed
or asked for, so that a push in progress never loses its layers to a deletion elsewhere. Methods run on the event loop's
thread; between ``with writing()`` nothing is swept, so that a thread may write files meanwhile.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from windtunnel_emulators.registry.blobfiles import BlobFiles
from windtunnel_emulators.registry.digests import Descriptor
from windtunnel_emulators.registry.errors import blob_unknown
from windtunnel_emulators.registry.names import check_repository
from windtunnel_emulators.registry.rows import integer, real, text

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.store import Store

GRACE_S = 3600.0


class Blobs:
    """Blobs of all registries, and which repository has which."""

    def __init__(self, store: Store, folder: Path, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._writers = 0
        self.files = BlobFiles(folder)

    @contextmanager
    def writing(self) -> Generator[None]:
        """Hold sweeps back while a thread writes files that are not recorded yet."""
        self._writers += 1
        try:
            yield
        finally:
            self._writers -= 1

    def record(self, kept: Descriptor) -> Descriptor:
        """Take note of a blob that ``files`` keeps."""
        self._store.execute(
            "INSERT INTO registry_blobs VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET touched = excluded.touched",
            (kept.digest, kept.size, self._now()),
        )
        return kept

    def path(self, digest: str) -> Path | None:
        """The file of a blob that any registry holds."""
        return self.files.path(digest) if self._is_kept(digest) else None

    def link(self, registry: str, repository: str, digest: str) -> None:
        """Put a blob into a repository. Raises NAME_INVALID, and BLOB_UNKNOWN when no registry holds it."""
        check_repository(repository)
        if not self._is_kept(digest):
            raise blob_unknown(digest)
        self._store.execute(
            "INSERT INTO registry_links VALUES (?, ?, ?, ?)"
            " ON CONFLICT (registry, repository, digest) DO UPDATE SET touched = excluded.touched",
            (registry, repository, digest, self._now()),
        )

    def find(self, registry: str, repository: str, digest: str, *, touch: bool = False) -> Descriptor | None:
        """A blob of the repository. ``touch`` keeps an unused one for a while: a push may rely on the answer."""
        row = self._store.row(
            "SELECT b.size, l.touched FROM registry_links l JOIN registry_blobs b ON b.digest = l.digest"
            " WHERE l.registry = ? AND l.repository = ? AND l.digest = ?",
            (registry, repository, digest),
        )
        if row is None:
            return None
        size, touched = row
        # Once in a quarter of the grace time is enough, and saves a durable write on most requests.
        if touch and self._now() - real(touched) > GRACE_S / 4:
            self.link(registry, repository, digest)
        return Descriptor(digest=digest, size=integer(size))

    def repositories_with(self, registry: str, digest: str) -> list[str]:
        """The repositories of a registry that the blob is in."""
        rows = self._store.rows(
            "SELECT repository FROM registry_links WHERE digest = ? AND registry = ? ORDER BY repository",
            (digest, registry),
        )
        return [text(name) for (name,) in rows]

    def unlink(self, registry: str, repository: str, digest: str) -> None:
        """Take a blob out of a repository. Raises ``RegistryError`` BLOB_UNKNOWN."""
        deleted = self._store.execute(
            "DELETE FROM registry_links WHERE registry = ? AND repository = ? AND digest = ?",
            (registry, repository, digest),
        )
        if not deleted:
            raise blob_unknown(digest)
        self.sweep()

    def sweep(self) -> None:
        """Remove links that no manifest needs and blobs that no repository links, both after the grace time."""
        if self._writers:
            return
        old = self._now() - GRACE_S
        self._store.execute(
            "DELETE FROM registry_links WHERE touched < ? AND NOT EXISTS (SELECT 1 FROM registry_needs n WHERE"
            " n.registry = registry_links.registry AND n.repository = registry_links.repository"
            " AND n.digest = registry_links.digest)",
            (old,),
        )
        rows = self._store.rows(
            "SELECT digest FROM registry_blobs WHERE touched < ?"
            " AND NOT EXISTS (SELECT 1 FROM registry_links l WHERE l.digest = registry_blobs.digest)",
            (old,),
        )
        # The rows go first: a file without a row is removed at the next start, a row without its file would be a lie.
        with self._store.transaction():
            for (digest,) in rows:
                self._store.execute("DELETE FROM registry_blobs WHERE digest = ?", (digest,))
        for (digest,) in rows:
            self.files.remove(text(digest))

    def reconcile(self) -> None:
        """Bring the files in line with the store at a start: what was never acknowledged is removed."""
        self.files.discard_drafts()
        known = {text(digest) for (digest,) in self._store.rows("SELECT digest FROM registry_blobs")}
        for digest in [found for found in self.files.all() if found not in known]:
            self.files.remove(digest)
        self.sweep()

    def _is_kept(self, digest: str) -> bool:
        return self._store.row("SELECT 1 FROM registry_blobs WHERE digest = ?", (digest,)) is not None

    def _now(self) -> float:
        return self._clock.now().timestamp()
