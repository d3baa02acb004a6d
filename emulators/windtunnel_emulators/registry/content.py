"""What the registries hold: per repository blobs, manifests and tags. The data of Azure Container Registry.

``registry`` is the registry's ARM id in lower case. Everything that a method has returned from is durable. Methods run
on the event loop's thread, where the store is written; ``store_blob`` does the long work on a file in a thread.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.registry.attributes import ALL, DELETE, LIST, READ, WRITE
from windtunnel_emulators.registry.blobs import Blobs
from windtunnel_emulators.registry.digests import Descriptor, algorithm_of, check_digest, digest_of
from windtunnel_emulators.registry.errors import (
    digest_invalid,
    disallowed,
    manifest_blob_unknown,
    manifest_unknown,
    name_unknown,
)
from windtunnel_emulators.registry.manifests import Contents, parse_manifest
from windtunnel_emulators.registry.names import check_repository, check_tag
from windtunnel_emulators.registry.rows import data, integer, text
from windtunnel_emulators.registry.schema import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

_LARGEST_CONFIG = 4 << 20
_HERE = "WHERE registry = ? AND repository = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest as it was pushed, byte by byte."""

    digest: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """A manifest that is about another one."""

    digest: str
    media_type: str
    size: int
    artifact_type: str
    annotations: JsonObject


