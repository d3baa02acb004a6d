"""The tables of configurations and jobs, of all hubs in the one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.store import Store

_COMPONENT = "iot_plans"
_MIGRATIONS = (
    """
    CREATE TABLE iot_configurations (
        hub TEXT NOT NULL, id TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (hub, id)) WITHOUT ROWID;
    CREATE TABLE iot_deployed (
        hub TEXT NOT NULL, device TEXT NOT NULL, module TEXT NOT NULL, signature TEXT NOT NULL,
        PRIMARY KEY (hub, device, module)) WITHOUT ROWID;
    CREATE TABLE iot_jobs (
        hub TEXT NOT NULL, id TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (hub, id)) WITHOUT ROWID;
    CREATE TABLE iot_device_jobs (
        hub TEXT NOT NULL, job TEXT NOT NULL, device TEXT NOT NULL, module TEXT NOT NULL, document BLOB NOT NULL,
        PRIMARY KEY (hub, job, device, module)) WITHOUT ROWID
    """,
)
PER_HUB = ("iot_configurations", "iot_deployed", "iot_jobs", "iot_device_jobs")


def define(store: Store) -> None:
    """Bring the tables up to date."""
    store.define(_COMPONENT, _MIGRATIONS)
