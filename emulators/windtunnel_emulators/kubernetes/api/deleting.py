"""Delete and delete collection: preconditions, grace, finalizers, propagation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api import rules
from windtunnel_emulators.kubernetes.api.failures import conflict
from windtunnel_emulators.kubernetes.api.reading import find
from windtunnel_emulators.kubernetes.api.storage import Changed

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Access, User
    from windtunnel_emulators.kubernetes.api.options import DeleteOptions
    from windtunnel_emulators.kubernetes.api.requests import Target
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Storage, Stored

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A deletion as it was asked for."""

    target: Target
    served: Served
    user: User
    options: DeleteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What became of it. ``gone`` is False while grace or finalizers hold the object."""

    object: JsonObject
    gone: bool


class Deleting:
    """The deletions of one cluster."""

    def __init__(self, storage: Storage, access: Access, clock: Clock) -> None:
        self._storage = storage
        self._access = access
        self._clock = clock

    async def delete(self, deletion: Deletion) -> Deleted:
        """Delete the object of a path, or begin to. Raises ``Failure``."""
        served, options = deletion.served, deletion.options
        while True:
            current = find(self._storage, served, deletion.target)
            self._check(served, current, options)
            await self._access.admit(rules.admission(deletion, current))
            try:
                return await self._delete(served, current, options)
            except Changed:
                continue  # looked at again, preconditions too

    def _check(self, served: Served, current: Stored, options: DeleteOptions) -> None:
        name, kind = current.key[1], served.kind
        uid = meta.text(current.object, "uid")
        if options.uid and options.uid != uid:
            why = (
                f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid})."
                " The object might have been deleted and then recreated"
            )
            raise conflict(kind.group, kind.name, name, why)
        if options.version and options.version != str(current.version):
            why = (
                f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in"
                f" record ({current.version}). The object might have been modified"
            )
            raise conflict(kind.group, kind.name, name, why)

    async def _delete(self, served: Served, current: Stored, options: DeleteOptions) -> Deleted:
        whole, now = current.object, self._clock.now()
        found = meta.of(whole)
        finalizers = self._finalizers(served, found, options)
        grace = rules.grace_s(served, whole, options.grace_s)
        deleting = as_str(found.get("deletionTimestamp"))
        if not finalizers and not grace and not rules.spec_finalizers(whole):
            if options.dry_run:
                return Deleted(object=whole, gone=True)
            last: JsonObject | None = None
            if served.kind.plural == "pods" and served.kind.group == "":
                # A pod's last state says how long it was given.
                last = self._marked(whole, found, list(finalizers), now_text=meta.timestamp(now), grace=0)
            stored = await self._storage.remove(served.storage, current, last)
            return Deleted(object=stored.object, gone=True)
        if deleting:
            left = found.get("deletionGracePeriodSeconds")
            shorter = isinstance(left, int) and grace < left
            if not shorter and finalizers == as_list(found.get("finalizers")):
                return Deleted(object=whole, gone=False)
            if shorter:
                began = meta.parse_timestamp(deleting) - timedelta(seconds=float(left if isinstance(left, int) else 0))
                end = began + timedelta(seconds=grace)
                marked = self._marked(
                    whole, found, finalizers, now_text=meta.timestamp(max(end, now) if grace else now), grace=grace
                )
            else:
                marked = meta.with_metadata(whole, {**found, "finalizers": finalizers})
        else:
            end_text = meta.timestamp(now + timedelta(seconds=grace))
            marked = self._marked(whole, found, finalizers, now_text=end_text, grace=grace)
            marked = rules.begun_deletion(marked)
        if options.dry_run:
            return Deleted(object=marked, gone=False)
        stored = await self._storage.replace(served.storage, current, marked)
        return Deleted(object=stored.object, gone=False)

    def _finalizers(self, served: Served, found: JsonObject, options: DeleteOptions) -> list[Json]:
        present = as_list(found.get("finalizers"))
        policy = options.policy or ("" if present_policy(present) else rules.default_policy(served))
        own: list[Json] = [
            name
            for name in rules.deletion_finalizers(served)
            if name not in present and not found.get("deletionTimestamp")
        ]
        if not policy:
            return [*present, *own] if own else present
        kept: list[Json] = [name for name in (*present, *own) if name not in (_FOREGROUND, _ORPHAN)]
        if policy == "Foreground":
            kept.append(_FOREGROUND)
        elif policy == "Orphan":
            kept.append(_ORPHAN)
        return kept

    def _marked(
        self, whole: JsonObject, found: JsonObject, finalizers: list[Json], *, now_text: str, grace: int
    ) -> JsonObject:
        metadata: JsonObject = {
            **found,
            "deletionTimestamp": now_text,
            "deletionGracePeriodSeconds": grace,
            "finalizers": finalizers,
        }
        generation = found.get("generation")
        if isinstance(generation, int) and not found.get("deletionTimestamp"):
            metadata["generation"] = generation + 1
        return meta.with_metadata(whole, metadata)


def present_policy(finalizers: list[Json]) -> bool:
    """Whether somebody has said already what becomes of the dependents."""
    return _FOREGROUND in finalizers or _ORPHAN in finalizers


def success(served: Served, whole: JsonObject) -> JsonObject:
    """The ``Status`` of a deletion that is done."""
    details: JsonObject = {"name": meta.text(whole, "name")}
    if served.kind.group:
        details["group"] = served.kind.group
    details["kind"] = served.kind.plural
    details["uid"] = as_object(whole.get("metadata")).get("uid")
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
