"""Empties namespaces that are being deleted, of every kind the API serves, and then lets them go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.discovery import Discovery, discover
from windtunnel_emulators.kubernetes.client.interface import Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import NAMESPACE, POD
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    deleting,
    entries,
    mapping,
    name_of,
    namespace_of,
    text,
    timestamp,
    uid_of,
    words,
)
from windtunnel_emulators.kubernetes.client.objects import conflict
from windtunnel_emulators.kubernetes.controllers.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject

FINALIZER = "kubernetes"
_AT_ONCE = 8


@dataclass(slots=True, kw_only=True)
class Found:
    """What a pass over a namespace's content met."""

    discovery: tuple[tuple[str, str], ...] = ()
    failures: list[str] = field(default_factory=list[str])
    remaining: dict[str, int] = field(default_factory=dict[str, int])
    """``plural.group`` → how many are left"""
    finalizers: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def empty(self) -> bool:
        return not (self.discovery or self.failures or self.remaining)


def conditions_of(found: Found, known: Sequence[JsonObject], now: datetime) -> list[JsonObject]:
    """The five conditions of a namespace that is going, in the order and words of the API's documentation."""
    remain = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(found.remaining.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(found.finalizers.items()))
    failed = "; ".join(f"{group}: {said}" for group, said in found.discovery)
    rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            bool(failed),
            ("DiscoveryFailed", f"Discovery failed for some groups, {len(found.discovery)} failing: {failed}"),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            ("GroupVersionParsingFailed", ""),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            bool(found.failures),
            (
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {len(found.failures)} remaining: " + "; ".join(found.failures),
            ),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            bool(found.remaining),
            ("SomeResourcesRemain", f"Some resources are remaining: {remain}"),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            bool(found.finalizers),
            ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {held}"),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    ]
    result: list[JsonObject] = []
    for type_, holds, yes, no in rows:
        reason, message = yes if holds else no
        status = "True" if holds else "False"
        before = next((each for each in known if each.get("type") == type_), None)
        same = before is not None and before.get("status") == status
        since = before.get("lastTransitionTime") if before is not None and same else timestamp(now)
        result.append(
            {"type": type_, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
        )
    return result


class Namespaces(Controller):
    """The controller that makes namespaces really go."""

    name = "namespace-controller"
    workers = 5

    def prepare(self) -> None:
        self._tries: dict[str, int] = {}
        self._namespaces = self.watch(NAMESPACE)
        self._pods = self.objects.informer(POD)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if old is not None and new is None:
            namespace = self._namespaces.get(None, namespace_of(old))
            if namespace is not None and deleting(namespace):
                self.queue.add(name_of(namespace))

    async def reconcile(self, key: str) -> None:
        namespace = self._namespaces.get(None, key)
        if namespace is None or not deleting(namespace):
            return
        if FINALIZER not in words(namespace, "spec", "finalizers"):
            return
        if text(namespace, "status", "phase") != "Terminating":
            status: JsonObject = {**mapping(namespace, "status"), "phase": "Terminating"}
            namespace = await self.objects.update_status(NAMESPACE, {**namespace, "status": status})
        found = await self._empty(key)
        namespace = await self._say(namespace, found)
        if found.empty:
            await self._finalize(namespace)
            return
        # Pods wake us when they go; the rest is looked at again, later each time.
        self.queue.add_after(key, self._wait(key))

    def _wait(self, key: str) -> float:
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        return min(self.settings.namespace_retry_s * float(2 ** min(tries - 1, 10)), 10.0)

    async def _empty(self, name: str) -> Found:
        found = Found()
        try:
            discovery = await discover(self.objects.client)
        except KubernetesProblem as failure:
            found.discovery = (("apis", str(failure)),)
            return found
        found.discovery = discovery.failures
        # Pods first and alone (KEP-5080): what they were given must outlast them.
        await self._empty_kind(POD, frozenset({"deletecollection", "list"}), name, found)
        if found.remaining:
            return found
        await self._empty_others(discovery, name, found)
        return found

    async def _empty_others(self, discovery: Discovery, name: str, found: Found) -> None:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(kind: Kind, verbs: frozenset[str]) -> None:
            async with limit:
                await self._empty_kind(kind, verbs, name, found)

        await asyncio.gather(
            *(
                one(each.kind, each.verbs)
                for each in discovery.served
                if each.kind.namespaced and each.kind != POD and {"list", "delete"} <= each.verbs
            )
        )

    async def _empty_kind(self, kind: Kind, verbs: frozenset[str], namespace: str, found: Found) -> None:
        try:
            left = await self.objects.list(kind, namespace)
            if not left:
                return
            if "deletecollection" in verbs:
                query = {"propagationPolicy": "Background"}
                await self.objects.delete_collection(kind, namespace, query=query)
            else:
                for each in left:
                    await self.objects.delete(kind, namespace, name_of(each), uid=uid_of(each))
            left = await self.objects.list(kind, namespace)
        except StatusError as failure:
            if failure.code not in (404, 405):
                found.failures.append(f"{kind.plural}: {failure}")
            return
        except KubernetesProblem as failure:
            found.failures.append(f"{kind.plural}: {failure}")
            return
        if left:
            found.remaining[f"{kind.plural}.{kind.group}"] = len(left)
            for each in left:
                for finalizer in words(each, "metadata", "finalizers"):
                    found.finalizers[finalizer] = found.finalizers.get(finalizer, 0) + 1

    async def _say(self, namespace: JsonObject, found: Found) -> JsonObject:
        known = entries(namespace, "status", "conditions")
        ours: list[JsonObject] = conditions_of(found, known, self.clock.now())
        if all(condition(namespace, text(each, "type")) == each for each in ours):
            return namespace
        types = {each["type"] for each in ours if isinstance(each["type"], str)}
        others: list[Json] = [each for each in known if each.get("type") not in types]
        status: JsonObject = {**mapping(namespace, "status"), "conditions": [*others, *ours]}
        return await self.objects.update_status(NAMESPACE, {**namespace, "status": status})

    async def _finalize(self, namespace: JsonObject) -> None:
        self._tries.pop(name_of(namespace), None)
        kept: list[Json] = [each for each in words(namespace, "spec", "finalizers") if each != FINALIZER]
        spec: JsonObject = {**mapping(namespace, "spec"), "finalizers": kept}
        try:
            await self.objects.update(NAMESPACE, {**namespace, "spec": spec}, "finalize")
        except StatusError as failure:
            if failure.code != 404 and not (conflict(failure) and await self._gone(namespace)):
                raise

    async def _gone(self, namespace: JsonObject) -> bool:
        return await self.objects.find(NAMESPACE, None, name_of(namespace)) is None
