"""A cache of one kind's objects, kept current by list and watch, that calls handlers on each change.

What its owner writes itself is put in at once (``observe``), so that the next look at the cache sees it; what the watch
then says of older versions is passed over. Resource versions are compared as numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import Client, Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.meta import entries, join_key, key_of, text, uid_of, version_of
from windtunnel_emulators.kubernetes.client.objects import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject

    Handler = Callable[[JsonObject | None, JsonObject | None], None]
    """Called with (old, new): old is None for what is added, new for what is gone."""
    Indexer = Callable[[JsonObject], Iterable[str]]

_log = logging.getLogger(__name__)

WATCH_TIMEOUT_S = 600
_FIRST_DELAY_S = 0.1
_LAST_DELAY_S = 10.0


class Informer:
    """Objects of one kind by key. ``synced`` is set after the first list; then the cache is never empty again for
    want of a connection: it keeps what it knew until it knows better."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        clock: Clock,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        transform: Callable[[JsonObject], JsonObject] | None = None,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._client = client
        self._clock = clock
        self._path = kind.path(namespace)
        self._query = {
            k: v for k, v in (("labelSelector", label_selector), ("fieldSelector", field_selector)) if v is not None
        }
        self._transform = transform
        self._objects: dict[str, JsonObject] = {}
        self._by_namespace: dict[str, set[str]] = {}
        self._indexers: dict[str, Indexer] = dict(indexers or {})
        self._indices: dict[str, dict[str, set[str]]] = {name: {} for name in self._indexers}
        self._handlers: list[Handler] = []
        self._gone: set[str] = set()
        self._seen = 0
        self._task: asyncio.Task[None] | None = None

    # What is known

    def get(self, namespace: str | None, name: str) -> JsonObject | None:
        return self._objects.get(join_key(namespace, name))

    def by_key(self, key: str) -> JsonObject | None:
        return self._objects.get(key)

    def keys(self) -> list[str]:
        return list(self._objects)

    def objects(self, namespace: str | None = None) -> list[JsonObject]:
        if namespace is None:
            return list(self._objects.values())
        return [self._objects[key] for key in self._by_namespace.get(namespace, ())]

    def by_index(self, index: str, value: str) -> list[JsonObject]:
        """The objects for which the indexer named so yields ``value``."""
        return [self._objects[key] for key in self._indices[index].get(value, ())]

    def add_index(self, name: str, indexer: Indexer) -> None:
        """One more index; of what is known too. The same name again is the same index."""
        if name in self._indexers:
            return
        self._indexers[name] = indexer
        index: dict[str, set[str]] = {}
        for key, obj in self._objects.items():
            for value in indexer(obj):
                index.setdefault(value, set()).add(key)
        self._indices[name] = index

    def add_handler(self, handler: Handler) -> None:
        """Call it with each change from now on, and with what is known already."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    # What comes in

    def observe(self, obj: JsonObject) -> None:
        """Know what a write was answered with, unless the watch is past it: then it told of this already, and perhaps
        of the deletion since."""
        if version_of(obj) > self._seen:
            self._learn(obj)

    def _learn(self, obj: JsonObject) -> None:
        obj = self._prepared(obj)
        key, uid = key_of(obj), uid_of(obj)
        old = self._objects.get(key)
        if uid in self._gone or (old is not None and version_of(obj) <= version_of(old)):
            return
        self._put(key, old, obj)

    def forget(self, obj: JsonObject) -> None:
        """Know that it is gone, before the watch says so."""
        known = self._objects.get(key_of(obj))
        if known is not None and uid_of(known) == uid_of(obj):
            self._gone.add(uid_of(obj))
            self._remove(key_of(obj))

    def _prepared(self, obj: JsonObject) -> JsonObject:
        obj = typed(obj, self.kind)
        return obj if self._transform is None else self._transform(obj)

    def _put(self, key: str, old: JsonObject | None, new: JsonObject) -> None:
        if old is not None and uid_of(old) != uid_of(new):
            self._remove(key)
            old = None
        self._objects[key] = new
        if old is None:
            namespace = text(new, "metadata", "namespace")
            self._by_namespace.setdefault(namespace, set()).add(key)
        for name, indexer in self._indexers.items():
            self._reindex(self._indices[name], key, () if old is None else indexer(old), indexer(new))
        self._tell(old, new)

    def _remove(self, key: str) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        namespace = text(old, "metadata", "namespace")
        remaining = self._by_namespace.get(namespace)
        if remaining is not None:
            remaining.discard(key)
            if not remaining:
                del self._by_namespace[namespace]
        for name, indexer in self._indexers.items():
            self._reindex(self._indices[name], key, indexer(old), ())
        self._tell(old, None)

    @staticmethod
    def _reindex(index: dict[str, set[str]], key: str, before: Iterable[str], after: Iterable[str]) -> None:
        was, now = set(before), set(after)
        for value in was - now:
            keys = index.get(value)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del index[value]
        for value in now - was:
            index.setdefault(value, set()).add(key)

    def _tell(self, old: JsonObject | None, new: JsonObject | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                # One handler's defect may not keep the others from the news, nor end the watch.
                _log.exception("a handler of %s failed", self.kind.plural)

    # Component

    async def start(self) -> None:
        """Begin to list and watch; ``synced`` says when the cache can be relied on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer {self.kind.plural}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        version: str | None = None
        delay = _FIRST_DELAY_S
        while True:
            try:
                if version is None:
                    version = await self._list()
                    self.synced.set()
                before = version
                async for event in self._client.watch(self._path, query=self._watch_query(version)):
                    version = text(event.object, "metadata", "resourceVersion") or version
                    self._seen = max(self._seen, version_of(event.object))
                    delay = _FIRST_DELAY_S
                    self._take(event.type, event.object)
                if version == before:
                    # A server that ends watches at once, without an event, is not asked in a tight loop.
                    await self._clock.sleep(delay)
            except StatusError as failure:
                if failure.code == 410 or failure.reason in ("Expired", "Gone"):
                    version = None
                    continue
                _log.info("list or watch of %s: %s", self.kind.plural, failure)
                if failure.code == 404:
                    version = None
                await self._clock.sleep(delay)
                delay = min(delay * 2, _LAST_DELAY_S)
            except KubernetesProblem as failure:
                _log.info("list or watch of %s: %s", self.kind.plural, failure)
                await self._clock.sleep(delay)
                delay = min(delay * 2, _LAST_DELAY_S)

    def _watch_query(self, version: str) -> dict[str, str]:
        return {
            **self._query,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_TIMEOUT_S),
        }

    async def _list(self) -> str:
        answer = await self._client.request("GET", self._path, query=self._query)
        version = text(answer, "metadata", "resourceVersion")
        listed: set[str] = set()
        for each in entries(answer, "items"):
            listed.add(key_of(each))
            self._learn(each)
        at = self._seen = int(version) if version.isdigit() else 0
        for key, known in list(self._objects.items()):
            if key not in listed and version_of(known) <= at:
                self._remove(key)
        self._gone.clear()
        return version

    def _take(self, type_: str, obj: JsonObject) -> None:
        if type_ == "BOOKMARK":
            return
        if type_ != "DELETED":
            self._learn(obj)
            return
        uid = uid_of(obj)
        self._gone.discard(uid)
        known = self._objects.get(key_of(obj))
        if known is not None and uid_of(known) == uid:
            self._remove(key_of(obj))
