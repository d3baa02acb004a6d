"""The cluster's objects as authorization and admission see them: read from memory, written as the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.failures import not_found
from windtunnel_emulators.kubernetes.api.storage import Changed, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.storage import Event, Storage

_log = logging.getLogger(__name__)


class State:
    """Resources are named with their group: ``pods``, ``roles.rbac.authorization.k8s.io``."""

    def __init__(self, storage: Storage, registry: Registry, clock: Clock) -> None:
        self.storage = storage
        self.registry = registry
        self.clock = clock
        self._ends: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[object]] = set()

    def now(self) -> datetime:
        return self.clock.now()

    def get(self, resource: str, namespace: str, name: str) -> JsonObject | None:
        """An object; None when it is not there."""
        found = self.storage.table(resource).objects.get((namespace, name))
        return None if found is None else found.object

    def objects(self, resource: str, namespace: str | None = None) -> Iterator[JsonObject]:
        """All objects of a resource, or those of a namespace, in order."""
        for stored in self.storage.table(resource).objects_in(namespace):
            yield stored.object

    async def create(self, resource: str, whole: JsonObject, *, generation: int | None = None) -> JsonObject | None:
        """Make an object; None when its name is taken."""
        namespace, name = meta.text(whole, "namespace"), meta.text(whole, "name")
        born = meta.born(whole, namespace=namespace, now=self.now(), generation=generation)
        try:
            stored = await self.storage.create(resource, (namespace, name), born)
        except Taken:
            return None
        return stored.object

    async def update(
        self,
        resource: str,
        namespace: str,
        name: str,
        change: Callable[[JsonObject], JsonObject],
        *,
        dry_run: bool = False,
    ) -> JsonObject:
        """Write what ``change`` makes of an object, which it is asked again after another write. Raises 404."""
        while True:
            current = self.storage.table(resource).objects.get((namespace, name))
            if current is None:
                plural, _, group = resource.partition(".")
                raise not_found(group, plural, name)
            new = change(current.object)
            if new == current.object or dry_run:
                return new
            with contextlib.suppress(Changed):
                return (await self.storage.replace(resource, current, new)).object

    async def remove(self, resource: str, namespace: str, name: str) -> None:
        """Take an object away, if it is there."""
        while (current := self.storage.table(resource).objects.get((namespace, name))) is not None:
            with contextlib.suppress(Changed):
                await self.storage.remove(resource, current)
                return

    def follow(self, resource: str, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with every change, until the end."""
        self._ends.append(self.storage.listen(resource, listener))

    def spawn(self, work: Coroutine[object, object, object], name: str) -> None:
        """Do something besides; it is awaited or ended by ``close``. Its failure is logged."""
        task = asyncio.create_task(self._guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[object, object, object], name: str) -> None:
        try:
            await work
        except Exception:
            _log.exception("%s failed", name)

    async def close(self) -> None:
        """No more calls of listeners; what runs besides is ended."""
        for end in self._ends:
            end()
        self._ends.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
