"""The parts of ARM's front door, put together once, as its handlers see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.catalogue import Catalogue
from windtunnel_emulators.arm.groups import Groups
from windtunnel_emulators.arm.operations import Operations
from windtunnel_emulators.arm.registrations import Registrations
from windtunnel_emulators.arm.resources import Resources
from windtunnel_emulators.arm.tables import COMPONENT, MIGRATIONS

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the handlers of requests work with."""

    store: Store
    clock: Clock
    pace: Pace
    directory: Directory
    """The tenant."""
    subscription: str
    groups: Groups
    resources: Resources
    catalogue: Catalogue
    operations: Operations
    registrations: Registrations


def build(*, store: Store, clock: Clock, pace: Pace, directory: Directory, subscription: str) -> Kernel:
    """A kernel without providers: ``catalogue.add`` each, before the first request."""
    store.define(COMPONENT, MIGRATIONS)
    groups = Groups(store, clock)
    resources = Resources(store, clock, groups)
    catalogue = Catalogue()
    operations = Operations(
        store=store, resources=resources, groups=groups, catalogue=catalogue, clock=clock, pace=pace
    )
    resources.bind(operations, catalogue)
    return Kernel(
        store=store,
        clock=clock,
        pace=pace,
        directory=directory,
        subscription=subscription,
        groups=groups,
        resources=resources,
        catalogue=catalogue,
        operations=operations,
        registrations=Registrations(store),
    )
