"""CustomResourceDefinitions: served from the commit of the write that defines them until their last object is gone."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.rules import DEFINITION_FINALIZER as FINALIZER
from windtunnel_emulators.kubernetes.api.rules import DEFINITIONS as RESOURCE
from windtunnel_emulators.kubernetes.api.storage import Changed
from windtunnel_emulators.kubernetes.objects import structural

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Event, Storage, Stored

_log = logging.getLogger(__name__)


def _condition(kind: str, status: str, reason: str, message: str, now: datetime) -> JsonObject:
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": meta.timestamp(now),
        "reason": reason,
        "message": message,
    }


def with_status(definition: JsonObject, taken: Callable[[str, JsonObject], str], now: datetime) -> JsonObject:
    """A definition with its status: whether its names are accepted, and so whether it is served.

    ``taken`` says which of the names another kind of the group has; empty when they are free.
    """
    spec = as_object(definition.get("spec"))
    names = as_object(spec.get("names"))
    status = as_object(definition.get("status"))
    problem = taken(meta.text(definition, "name"), spec)
    if problem:
        wanted = [
            _condition("NamesAccepted", "False", "NamesConflict", problem, now),
            _condition("Established", "False", "NotAccepted", "not all names are accepted", now),
        ]
        accepted: JsonObject = as_object(status.get("acceptedNames")) or as_object({"plural": "", "kind": ""})
    else:
        wanted = [
            _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
            _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now),
        ]
        kind = as_str(names.get("kind"))
        accepted = {"listKind": f"{kind}List", "singular": kind.lower(), **names}
    conditions = [as_object(condition) for condition in as_list(status.get("conditions"))]
    for condition in wanted:
        found = next((known for known in conditions if known.get("type") == condition["type"]), None)
        if found is None:
            conditions.append(condition)
        elif found.get("status") != condition["status"]:
            conditions[conditions.index(found)] = condition
    stored = [as_str(name) for name in as_list(status.get("storedVersions"))]
    current = storage_version(definition)
    if current and current not in stored:
        stored.append(current)
    listed: list[Json] = [*conditions]
    made: JsonObject = {**status, "conditions": listed, "acceptedNames": accepted, "storedVersions": [*stored]}
    return {**definition, "status": made}


def storage_version(definition: JsonObject) -> str:
    """The version in which the objects are stored."""
    for version in as_list(as_object(definition.get("spec")).get("versions")):
        if as_object(version).get("storage"):
            return as_str(as_object(version).get("name"))
    return ""


def is_true(definition: JsonObject, condition: str) -> bool:
    """Whether a condition of the status holds."""
    for found in as_list(as_object(definition.get("status")).get("conditions")):
        if as_object(found).get("type") == condition:
            return as_object(found).get("status") == "True"
    return False


class Definitions:
    """Keeps a registry to what the definitions of a cluster say."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        clock: Clock,
        delete_all: Callable[[Served], Awaitable[None]],
    ) -> None:
        self._storage = storage
        self._registry = registry
        self._clock = clock
        self._delete_all = delete_all
        self._cleanups: dict[str, asyncio.Task[None]] = {}
        self._end: Callable[[], None] = lambda: None

    def completed(self, new: JsonObject, old: JsonObject | None) -> JsonObject:
        """A definition as it is written: with its status."""
        return with_status(new, self.taken, self._clock.now())

    def terminating(self, served: Served) -> bool:
        """Whether the definition of a kind is being deleted: nothing more of the kind is created."""
        name = f"{served.kind.plural}.{served.kind.group}"
        found = self._storage.table(RESOURCE).objects.get(("", name))
        return found is not None and bool(meta.text(found.object, "deletionTimestamp"))

    def start(self) -> None:
        """Serve what is defined, and follow what changes."""
        for stored in self._storage.table(RESOURCE).objects_in(None):
            self._follow(stored.object)
        self._end = self._storage.listen(RESOURCE, self._receive)

    async def stop(self) -> None:
        self._end()
        for task in self._cleanups.values():
            task.cancel()
        await asyncio.gather(*self._cleanups.values(), return_exceptions=True)
        self._cleanups.clear()

    def taken(self, name: str, spec: JsonObject) -> str:
        """Which of a definition's names another kind of its group has; empty when they are free."""
        group, names = as_str(spec.get("group")), as_object(spec.get("names"))
        kind, list_kind = as_str(names.get("kind")), as_str(names.get("listKind")) or f"{names.get('kind')}List"
        short = {as_str(word) for word in as_list(names.get("shortNames"))} | {as_str(names.get("singular"))}
        for stored in self._storage.table(RESOURCE).objects_in(None):
            if stored.key[1] == name or as_object(stored.object.get("spec")).get("group") != group:
                continue
            other = as_object(as_object(stored.object.get("status")).get("acceptedNames"))
            used = {as_str(word) for word in as_list(other.get("shortNames"))} | {as_str(other.get("singular"))}
            if kind == other.get("kind") or list_kind == other.get("listKind"):
                return f'"{kind}" is already in use'
            both = sorted(word for word in short & used if word)
            if both:
                return f'"{both[0]}" is already in use'
        return ""

    def _receive(self, event: Event) -> None:
        if event.deleted:
            self._withdraw(event.new.object)
            return
        before = None if event.old is None else event.old.object
        after = event.new.object
        if before is None or before.get("spec") != after.get("spec") or before.get("status") != after.get("status"):
            self._follow(after)
        elif meta.text(after, "deletionTimestamp"):
            self._clean_up(after)

    def _follow(self, definition: JsonObject) -> None:
        if is_true(definition, "Established"):
            spec = as_object(definition.get("spec"))
            group, plural = as_str(spec.get("group")), as_str(as_object(spec.get("names")).get("plural"))
            infos = structural.kind_infos(definition)
            self._registry.replace_custom(group, plural, infos, storage_version(definition))
            self._reshape(group, plural)
        if meta.text(definition, "deletionTimestamp"):
            self._clean_up(definition)

    def _reshape(self, group: str, plural: str) -> None:
        """Objects are seen with what the schema of today says of them, whenever they were written."""
        kept = self._registry.storing(group, plural)
        if kept is None:
            return
        self._storage.table(kept.storage).reshape(lambda whole: structural.reshaped(kept.info, kept.present(whole)))

    def _withdraw(self, definition: JsonObject) -> None:
        spec = as_object(definition.get("spec"))
        names = as_object(spec.get("names"))
        self._registry.replace_custom(as_str(spec.get("group")), as_str(names.get("plural")), (), "")

    def _clean_up(self, definition: JsonObject) -> None:
        name = meta.text(definition, "name")
        if name in self._cleanups or FINALIZER not in as_list(meta.of(definition).get("finalizers")):
            return
        task = asyncio.get_running_loop().create_task(self._cleaned(name), name=f"end of {name}")
        self._cleanups[name] = task
        task.add_done_callback(lambda _: self._cleanups.pop(name, None))

    async def _cleaned(self, name: str) -> None:
        """Delete the objects, wait until none is left, then let the definition go."""
        table = self._storage.table(RESOURCE)
        key = ("", name)
        while (current := table.objects.get(key)) is not None:
            spec = as_object(current.object.get("spec"))
            group, plural = as_str(spec.get("group")), as_str(as_object(spec.get("names")).get("plural"))
            kept = self._registry.storing(group, plural)
            if kept is not None:
                try:
                    await self._delete_all(kept)
                except Exception:
                    _log.exception("the objects of %s cannot be deleted", name)
                if self._storage.table(kept.storage).objects:
                    await self._clock.sleep(0.2)  # finalizers hold some
                    continue
            try:
                await self._let_go(current)
            except Changed:
                continue
            return

    async def _let_go(self, current: Stored) -> None:
        metadata = meta.of(current.object)
        left = [name for name in as_list(metadata.get("finalizers")) if name != FINALIZER]
        whole = meta.with_metadata(current.object, {**metadata, "finalizers": left})
        if left:
            await self._storage.replace(RESOURCE, current, whole)
        else:
            await self._storage.remove(RESOURCE, current, whole)
