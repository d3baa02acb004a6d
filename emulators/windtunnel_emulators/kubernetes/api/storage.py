"""The objects of one cluster: rows of the store, read from memory, with a history from which watches follow.

Versions: every write takes the next ``resourceVersion`` of the cluster. Versions are reserved in the store in blocks
before they are used, so that none is given out twice, whatever ends the process.
Durability: a write is decided against memory at once and committed with the others of its turn of the event loop; it
returns, and watches see it, after the commit. What is not committed is undone.
Values: a ``Stored`` and the JSON in it are never changed in place.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api.metadata import ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

Key = tuple[str, str]
"""Namespace, empty for cluster-wide objects, and name."""

_COMPONENT = "kubernetes"
_MIGRATIONS = (
    """
    CREATE TABLE kubernetes_objects (
        cluster TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        version INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (cluster, resource, namespace, name)
    ) WITHOUT ROWID;
    CREATE TABLE kubernetes_versions (cluster TEXT PRIMARY KEY, reserved INTEGER NOT NULL) WITHOUT ROWID;
    """,
)
_BLOCK = 1000
_HISTORY = 1024
_REMEMBERED_LISTS = 4
_encode = msgspec.json.Encoder().encode


class Taken(Exception):
    """An object of that name is there."""


class Changed(Exception):
    """The object is not what it was when the write was prepared."""


class TooOld(Exception):
    """The history does not reach back to a version; ``oldest`` is the oldest that it reaches."""

    def __init__(self, oldest: int) -> None:
        super().__init__(oldest)
        self.oldest = oldest


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object as it was written."""

    key: Key
    version: int
    object: JsonObject = field(repr=False)
    """In its storage version, with ``apiVersion``, ``kind`` and ``metadata.resourceVersion``."""
    raw: bytes = field(repr=False)
    """The same as JSON, without ``apiVersion`` and ``kind``: an object of at least one field."""


