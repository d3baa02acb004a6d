"""Who owns whom in a cluster, and what becomes of an object when its owners go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    entries,
    flag,
    name_of,
    namespace_of,
    text,
    uid_of,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Kind

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool
    """The owner's foreground deletion waits for this dependant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What the graph knows of one object."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    owners: tuple[Owner, ...]
    deleting: bool
    finalizers: frozenset[str]

    @property
    def waits_for_dependants(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependants(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers


def item_of(kind: Kind, obj: JsonObject) -> Item:
    return Item(
        kind=kind,
        namespace=namespace_of(obj),
        name=name_of(obj),
        uid=uid_of(obj),
        owners=tuple(
            Owner(
                api_version=text(each, "apiVersion"),
                kind=text(each, "kind"),
                name=text(each, "name"),
                uid=text(each, "uid"),
                blocks=flag(each, "blockOwnerDeletion"),
            )
            for each in entries(obj, "metadata", "ownerReferences")
        ),
        deleting=deleting(obj),
        finalizers=frozenset(words(obj, "metadata", "finalizers")),
    )


class Graph:
    """Items by uid, and the dependants of each uid, known or not."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependants: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def items(self) -> list[Item]:
        return list(self._items.values())

    def put(self, item: Item) -> Item | None:
        """Know this of it; the answer is what was known."""
        old = self._items.get(item.uid)
        self._items[item.uid] = item
        before = set[str]() if old is None else {each.uid for each in old.owners}
        now = {each.uid for each in item.owners}
        for uid in before - now:
            self._unlink(uid, item.uid)
        for uid in now - before:
            self._dependants.setdefault(uid, set()).add(item.uid)
        return old

    def remove(self, uid: str) -> Item | None:
        old = self._items.pop(uid, None)
        for owner in () if old is None else old.owners:
            self._unlink(owner.uid, uid)
        return old

    def _unlink(self, owner: str, dependant: str) -> None:
        known = self._dependants.get(owner)
        if known is not None:
            known.discard(dependant)
            if not known:
                del self._dependants[owner]

    def dependants(self, uid: str) -> list[Item]:
        return [self._items[each] for each in self._dependants.get(uid, ())]

    def blockers(self, uid: str) -> list[Item]:
        """The dependants that keep the foreground deletion of ``uid`` from ending."""
        return [
            each for each in self.dependants(uid) if any(owner.uid == uid and owner.blocks for owner in each.owners)
        ]


class OwnerState(StrEnum):
    """What a look at an owner found."""

    SOLID = "solid"
    ABSENT = "absent"
    WAITING = "waiting"
    """It is being deleted in the foreground: it waits for its dependants."""


class Fate(StrEnum):
    """What becomes of an object."""

    STAYS = "stays"
    LOSES_OWNERS = "loses owners"
    """It stays, without the references to owners that are gone or going."""
    GOES_IN_FOREGROUND = "goes, after its dependants"
    GOES = "goes"


def fate(item: Item, owners: Mapping[str, OwnerState], dependants: Sequence[Item]) -> Fate:
    """By its owners' states (by uid): one solid owner keeps it."""
    states = [owners[each.uid] for each in item.owners]
    if not states:
        return Fate.STAYS
    if OwnerState.SOLID in states:
        return Fate.STAYS if set(states) == {OwnerState.SOLID} else Fate.LOSES_OWNERS
    if OwnerState.WAITING in states and dependants:
        return Fate.GOES_IN_FOREGROUND
    return Fate.GOES


def propagation(item: Item) -> str:
    """How its own dependants are treated when it goes: as its finalizers say."""
    if ORPHAN in item.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in item.finalizers else "Background"
