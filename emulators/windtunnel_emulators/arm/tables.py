"""ARM's tables in the store. A migration never changes once released; a change is a further one at the end."""

from __future__ import annotations

COMPONENT = "arm"

MIGRATIONS = (
    """
    CREATE TABLE groups (
        key TEXT PRIMARY KEY,          -- id in lower case
        subscription TEXT NOT NULL,
        name TEXT NOT NULL,            -- as first written
        location TEXT NOT NULL,
        tags BLOB,                     -- JSON
        managed_by TEXT,
        deleting INTEGER NOT NULL,
        created TEXT NOT NULL,
        changed TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE resources (
        key TEXT PRIMARY KEY,          -- id in lower case
        id TEXT NOT NULL,              -- as first written
        scope TEXT NOT NULL,           -- key of its group
        type TEXT NOT NULL,            -- full type in lower case
        parent TEXT NOT NULL,          -- key of the resource it is nested in; empty at the top
        tracked INTEGER NOT NULL,
        document BLOB NOT NULL,        -- JSON
        etag TEXT NOT NULL,
        operation TEXT,                -- id of the work in progress
        busy TEXT,                     -- its verb
        created TEXT NOT NULL,
        changed TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX resources_by_type ON resources (type, scope);
    CREATE INDEX resources_by_scope ON resources (scope);
    CREATE INDEX resources_by_parent ON resources (parent);
    CREATE TABLE operations (
        id TEXT PRIMARY KEY,
        target TEXT NOT NULL,          -- key of the resource or group
        target_id TEXT NOT NULL,       -- its id as it is printed
        type TEXT NOT NULL,            -- its full type
        verb TEXT NOT NULL,
        removal BLOB,                  -- JSON: what is removed, and by which work; NULL for other work
        location TEXT NOT NULL,
        api_version TEXT NOT NULL,     -- the caller's
        status TEXT NOT NULL,
        started TEXT NOT NULL,
        ended TEXT,
        error BLOB,                    -- JSON, the inside of ARM's error body
        error_status INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX operations_by_status ON operations (status, ended);
    CREATE TABLE subscription_tags (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE tag_names (           -- "predefined tags", with a row for each value and one with an empty value
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name, value)
    ) WITHOUT ROWID;
    CREATE TABLE unregistered (        -- namespaces in lower case
        namespace TEXT PRIMARY KEY
    ) WITHOUT ROWID
    """,
)