def raw_of(whole: JsonObject) -> bytes:
    """An object as JSON, without ``apiVersion`` and ``kind``."""
    return _encode({name: value for name, value in whole.items() if name not in ("apiVersion", "kind")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change. ``old`` is None for a creation; ``new`` of a deletion is the last state, at the deletion's version."""

    version: int
    key: Key
    old: Stored | None
    new: Stored
    deleted: bool = False
    forms: dict[object, bytes] = field(default_factory=dict[object, bytes], compare=False, repr=False)
    """What watches made of it, by form: each is made once."""


class Table:
    """The objects of one kind, in the order of their keys, and what happened to them."""

    def __init__(self, since: int) -> None:
        self.objects: dict[Key, Stored] = {}
        self.order: list[Key] = []
        self.history: deque[Event] = deque(maxlen=_HISTORY)
        self.floor = since
        """Events up to this version are not in the history."""
        self.listeners: list[Callable[[Event], None]] = []
        self._lists: dict[int, list[Stored]] = {}

    def place(self, stored: Stored) -> None:
        if stored.key not in self.objects:
            insort(self.order, stored.key)
        self.objects[stored.key] = stored

    def take(self, key: Key) -> None:
        del self.objects[key]
        del self.order[bisect_left(self.order, key)]

    def objects_in(self, namespace: str | None) -> list[Stored]:
        """All objects now, or those of a namespace, in order."""
        objects = self.objects
        if namespace is None:
            return [objects[key] for key in self.order]
        begin = bisect_left(self.order, (namespace, ""))
        end = bisect_left(self.order, (namespace + "\0", ""))
        return [objects[key] for key in self.order[begin:end]]

    def list_at(self, version: int, namespace: str | None) -> list[Stored]:
        """The objects as they were at a version. Raises ``TooOld``."""
        newest = self.history[-1].version if self.history else self.floor
        if version >= newest:
            return self.objects_in(namespace)
        if version < self.floor:
            raise TooOld(self.floor)
        found = self._lists.get(version)
        if found is None:
            objects = dict(self.objects)
            for event in reversed(self.history):
                if event.version <= version:
                    break
                if event.old is None:
                    objects.pop(event.key, None)
                else:
                    objects[event.key] = event.old
            found = [objects[key] for key in sorted(objects)]
            while len(self._lists) >= _REMEMBERED_LISTS:
                del self._lists[next(iter(self._lists))]
            self._lists[version] = found
        return found if namespace is None else [stored for stored in found if stored.key[0] == namespace]

    def since(self, version: int) -> Sequence[Event]:
        """The events after a version, oldest first. Raises ``TooOld``."""
        if version < self.floor:
            raise TooOld(self.floor)
        found: list[Event] = []
        for event in reversed(self.history):
            if event.version <= version:
                break
            found.append(event)
        found.reverse()
        return found

    def record(self, event: Event) -> None:
        if len(self.history) == _HISTORY:
            self.floor = self.history[0].version
        self.history.append(event)
        for listener in tuple(self.listeners):
            listener(event)

    def reshape(self, shape: Callable[[JsonObject], JsonObject]) -> None:
        """See the objects in another shape. Nobody wrote them: versions stay, and watches see nothing."""
        for key, stored in self.objects.items():
            whole = shape(stored.object)
            if whole != stored.object:
                self.objects[key] = Stored(key=key, version=stored.version, object=whole, raw=raw_of(whole))

    def forget(self, version: int) -> None:
        """Drop the history up to now, as a compaction does."""
        self.history.clear()
        self._lists.clear()
        self.floor = version


class Storage:
    """All tables of a cluster. Use from the event loop's thread alone."""

    def __init__(self, store: Store, cluster: str) -> None:
        store.define(_COMPONENT, _MIGRATIONS)
        self._store = store
        self._cluster = cluster
        self._tables: dict[str, Table] = {}
        self._pending: list[tuple[str, Event]] = []
        self._batch: asyncio.Future[None] | None = None
        row = store.row("SELECT reserved FROM kubernetes_versions WHERE cluster = ?", (cluster,))
        self._next = self._reserved = 1 if row is None else int(row[0] or 0)
        self.version = self._next
        """The newest committed version."""
        self._first = self._next
        self._load()

    def _load(self) -> None:
        decode = msgspec.json.Decoder(type=dict).decode
        rows = self._store.rows(
            "SELECT resource, namespace, name, version, body FROM kubernetes_objects WHERE cluster = ?"
            " ORDER BY resource, namespace, name",
            (self._cluster,),
        )
        for resource, namespace, name, version, body in rows:
            if not (isinstance(body, bytes) and isinstance(version, int)):
                raise TypeError(
                    f"{resource!r} {namespace!r}/{name!r} of {self._cluster} is not an object of this store"
                )
            # A row is "apiVersion kind\n" and the object without them, which is how it is sent.
            head, _, raw = body.partition(b"\n")
            api_version, _, kind = head.decode().partition(" ")
            whole: JsonObject = {"kind": kind, "apiVersion": api_version, **decode(raw)}
            self.table(str(resource)).place(
                Stored(key=(str(namespace), str(name)), version=version, object=whole, raw=raw)
            )

    def table(self, resource: str) -> Table:
        """The objects of a resource by its qualified name (``deployments.apps``)."""
        found = self._tables.get(resource)
        if found is None:
            found = self._tables[resource] = Table(self._first)
        return found

    def resources(self) -> list[str]:
        """The resources of which there are objects."""
        return [name for name, table in self._tables.items() if table.objects]

    async def settled(self) -> None:
        """Wait until everything that memory has is committed; what is read after it, without waiting, is durable."""
        while self._batch is not None:
            with contextlib.suppress(Exception):  # whoever wrote is told
                await asyncio.shield(self._batch)

    async def create(self, resource: str, key: Key, body: JsonObject) -> Stored:
        """Write a new object. Raises ``Taken``."""
        table = self.table(resource)
        if key in table.objects:
            raise Taken
        stored = self._stored(key, body)
        table.place(stored)
        await self._commit(resource, Event(version=stored.version, key=key, old=None, new=stored))
        return stored

    async def replace(self, resource: str, current: Stored, body: JsonObject) -> Stored:
        """Write the next state of an object. Raises ``Changed`` unless ``current`` is its state."""
        table = self.table(resource)
        if table.objects.get(current.key) is not current:
            raise Changed
        stored = self._stored(current.key, body)
        table.place(stored)
        await self._commit(resource, Event(version=stored.version, key=current.key, old=current, new=stored))
        return stored

    async def remove(self, resource: str, current: Stored, body: JsonObject | None = None) -> Stored:
        """Delete an object; ``body`` is its last state if that is another one. Raises ``Changed``."""
        table = self.table(resource)
        if table.objects.get(current.key) is not current:
            raise Changed
        last = self._stored(current.key, current.object if body is None else body)
        table.take(current.key)
        event = Event(version=last.version, key=current.key, old=current, new=last, deleted=True)
        await self._commit(resource, event)
        return last

    def listen(self, resource: str, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call ``listener`` with every event from now on, after its commit; returns the end of it."""
        listeners = self.table(resource).listeners
        listeners.append(listener)

        def end() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return end

    def _stored(self, key: Key, body: JsonObject) -> Stored:
        self._next += 1
        version = self._next
        metadata: JsonObject = {**as_object(body.get("metadata")), "resourceVersion": str(version)}
        whole: JsonObject = {**body, "metadata": ordered(metadata)}
        return Stored(key=key, version=version, object=whole, raw=raw_of(whole))

    async def _commit(self, resource: str, event: Event) -> None:
        self._pending.append((resource, event))
        if self._batch is None:
            loop = asyncio.get_running_loop()
            self._batch = loop.create_future()
            loop.call_soon(self._flush)
        await asyncio.shield(self._batch)

    def _flush(self) -> None:
        batch, self._batch = self._batch, None
        pending, self._pending = self._pending, []
        try:
            self._write(pending)
        except Exception as problem:
            for resource, event in reversed(pending):
                table = self.table(resource)
                if event.old is not None:
                    table.place(event.old)
                else:
                    table.take(event.key)
            if batch is not None:
                batch.set_exception(problem)
                batch.exception()  # those who wait raise it; nobody may be waiting any more
            return
        self.version = max(self.version, pending[-1][1].version)
        for resource, event in pending:
            self.table(resource).record(event)
        if batch is not None:
            batch.set_result(None)

    def _write(self, pending: Sequence[tuple[str, Event]]) -> None:
        store, cluster = self._store, self._cluster
        reserved = self._reserved
        with store.transaction():
            if self._next > reserved:
                reserved = self._next + _BLOCK
                store.execute("INSERT OR REPLACE INTO kubernetes_versions VALUES (?, ?)", (cluster, reserved))
            for resource, event in pending:
                if event.deleted:
                    store.execute(
                        "DELETE FROM kubernetes_objects"
                        " WHERE cluster = ? AND resource = ? AND namespace = ? AND name = ?",
                        (cluster, resource, *event.key),
                    )
                else:
                    whole = event.new.object
                    body = f"{whole.get('apiVersion')} {whole.get('kind')}\n".encode() + event.new.raw
                    store.execute(
                        "INSERT OR REPLACE INTO kubernetes_objects VALUES (?, ?, ?, ?, ?, ?)",
                        (cluster, resource, *event.key, event.version, body),
                    )
        self._reserved = reserved


def known_clusters(store: Store) -> set[str]:
    """The clusters that the store has anything of."""
    store.define(_COMPONENT, _MIGRATIONS)
    return {str(row[0]) for row in store.rows("SELECT cluster FROM kubernetes_versions")}


def forget_cluster(store: Store, cluster: str) -> None:
    """Delete all objects of a cluster that is not served any more."""
    store.define(_COMPONENT, _MIGRATIONS)
    with store.transaction():
        store.execute("DELETE FROM kubernetes_objects WHERE cluster = ?", (cluster,))
        store.execute("DELETE FROM kubernetes_versions WHERE cluster = ?", (cluster,))
