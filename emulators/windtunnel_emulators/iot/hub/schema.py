"""The tables of all hubs in the one store. Messages from devices have a file of their own (``messages``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub import plans_schema

if TYPE_CHECKING:
    from windtunnel_emulators.store import Store

COMPONENT = "iot"
MIGRATIONS = (
    """
    CREATE TABLE iot_identities (
        hub TEXT NOT NULL, device TEXT NOT NULL, module TEXT NOT NULL, document BLOB NOT NULL, keys BLOB,
        PRIMARY KEY (hub, device, module)) WITHOUT ROWID;
    CREATE TABLE iot_twins (
        hub TEXT NOT NULL, device TEXT NOT NULL, module TEXT NOT NULL, document BLOB NOT NULL,
        PRIMARY KEY (hub, device, module)) WITHOUT ROWID;
    CREATE TABLE iot_sessions (
        hub TEXT NOT NULL, device TEXT NOT NULL, module TEXT NOT NULL, filters BLOB NOT NULL,
        PRIMARY KEY (hub, device, module)) WITHOUT ROWID;
    CREATE TABLE iot_commands (
        id INTEGER PRIMARY KEY AUTOINCREMENT, hub TEXT NOT NULL, device TEXT NOT NULL, properties BLOB NOT NULL,
        body BLOB NOT NULL, enqueued REAL NOT NULL, expires REAL NOT NULL, deliveries INTEGER NOT NULL,
        packet INTEGER);
    CREATE INDEX iot_commands_by_device ON iot_commands (hub, device, id);
    CREATE TABLE iot_addresses (hub TEXT PRIMARY KEY, address TEXT NOT NULL UNIQUE) WITHOUT ROWID
    """,
)
FEEDBACK = "iot_feedback"
FEEDBACK_MIGRATIONS = (
    """
    CREATE TABLE iot_feedback (
        id INTEGER PRIMARY KEY AUTOINCREMENT, hub TEXT NOT NULL, record BLOB NOT NULL, enqueued REAL NOT NULL,
        lock TEXT, locked REAL NOT NULL, deliveries INTEGER NOT NULL);
    CREATE INDEX iot_feedback_by_hub ON iot_feedback (hub, id)
    """,
)
_PER_HUB = ("iot_identities", "iot_twins", "iot_sessions", "iot_commands", "iot_addresses", "iot_feedback")


def define(store: Store) -> None:
    """Bring the tables up to date."""
    store.define(COMPONENT, MIGRATIONS)
    plans_schema.define(store)
    store.define(FEEDBACK, FEEDBACK_MIGRATIONS)


def drop(store: Store, hub: str) -> None:
    """Forget all of a hub; safe to repeat."""
    with store.transaction():
        for table in (*_PER_HUB, *plans_schema.PER_HUB):
            store.execute(f"DELETE FROM {table} WHERE hub = ?", (hub,))  # noqa: S608