class Content:
    """All registries' content. Refusals are ``RegistryError``."""

    def __init__(self, store: Store, folder: Path, *, clock: Clock | None = None) -> None:
        store.define("registry", MIGRATIONS)
        self.store = store
        self.clock = clock or RealClock()
        self.folder = folder
        self.blobs = Blobs(store, folder, self.clock)

    def blob_path(self, digest: str) -> Path | None:
        """The file of a blob that any registry holds."""
        return self.blobs.path(digest)

    def add_blob(self, source: bytes | Path) -> Descriptor:
        """Keep a blob; a file is copied. It is in no repository until it is linked to one."""
        files = self.blobs.files
        return self.blobs.record(files.keep_copy(source) if isinstance(source, Path) else files.keep_bytes(source))

    async def store_blob(self, source: bytes | Path) -> Descriptor:
        """``add_blob`` for what is large: files are read and written in a thread."""
        files = self.blobs.files
        with self.blobs.writing():
            if isinstance(source, Path):
                return self.blobs.record(await asyncio.to_thread(files.keep_copy, source))
            return self.blobs.record(await asyncio.to_thread(files.keep_bytes, source))

    def link(self, registry: str, repository: str, digest: str) -> None:
        """Put a blob into a repository. Raises NAME_INVALID, and BLOB_UNKNOWN when no registry holds it."""
        self.blobs.link(registry, repository, digest)

    def has(self, registry: str, repository: str, digest: str) -> bool:
        """Whether the blob is in the repository."""
        return self.blobs.find(registry, repository, digest) is not None

    def delete_blob(self, registry: str, repository: str, digest: str) -> None:
        """Take a blob out of a repository. Raises BLOB_UNKNOWN, DENIED."""
        self.check(registry, repository, DELETE)
        self.blobs.unlink(registry, repository, digest)

    def put_manifest(
        self,
        registry: str,
        repository: str,
        reference: str | None,
        media_type: str,
        body: bytes,
        *,
        tags: Sequence[str] = (),
    ) -> str:
        """Keep a manifest and return its digest. ``reference`` is a tag, the digest itself, or None for neither.

        Raises NAME_INVALID, TAG_INVALID, DIGEST_INVALID, MANIFEST_INVALID, SIZE_INVALID, MANIFEST_BLOB_UNKNOWN for
        what it needs and the repository does not have, DENIED for what is locked.
        """
        check_repository(repository)
        digest, names = _named(reference, body, tags)
        contents = parse_manifest(body, media_type)
        self._check_needs(registry, repository, contents)
        self.check(registry, repository, WRITE, digest=digest, tags=names)
        architecture, system = self._platform(contents)
        now = self._time()
        key = (registry, repository, digest)
        with self.store.transaction():
            self.store.execute(
                "INSERT INTO registry_repositories VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (registry, name) DO UPDATE SET updated = excluded.updated",
                (registry, repository, now, now, ALL),
            )
            self.store.execute(
                "INSERT INTO registry_manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (registry, repository, digest)"
                " DO UPDATE SET updated = excluded.updated, media_type = excluded.media_type",
                (
                    *key,
                    contents.media_type,
                    body,
                    contents.subject,
                    contents.artifact_type,
                    msgspec.json.encode(contents.annotations).decode(),
                    contents.config_media_type,
                    architecture,
                    system,
                    contents.size,
                    now,
                    now,
                    ALL,
                ),
            )
            for need in (*contents.blobs, *contents.manifests):
                self.store.execute("INSERT OR IGNORE INTO registry_needs VALUES (?, ?, ?, ?)", (*key, need))
            for tag in names:
                self.store.execute(
                    "INSERT INTO registry_tags VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (registry, repository, tag)"
                    " DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
                    (registry, repository, tag, digest, now, now, ALL),
                )
        return digest

    def manifest(self, registry: str, repository: str, reference: str) -> Manifest | None:
        """A manifest by tag or digest; None when it is not there. Raises DENIED when reading it is locked."""
        digest = self.resolve(registry, repository, reference)
        if digest is None:
            return None
        row = self.store.row(
            f"SELECT media_type, body FROM registry_manifests {_HERE} AND digest = ?",  # noqa: S608
            (registry, repository, digest),
        )
        if row is None:
            return None
        self.check(registry, repository, READ, digest=digest, tags=() if ":" in reference else (reference,))
        return Manifest(digest=digest, media_type=text(row[0]), body=data(row[1]))

    def resolve(self, registry: str, repository: str, reference: str) -> str | None:
        """The digest that a tag stands for, or the digest itself when such a manifest is there."""
        table, column = ("registry_manifests", "digest") if ":" in reference else ("registry_tags", "tag")
        row = self.store.row(
            f"SELECT digest FROM {table} {_HERE} AND {column} = ?",  # noqa: S608
            (registry, repository, reference),
        )
        return None if row is None else text(row[0])

    def tags(self, registry: str, repository: str, *, last: str = "", limit: int = -1) -> list[str]:
        """In the order that the distribution specification asks for, by their bytes, from after ``last`` on."""
        rows = self.store.rows(
            f"SELECT tag FROM registry_tags {_HERE} AND tag > ? AND attributes & ? ORDER BY tag LIMIT ?",  # noqa: S608
            (registry, repository, last, LIST, limit),
        )
        return [text(tag) for (tag,) in rows]

    def referrers(self, registry: str, repository: str, subject: str) -> list[Referrer]:
        """The manifests whose subject is this digest, whether or not that is there itself."""
        rows = self.store.rows(
            "SELECT digest, media_type, length(body), artifact_type, annotations FROM registry_manifests"
            " WHERE registry = ? AND repository = ? AND subject = ? ORDER BY created, digest",
            (registry, repository, subject),
        )
        return [
            Referrer(
                digest=text(digest),
                media_type=text(media_type),
                size=integer(size),
                artifact_type=text(artifact_type),
                annotations=as_object(msgspec.json.decode(text(annotations))),
            )
            for digest, media_type, size, artifact_type, annotations in rows
        ]

    def delete_manifest(self, registry: str, repository: str, digest: str) -> None:
        """Remove a manifest and its tags. Raises MANIFEST_UNKNOWN, DENIED."""
        key = (registry, repository, digest)
        if self.resolve(*key) is None:
            raise manifest_unknown(repository, digest)
        tags = self.store.rows(f"SELECT tag FROM registry_tags {_HERE} AND digest = ?", key)  # noqa: S608
        self.check(registry, repository, DELETE, digest=digest, tags=[text(tag) for (tag,) in tags])
        with self.store.transaction():
            for table, column in (("tags", "digest"), ("needs", "manifest"), ("manifests", "digest")):
                self.store.execute(f"DELETE FROM registry_{table} {_HERE} AND {column} = ?", key)  # noqa: S608
            # A repository is there as long as it has a manifest.
            self.store.execute(
                "DELETE FROM registry_repositories WHERE registry = ?1 AND name = ?2 AND NOT EXISTS"
                " (SELECT 1 FROM registry_manifests WHERE registry = ?1 AND repository = ?2)",
                (registry, repository),
            )
        self.blobs.sweep()

    def delete_tag(self, registry: str, repository: str, tag: str) -> None:
        """Remove a tag and nothing else. Raises MANIFEST_UNKNOWN, DENIED."""
        key = (registry, repository, tag)
        if self.resolve(*key) is None:
            raise manifest_unknown(repository, tag)
        self.check(registry, repository, DELETE, tags=(tag,))
        self.store.execute(f"DELETE FROM registry_tags {_HERE} AND tag = ?", key)  # noqa: S608

    def delete_repository(self, registry: str, repository: str) -> tuple[list[str], list[str]]:
        """Remove a repository with all that is in it; returns the digests and tags. Raises NAME_UNKNOWN, DENIED."""
        key = (registry, repository)
        digests = [
            text(name)
            for (name,) in self.store.rows(f"SELECT digest FROM registry_manifests {_HERE} ORDER BY 1", key)  # noqa: S608
        ]
        tags = [text(name) for (name,) in self.store.rows(f"SELECT tag FROM registry_tags {_HERE} ORDER BY 1", key)]  # noqa: S608
        if not digests:
            raise name_unknown(repository)
        for digest in digests:
            self.check(registry, repository, DELETE, digest=digest, tags=tags)
        with self.store.transaction():
            for table in ("tags", "needs", "manifests", "links"):
                self.store.execute(f"DELETE FROM registry_{table} {_HERE}", key)  # noqa: S608
            self.store.execute("DELETE FROM registry_repositories WHERE registry = ? AND name = ?", key)
        self.blobs.sweep()
        return digests, tags

    def untagged(self, registry: str, before: str) -> list[tuple[str, str]]:
        """Repository and digest of manifests that nothing names, last changed before a time (as in rows)."""
        rows = self.store.rows(
            "SELECT repository, digest FROM registry_manifests m"
            " WHERE registry = ?1 AND updated < ?2 AND subject IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM registry_tags t WHERE t.registry = ?1 AND t.repository = m.repository"
            " AND t.digest = m.digest)"
            " AND NOT EXISTS (SELECT 1 FROM registry_needs n WHERE n.registry = ?1 AND n.repository = m.repository"
            " AND n.digest = m.digest)",
            (registry, before),
        )
        return [(text(repository), text(digest)) for repository, digest in rows]

    def usage(self, registry: str) -> int:
        """Bytes that the registry's images take: each blob and manifest once."""
        row = self.store.row(
            "SELECT coalesce(sum(size), 0) FROM ("
            " SELECT b.digest AS digest, b.size AS size FROM registry_needs n"
            " JOIN registry_blobs b ON b.digest = n.digest WHERE n.registry = ?1"
            " UNION SELECT digest, length(body) FROM registry_manifests WHERE registry = ?1)",
            (registry,),
        )
        return 0 if row is None else integer(row[0])

    def drop_registry(self, registry: str) -> None:
        """Forget a registry's content; safe to repeat."""
        with self.store.transaction():
            for table in ("tags", "needs", "manifests", "links", "repositories", "uploads"):
                self.store.execute(f"DELETE FROM registry_{table} WHERE registry = ?", (registry,))  # noqa: S608
        self.blobs.sweep()

    def check(
        self, registry: str, repository: str, bit: int, *, digest: str | None = None, tags: Sequence[str] = ()
    ) -> None:
        """Raises DENIED when an attribute of the repository, the manifest or a tag forbids it."""
        rows = self.store.rows(
            "SELECT name FROM registry_repositories WHERE registry = ?1 AND name = ?2 AND NOT attributes & ?3"
            " UNION ALL SELECT digest FROM registry_manifests"
            " WHERE registry = ?1 AND repository = ?2 AND digest = ?4 AND NOT attributes & ?3"
            " UNION ALL SELECT tag FROM registry_tags WHERE registry = ?1 AND repository = ?2 AND NOT attributes & ?3"
            " AND tag IN (SELECT value FROM json_each(?5))",
            (registry, repository, bit, digest, msgspec.json.encode(list(tags)).decode()),
        )
        if rows:
            raise disallowed(text(rows[0][0]))

    def _check_needs(self, registry: str, repository: str, contents: Contents) -> None:
        for digest in contents.blobs:
            if not self.has(registry, repository, digest):
                raise manifest_blob_unknown(digest, "blob")
        for digest in contents.manifests:
            if self.resolve(registry, repository, digest) is None:
                raise manifest_blob_unknown(digest, "manifest")

    def _platform(self, contents: Contents) -> tuple[str | None, str | None]:
        """Architecture and system that the image's configuration names."""
        path = self.blob_path(contents.config) if contents.config else None
        if path is None or path.stat().st_size > _LARGEST_CONFIG:
            return None, None
        try:
            config = as_object(msgspec.json.decode(path.read_bytes()))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None, None  # artifacts keep anything there
        return as_str(config.get("architecture")) or None, as_str(config.get("os")) or None

    def _time(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f0Z")


def _named(reference: str | None, body: bytes, tags: Sequence[str]) -> tuple[str, list[str]]:
    """The manifest's digest, and the tags that it gets."""
    names = [check_tag(tag) for tag in tags]
    if reference is None:
        return digest_of(body), names
    if ":" not in reference:
        return digest_of(body), [check_tag(reference), *names]
    digest = digest_of(body, algorithm_of(check_digest(reference)))
    if digest != reference:
        raise digest_invalid(reference, f"provided digest did not match uploaded content, which has {digest}")
    return digest, names
