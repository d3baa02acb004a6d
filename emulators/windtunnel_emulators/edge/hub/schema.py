"""The tables of an edge device's hub: sessions (``iot.hub.sessions``), twins, and what it has last been told to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.store import Store

COMPONENT = "edge hub"
MIGRATIONS = (
    """
    CREATE TABLE iot_sessions (
        hub TEXT NOT NULL, device TEXT NOT NULL, module TEXT NOT NULL, filters BLOB NOT NULL,
        PRIMARY KEY (hub, device, module)) WITHOUT ROWID;
    CREATE TABLE edge_twins (
        device TEXT NOT NULL, module TEXT NOT NULL, document BLOB NOT NULL,
        PRIMARY KEY (device, module)) WITHOUT ROWID;
    CREATE TABLE edge_kept (name TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID
    """,
)


def define(store: Store) -> None:
    """Bring the tables up to date."""
    store.define(COMPONENT, MIGRATIONS)
