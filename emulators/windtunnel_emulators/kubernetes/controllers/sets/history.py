"""The revisions of stateful and daemon sets: what each template was, by number and by hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import CONTROLLER_REVISION
from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    dig,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    owner_reference,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.deployments.revisions import template_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Kind
    from windtunnel_emulators.kubernetes.client.shared import SharedObjects

HASH = "controller-revision-hash"


def data_of(owner: JsonObject) -> JsonObject:
    """The patch that restores its template: what ``kubectl rollout undo`` applies."""
    return {"spec": {"template": {**mapping(owner, "spec", "template"), "$patch": "replace"}}}


def hash_of(revision: JsonObject) -> str:
    return labels_of(revision).get(HASH) or name_of(revision).rpartition("-")[2]


class History:
    """The ControllerRevisions of owners of one kind."""

    def __init__(self, objects: SharedObjects, owners: Kind) -> None:
        self._objects = objects
        self._owners = owners
        self._claims = Claims(objects, owners, CONTROLLER_REVISION)

    async def current(self, owner: JsonObject) -> tuple[JsonObject, list[JsonObject]]:
        """(the revision of its template, all of them in order); made, or renumbered as the latest, where need be."""
        revisions = await self._claims.claim(owner, dig(owner, "spec", "selector"))
        revisions.sort(key=lambda each: (number(each, "revision"), name_of(each)))
        wanted = data_of(owner)
        latest = number(revisions[-1], "revision") if revisions else 0
        alike = [each for each in revisions if each.get("data") == wanted]
        if alike:
            found = alike[-1]
            if number(found, "revision") < latest:
                found = await self._objects.update(CONTROLLER_REVISION, {**found, "revision": latest + 1})
                revisions = [each for each in revisions if uid_of(each) != uid_of(found)] + [found]
            return found, revisions
        made = await self._create(owner, wanted, latest + 1)
        return made, [*revisions, made]

    async def _create(self, owner: JsonObject, data: JsonObject, revision: int) -> JsonObject:
        for collision in range(10):
            hashed = template_hash(mapping(owner, "spec", "template"), collision or None)
            labels: JsonObject = {**mapping(owner, "spec", "template", "metadata", "labels"), HASH: hashed}
            metadata: JsonObject = {
                "name": f"{name_of(owner)}-{hashed}",
                "namespace": namespace_of(owner),
                "labels": labels,
                "annotations": dict(annotations_of(owner)),
                "ownerReferences": [owner_reference(owner, self._owners)],
            }
            body: JsonObject = {"metadata": metadata, "data": data, "revision": revision}
            try:
                return await self._objects.create(CONTROLLER_REVISION, body)
            except StatusError as failure:
                if not already_exists(failure):
                    raise
                taken = await self._objects.get(CONTROLLER_REVISION, namespace_of(owner), f"{name_of(owner)}-{hashed}")
                if taken.get("data") == data:
                    return taken
        raise StatusError({"code": 409, "reason": "Conflict", "message": f"no free revision name for {name_of(owner)}"})

    async def clean(self, owner: JsonObject, revisions: Sequence[JsonObject], live: Collection[str]) -> None:
        """Remove what is beyond ``revisionHistoryLimit``, oldest first; ``live`` are the hashes that pods have."""
        limit = number(owner, "spec", "revisionHistoryLimit", default=10)
        unused = [each for each in revisions if hash_of(each) not in live]
        for each in unused[: max(len(unused) - limit, 0)]:
            await self._objects.delete(CONTROLLER_REVISION, namespace_of(each), name_of(each), uid=uid_of(each))
