"""``Informer``: a cache of the objects of one kind, kept current by list and watch, that tells what changes.

It outlives broken connections, an API server that is away, and versions that are too old: it lists again, and tells the
difference.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.reading import items, key_of, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client, Kind, WatchEvent

    Index = Callable[[JsonObject], Iterable[str]]

_PAGE = "500"
_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 5.0
_log = logging.getLogger(__name__)


class Handler(Protocol):
    """Is told of each change, on the event loop; ``old`` None is a new object, ``new`` None one that is gone."""

    def __call__(self, old: JsonObject | None, new: JsonObject | None, /) -> None: ...


class Informer:
    """Objects are shared with everybody and never changed in place."""

    def __init__(
        self,
        client: Client,
        kind: Kind,
        clock: Clock,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        indexes: Mapping[str, Index] | None = None,
    ) -> None:
        self.kind = kind
        self._client = client
        self._clock = clock
        self._path = kind.path(namespace)
        self._query = {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}
        self._objects: dict[str, JsonObject] = {}
        self._indexes = dict(indexes or {})
        self._indexed: dict[str, dict[str, dict[str, None]]] = {name: {} for name in self._indexes}
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._task: asyncio.Task[None] | None = None

    def on_change(self, handler: Handler) -> None:
        """Also tells what is there already, as new."""
        self._handlers.append(handler)
        for item in list(self._objects.values()):
            handler(None, item)

    def start(self) -> None:
        """Begin; safe to call twice."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"informer of {self._path}")

    async def stop(self) -> None:
        """End."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def synced(self) -> bool:
        """Whether everything that was there at the start is in the cache."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Until ``synced``; without a limit of its own."""
        await self._synced.wait()

    def get(self, key: str) -> JsonObject | None:
        """By ``namespace/name``, or by the name of what has no namespace."""
        return self._objects.get(key)

    def values(self) -> list[JsonObject]:
        """All, in no order."""
        return list(self._objects.values())

    def by(self, index: str, value: str) -> list[JsonObject]:
        """Those that the index of that name files under ``value``."""
        return [self._objects[key] for key in self._indexed[index].get(value, ())]

    def __len__(self) -> int:
        return len(self._objects)

    def note(self, item: JsonObject) -> None:
        """Take in what the API just answered to a write of ours, ahead of the watch that will tell it too."""
        known = self._objects.get(key_of(item))
        if known is not None and _older(item, known):
            return
        self._put(item)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._list()
                    failures = 0
                await self._watch()
                failures = 0
            except StatusError as refused:
                if refused.code == 410:
                    self._version = ""
                    continue
                if refused.code in (404, 405, 401, 403, 500, 503, 504, 429):
                    self._version = ""
                failures = await self._pause(failures, refused)
            except KubernetesProblem as problem:
                failures = await self._pause(failures, problem)
            except Exception:
                # A handler that fails must not end the cache: it is told again after the next list.
                _log.exception("the informer of %s failed", self._path)
                self._version = ""
                failures = await self._pause(failures, None)

    async def _pause(self, failures: int, problem: KubernetesProblem | None) -> int:
        if problem is not None:
            _log.log(logging.INFO if failures == 5 else logging.DEBUG, "%s: %s", self._path, problem)
        await self._clock.sleep(min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(failures, 10)))
        return failures + 1

    async def _list(self) -> None:
        query = {**self._query, "limit": _PAGE}
        found: dict[str, JsonObject] = {}
        while True:
            page = await self._client.request("GET", self._path, query=query)
            for item in items(page, "items"):
                found[key_of(item)] = item
            rest = text(page, "metadata", "continue")
            version = text(page, "metadata", "resourceVersion")
            if not rest:
                break
            query["continue"] = rest
        for key in [key for key in self._objects if key not in found]:
            self._remove(key)
        for item in found.values():
            self._put(item)
        self._version = version
        self._synced.set()

    async def _watch(self) -> None:
        query = {**self._query, "resourceVersion": self._version, "allowWatchBookmarks": "true"}
        async for event in self._client.watch(self._path, query=query):
            self._take(event)

    def _take(self, event: WatchEvent) -> None:
        item = event.object
        version = text(item, "metadata", "resourceVersion")
        if event.type == "DELETED":
            self._remove(key_of(item), item)
        elif event.type != "BOOKMARK":
            self._put(item)
        if version:
            self._version = version

    def _put(self, item: JsonObject) -> None:
        key = key_of(item)
        old = self._objects.get(key)
        if old is not None and (_same_version(old, item) or _older(item, old)):
            return
        if old is not None and text(old, "metadata", "uid") != text(item, "metadata", "uid"):
            # Deleted and made again while nobody watched.
            self._remove(key)
            old = None
        self._objects[key] = item
        for name, index in self._indexes.items():
            if old is not None:
                self._unfile(name, index(old), key)
            for value in index(item):
                self._indexed[name].setdefault(value, {})[key] = None
        self._tell(old, item)

    def _remove(self, key: str, last: JsonObject | None = None) -> None:
        old = self._objects.get(key)
        if old is None:
            return
        if last is not None and _older(last, old) and text(last, "metadata", "uid") != text(old, "metadata", "uid"):
            return  # the one of that name that was there before
        del self._objects[key]
        for name, index in self._indexes.items():
            self._unfile(name, index(old), key)
        self._tell(last or old, None)

    def _unfile(self, name: str, values: Iterable[str], key: str) -> None:
        for value in values:
            filed = self._indexed[name].get(value)
            if filed is not None:
                filed.pop(key, None)
                if not filed:
                    del self._indexed[name][value]

    def _tell(self, old: JsonObject | None, new: JsonObject | None) -> None:
        for handler in self._handlers:
            handler(old, new)


def _same_version(one: JsonObject, other: JsonObject) -> bool:
    version = text(one, "metadata", "resourceVersion")
    return bool(version) and version == text(other, "metadata", "resourceVersion")


def _older(one: JsonObject, other: JsonObject) -> bool:
    """By resourceVersion, which counts up in every API server (KEP-5504 makes it official for 1.35)."""
    mine, theirs = text(one, "metadata", "resourceVersion"), text(other, "metadata", "resourceVersion")
    return mine.isdigit() and theirs.isdigit() and int(mine) < int(theirs)
