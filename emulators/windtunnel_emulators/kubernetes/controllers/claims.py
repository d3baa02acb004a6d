"""Which objects an owner controls: those it owns and selects; orphans it selects are adopted, others let go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import STRATEGIC_MERGE_PATCH, Kind, StatusError
from windtunnel_emulators.kubernetes.client.meta import (
    controller_of,
    deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.selectors import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.shared import SharedObjects


def classify(
    owner: JsonObject, selector: Json, candidates: Iterable[JsonObject]
) -> tuple[list[JsonObject], list[JsonObject], list[JsonObject]]:
    """(owned and kept, orphans to adopt, owned to release). Nothing is adopted by or released from an owner that is
    being deleted, nor adopted while it is itself being deleted."""
    kept: list[JsonObject] = []
    adopt: list[JsonObject] = []
    release: list[JsonObject] = []
    for each in candidates:
        reference = controller_of(each)
        if reference is not None and text(reference, "uid") != uid_of(owner):
            continue
        selected = matches(selector, labels_of(each))
        if reference is not None:
            if selected:
                kept.append(each)
            elif not deleting(owner):
                release.append(each)
        elif selected and not deleting(owner) and not deleting(each):
            adopt.append(each)
    return kept, adopt, release


class Claims:
    """Carries out what ``classify`` says for owners of one kind and dependants of another."""

    def __init__(self, objects: SharedObjects, owners: Kind, dependants: Kind) -> None:
        self._objects = objects
        self._owners = owners
        self._dependants = dependants
        informer = objects.informer(dependants)
        informer.add_index("controller", _controller_uid)
        informer.add_index("orphans", _orphan_namespace)
        self._informer = informer

    async def claim(
        self, owner: JsonObject, selector: Json, *, adoptable: Callable[[JsonObject], bool] | None = None
    ) -> list[JsonObject]:
        """The dependants of ``owner``, after adoption and release."""
        candidates = self._informer.by_index("controller", uid_of(owner))
        orphans = self._informer.by_index("orphans", namespace_of(owner))
        if adoptable is not None:
            orphans = [each for each in orphans if adoptable(each)]
        kept, adopt, release = classify(owner, selector, [*candidates, *orphans])
        for each in release:
            await self._patch(each, {"$patch": "delete", "uid": uid_of(owner)})
        if adopt:
            # The cache may not know yet that the owner is gone or was replaced by another of its name.
            fresh = await self._objects.find(self._owners, namespace_of(owner), name_of(owner))
            if fresh is None or uid_of(fresh) != uid_of(owner) or deleting(fresh):
                return kept
            for each in adopt:
                adopted = await self._patch(each, owner_reference(owner, self._owners))
                if adopted is not None:
                    kept.append(adopted)
        return kept

    async def _patch(self, dependant: JsonObject, reference: JsonObject) -> JsonObject | None:
        body: JsonObject = {"metadata": {"uid": uid_of(dependant), "ownerReferences": [reference]}}
        try:
            return await self._objects.patch(
                self._dependants,
                namespace_of(dependant),
                name_of(dependant),
                body,
                content_type=STRATEGIC_MERGE_PATCH,
            )
        except StatusError as failure:
            # Gone, or another of its name: nothing to own.
            if failure.code in (404, 422) or (failure.code == 409 and "UID" in str(failure)):
                return None
            raise


def _controller_uid(obj: JsonObject) -> Iterable[str]:
    reference = controller_of(obj)
    return () if reference is None else (text(reference, "uid"),)


def _orphan_namespace(obj: JsonObject) -> Iterable[str]:
    return (namespace_of(obj),) if controller_of(obj) is None else ()
