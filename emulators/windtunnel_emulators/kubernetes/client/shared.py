"""One cache per kind, shared by all that work with it in a process; writes go through to it.

Whoever reads after his own write therefore sees it, and no controller has to remember what it just did.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.interface import MERGE_PATCH, Client, Kind
from windtunnel_emulators.kubernetes.client.meta import deleting, uid_of
from windtunnel_emulators.kubernetes.client.objects import Objects

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject


class SharedObjects(Objects):
    """``Objects`` with an informer for each kind that was asked for one."""

    def __init__(self, client: Client, clock: Clock) -> None:
        super().__init__(client)
        self._clock = clock
        self._informers: dict[Kind, Informer] = {}
        self._started = False

    def informer(self, kind: Kind) -> Informer:
        """The cache of that kind; runs with the others."""
        found = self._informers.get(kind)
        if found is None:
            found = self._informers[kind] = Informer(self.client, kind, self._clock)
        return found

    def informed(self, kind: Kind) -> Informer | None:
        """The cache of that kind, if there is one."""
        return self._informers.get(kind)

    async def start(self) -> None:
        """Start the informers that were asked for so far, and wait until each has its first list."""
        informers = list(self._informers.values())
        for informer in informers:
            await informer.start()
        await asyncio.gather(*(informer.synced.wait() for informer in informers))

    async def stop(self) -> None:
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))

    def _written(self, kind: Kind, obj: JsonObject) -> JsonObject:
        informer = self._informers.get(kind)
        if informer is not None and informer.synced.is_set() and uid_of(obj):
            informer.observe(obj)
        return obj

    async def create(self, kind: Kind, obj: JsonObject, namespace: str | None = None) -> JsonObject:
        return self._written(kind, await super().create(kind, obj, namespace))

    async def update(self, kind: Kind, obj: JsonObject, subresource: str | None = None) -> JsonObject:
        written = await super().update(kind, obj, subresource)
        return self._written(kind, written) if subresource in (None, "status") else written

    async def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Json,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str | None = None,
    ) -> JsonObject:
        written = await super().patch(kind, namespace, name, body, content_type=content_type, subresource=subresource)
        return self._written(kind, written) if subresource in (None, "status") else written

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_s: int | None = None,
        propagation: str | None = None,
    ) -> JsonObject | None:
        known = None if (informer := self._informers.get(kind)) is None else informer.get(namespace, name)
        answer = await super().delete(
            kind,
            namespace,
            name,
            uid=uid,
            resource_version=resource_version,
            grace_period_s=grace_period_s,
            propagation=propagation,
        )
        if informer is None or not informer.synced.is_set():
            return answer
        if answer is not None and uid_of(answer) and deleting(answer):
            informer.observe(answer)
        elif known is not None and (answer is None or uid is None or uid_of(known) == uid):
            informer.forget(known)
        return answer
