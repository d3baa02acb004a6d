"""The tables of component ``registry``. The list of migrations only grows."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE registry_blobs (
        digest TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        touched REAL NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE registry_links (
        registry TEXT NOT NULL,
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        touched REAL NOT NULL,
        PRIMARY KEY (registry, repository, digest)
    ) WITHOUT ROWID;
    CREATE INDEX registry_links_of_blob ON registry_links (digest, registry);

    CREATE TABLE registry_repositories (
        registry TEXT NOT NULL,
        name TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        attributes INTEGER NOT NULL,
        PRIMARY KEY (registry, name)
    ) WITHOUT ROWID;

    CREATE TABLE registry_manifests (
        registry TEXT NOT NULL,
        repository TEXT NOT NULL,
        digest TEXT NOT NULL,
        media_type TEXT NOT NULL,
        body BLOB NOT NULL,
        subject TEXT,
        artifact_type TEXT NOT NULL,
        annotations TEXT NOT NULL,
        config_media_type TEXT,
        architecture TEXT,
        os TEXT,
        content_size INTEGER NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        attributes INTEGER NOT NULL,
        PRIMARY KEY (registry, repository, digest)
    );
    CREATE INDEX registry_manifests_of_subject ON registry_manifests (registry, repository, subject)
        WHERE subject IS NOT NULL;

    CREATE TABLE registry_needs (
        registry TEXT NOT NULL,
        repository TEXT NOT NULL,
        manifest TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (registry, repository, manifest, digest)
    ) WITHOUT ROWID;
    CREATE INDEX registry_needs_of_digest ON registry_needs (registry, repository, digest);

    CREATE TABLE registry_tags (
        registry TEXT NOT NULL,
        repository TEXT NOT NULL,
        tag TEXT NOT NULL,
        digest TEXT NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        attributes INTEGER NOT NULL,
        PRIMARY KEY (registry, repository, tag)
    ) WITHOUT ROWID;
    CREATE INDEX registry_tags_of_manifest ON registry_tags (registry, repository, digest);

    CREATE TABLE registry_uploads (
        id TEXT PRIMARY KEY,
        registry TEXT NOT NULL,
        repository TEXT NOT NULL,
        started REAL NOT NULL,
        size INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)
