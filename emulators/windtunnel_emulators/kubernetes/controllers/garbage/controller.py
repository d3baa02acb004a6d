"""The garbage collector: watches every kind that can be deleted, custom ones too, and acts on owner references.

Kinds that other controllers watch are shared with them; of the rest only the metadata is kept.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.discovery import Discovery, discover
from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.interface import MERGE_PATCH, Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import CUSTOM_RESOURCE_DEFINITION
from windtunnel_emulators.kubernetes.client.meta import entries, mapping, text, uid_of, words
from windtunnel_emulators.kubernetes.client.queue import WorkQueue
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.garbage.graph import (
    FOREGROUND,
    ORPHAN,
    Fate,
    Graph,
    Item,
    Owner,
    OwnerState,
    fate,
    item_of,
    propagation,
)

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_log = logging.getLogger(__name__)

# events are of no owner and many; the rest cannot be watched or is served twice.
_IGNORED = frozenset(
    {("", "events"), ("events.k8s.io", "events"), ("metrics.k8s.io", "pods"), ("metrics.k8s.io", "nodes")}
)
_LOOK_AGAIN_S = 30.0
_SYNC_LIMIT_S = 10.0


class GarbageCollector(Controller):
    """The controller of owner references."""

    name = "garbage-collector-controller"
    workers = 10

    def prepare(self) -> None:
        self._graph = Graph()
        self._discovery = Discovery(served=())
        self._monitors: dict[Kind, Informer] = {}
        self._own: set[Kind] = set()
        self._ready = asyncio.Event()
        self._kinds = WorkQueue(self.clock)
        self.objects.informer(CUSTOM_RESOURCE_DEFINITION).add_handler(lambda _old, _new: self._kinds.add("crd"))

    async def start(self) -> None:
        self._kinds.add("start")
        self.also(asyncio.create_task(self._follow_kinds(), name="kinds that are collected"))
        await super().start()

    async def stop(self) -> None:
        await self._kinds.close()
        await super().stop()
        for kind in self._own:
            await self._monitors[kind].stop()

    # The kinds

    async def _follow_kinds(self) -> None:
        while (key := await self._kinds.get()) is not None:
            try:
                await self._discover()
            except KubernetesProblem as failure:
                _log.info("kinds that are collected: %s", failure)
                self._kinds.add_rate_limited(key)
            else:
                self._kinds.forget(key)
            finally:
                self._kinds.done(key)
            # A definition is served some time after it was written; nothing tells when.
            self._kinds.add_after("again", _LOOK_AGAIN_S)

    async def _discover(self) -> None:
        discovery = await discover(self.objects.client)
        wanted = {
            each.kind
            for each in discovery.served
            if {"list", "watch", "delete"} <= each.verbs and (each.kind.group, each.kind.plural) not in _IGNORED
        }
        self._discovery = discovery
        failed = {group for group, _ in discovery.failures}
        for kind in [each for each in self._monitors if each not in wanted and each.api_version not in failed]:
            await self._unmonitor(kind)
        added = [kind for kind in wanted if kind not in self._monitors]
        for kind in added:
            await self._monitor(kind)
        waits = [asyncio.create_task(self._monitors[kind].synced.wait()) for kind in added]
        if waits:
            # A kind that cannot be listed (an aggregated API that is down) does not keep the others.
            _, late = await asyncio.wait(waits, timeout=_SYNC_LIMIT_S)
            for each in late:
                each.cancel()
        if not self._ready.is_set():
            self._ready.set()
            for item in self._graph.items():
                self._consider(item)

    async def _monitor(self, kind: Kind) -> None:
        shared = self.objects.informed(kind)
        informer = shared or Informer(self.objects.client, kind, self.clock, transform=_metadata_only)
        self._monitors[kind] = informer

        def changed(old: JsonObject | None, new: JsonObject | None) -> None:
            if new is not None:
                self._changed(item_of(kind, new))
            elif old is not None:
                self._gone(uid_of(old))

        informer.add_handler(changed)
        if shared is None:
            self._own.add(kind)
            await informer.start()

    async def _unmonitor(self, kind: Kind) -> None:
        informer = self._monitors.pop(kind)
        if kind in self._own:
            self._own.discard(kind)
            await informer.stop()
        for item in self._graph.items():
            if item.kind == kind:
                self._gone(item.uid)

    # The graph

    def _changed(self, item: Item) -> None:
        old = self._graph.put(item)
        if self._ready.is_set() and (old is None or old != item):
            self._consider(item)
            if old is not None:
                dropped = {each for each in old.owners if each.blocks} - set(item.owners)
                for owner in dropped:
                    self.queue.add(owner.uid)

    def _consider(self, item: Item) -> None:
        """Queue it where it may have to act or be acted on."""
        if item.waits_for_dependants or item.orphans_dependants:
            self.queue.add(item.uid)
        if item.waits_for_dependants:
            for each in self._graph.dependants(item.uid):
                self.queue.add(each.uid)
        for owner in item.owners:
            known = self._graph.get(owner.uid)
            if known is None or known.waits_for_dependants:
                self.queue.add(item.uid)
                if known is not None:
                    self.queue.add(known.uid)

    def _gone(self, uid: str) -> None:
        item = self._graph.remove(uid)
        if not self._ready.is_set():
            return
        for each in self._graph.dependants(uid):
            self.queue.add(each.uid)
        for owner in () if item is None else item.owners:
            known = self._graph.get(owner.uid)
            if known is not None and known.waits_for_dependants:
                self.queue.add(owner.uid)

    # The work

    async def reconcile(self, key: str) -> None:
        await self._ready.wait()
        item = self._graph.get(key)
        if item is None:
            return
        if item.orphans_dependants:
            await self._orphan(item)
            return
        if item.waits_for_dependants:
            if not self._graph.blockers(item.uid):
                await self._drop_finalizer(item, FOREGROUND)
            return
        if item.deleting or not item.owners:
            return
        live = await self.objects.find(item.kind, item.namespace or None, item.name)
        if live is None or uid_of(live) != item.uid:
            return
        item = item_of(item.kind, live)
        if item.deleting or not item.owners:
            return
        states = {each.uid: await self._state(item, each) for each in item.owners}
        dependants = self._graph.dependants(item.uid)
        decided = fate(item, states, dependants)
        match decided:
            case Fate.STAYS:
                return
            case Fate.LOSES_OWNERS:
                kept = {uid for uid, state in states.items() if state is OwnerState.SOLID}
                await self._keep_owners(live, item, kept)
            case Fate.GOES_IN_FOREGROUND:
                # A ring of owners that wait for one another would never end: those that wait already do not block.
                for each in dependants:
                    if each.waits_for_dependants:
                        await self._unblock(each, item.uid)
                await self._delete(item, "Foreground")
            case Fate.GOES:
                await self._delete(item, propagation(item))

    async def _state(self, item: Item, owner: Owner) -> OwnerState:
        kind = self._discovery.find(owner.api_version, owner.kind)
        if kind is None:
            raise StatusError(
                {
                    "code": 404,
                    "reason": "NoKind",
                    "message": f"no kind {owner.kind!r} in {owner.api_version!r} is served",
                }
            )
        if kind.namespaced and not item.namespace:
            return OwnerState.ABSENT
        live = await self.objects.find(kind, item.namespace or None, owner.name)
        if live is None or uid_of(live) != owner.uid:
            return OwnerState.ABSENT
        return OwnerState.WAITING if item_of(kind, live).waits_for_dependants else OwnerState.SOLID

    async def _delete(self, item: Item, policy: str) -> None:
        await self.objects.delete(item.kind, item.namespace or None, item.name, uid=item.uid, propagation=policy)

    async def _orphan(self, item: Item) -> None:
        for each in self._graph.dependants(item.uid):
            live = await self.objects.find(each.kind, each.namespace or None, each.name)
            if live is not None and uid_of(live) == each.uid:
                owners = {owner.uid for owner in item_of(each.kind, live).owners} - {item.uid}
                await self._keep_owners(live, each, owners)
        await self._drop_finalizer(item, ORPHAN)

    async def _keep_owners(self, live: JsonObject, item: Item, kept: set[str]) -> None:
        references: list[Json] = [
            each for each in entries(live, "metadata", "ownerReferences") if text(each, "uid") in kept
        ]
        await self._patch(live, item, {"ownerReferences": references or None})

    async def _unblock(self, item: Item, owner: str) -> None:
        live = await self.objects.find(item.kind, item.namespace or None, item.name)
        if live is None or uid_of(live) != item.uid:
            return
        references: list[Json] = [
            {**each, "blockOwnerDeletion": False} if text(each, "uid") == owner else each
            for each in entries(live, "metadata", "ownerReferences")
        ]
        await self._patch(live, item, {"ownerReferences": references})

    async def _drop_finalizer(self, item: Item, finalizer: str) -> None:
        live = await self.objects.find(item.kind, item.namespace or None, item.name)
        if live is None or uid_of(live) != item.uid:
            self._gone(item.uid)
            return
        finalizers: list[Json] = [each for each in words(live, "metadata", "finalizers") if each != finalizer]
        await self._patch(live, item, {"finalizers": finalizers or None})

    async def _patch(self, live: JsonObject, item: Item, metadata: JsonObject) -> None:
        """A merge patch of this version and no other: lists are replaced whole."""
        version = text(live, "metadata", "resourceVersion")
        body: JsonObject = {"metadata": {**metadata, "resourceVersion": version, "uid": item.uid}}
        try:
            await self.objects.patch(item.kind, item.namespace or None, item.name, body, content_type=MERGE_PATCH)
        except StatusError as failure:
            if failure.code != 404:
                raise


def _metadata_only(obj: JsonObject) -> JsonObject:
    metadata = mapping(obj, "metadata")
    kept = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
    return {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "metadata": {field: metadata[field] for field in kept if field in metadata},
    }
