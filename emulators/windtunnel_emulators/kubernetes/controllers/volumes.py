"""Binds claims to volumes that exist; makes none.

Provisioning is a storage driver's work, and there is none here: a claim that no volume fits stays Pending, with an
event that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.kinds import (
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
)
from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    deleting,
    dig,
    entries,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    text,
    uid_of,
    words,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.pods import finished
from windtunnel_emulators.kubernetes.objects.quantities import ZERO, Quantity, QuantityError, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

_COMPLETED = "pv.kubernetes.io/bind-completed"
_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
_PROTECTION = "kubernetes.io/pvc-protection"
_VOLUME_PROTECTION = "kubernetes.io/pv-protection"


def _size(value: Json) -> Quantity:
    try:
        return read(value)
    except QuantityError:
        return ZERO


def fitting(claim: JsonObject, volumes: Sequence[JsonObject]) -> JsonObject | None:
    """The smallest free volume that the claim fits, or the one that was made for it."""
    wanted = _size(dig(claim, "spec", "resources", "requests", "storage"))
    candidates: list[JsonObject] = []
    for volume in volumes:
        reference = mapping(volume, "spec", "claimRef")
        if reference:
            same = text(reference, "name") == name_of(claim) and text(reference, "namespace") == namespace_of(claim)
            if same and text(reference, "uid") in ("", uid_of(claim)):
                return volume
            continue
        if text(claim, "spec", "volumeName") not in ("", name_of(volume)) or deleting(volume):
            continue
        modes = set(words(claim, "spec", "accessModes"))
        selector = dig(claim, "spec", "selector")
        if (
            text(volume, "spec", "storageClassName") == text(claim, "spec", "storageClassName")
            and modes <= set(words(volume, "spec", "accessModes"))
            and text(volume, "spec", "volumeMode", default="Filesystem")
            == text(claim, "spec", "volumeMode", default="Filesystem")
            and (selector is None or matches(selector, labels_of(volume)))
            and _size(dig(volume, "spec", "capacity", "storage")) >= wanted
        ):
            candidates.append(volume)
    return min(
        candidates,
        key=lambda each: (_size(dig(each, "spec", "capacity", "storage")).amount, name_of(each)),
        default=None,
    )


class VolumeBinding(Controller):
    """The controller of claims and volumes. Keys of volumes begin with a slash."""

    name = "persistentvolume-binder-controller"
    component = "persistentvolume-controller"
    workers = 1

    def prepare(self) -> None:
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIM)
        self._volumes = self.watch(PERSISTENT_VOLUME, self._keys_of_volume)
        self._classes = self.objects.informer(STORAGE_CLASS)

    def _keys_of_volume(self, volume: JsonObject) -> Iterable[str]:
        yield f"/{name_of(volume)}"
        for claim in self._claims.objects():
            if text(claim, "status", "phase") != "Bound":
                yield key_of(claim)

    async def reconcile(self, key: str) -> None:
        if key.startswith("/"):
            await self._volume(key[1:])
            return
        claim = self._claims.by_key(key)
        if claim is None or deleting(claim):
            return
        bound = text(claim, "spec", "volumeName")
        if bound and text(claim, "status", "phase") == "Bound":
            if self._volumes.get(None, bound) is None:
                await self._phase(claim, "Lost")
            return
        volume = fitting(claim, self._volumes.objects())
        if volume is None:
            if not text(claim, "status", "phase"):
                claim = await self._phase(claim, "Pending")
            self._explain(claim)
            return
        await self._bind(claim, volume)

    def _explain(self, claim: JsonObject) -> None:
        name = text(claim, "spec", "storageClassName")
        if not name:
            said = "no persistent volumes available for this claim and no storage class is set"
            self.recorder.event(claim, NORMAL, "FailedBinding", said)
            return
        storage = self._classes.get(None, name)
        if storage is None:
            said = f'storageclass.storage.k8s.io "{name}" not found'
            self.recorder.event(claim, WARNING, "ProvisioningFailed", said)
        elif text(storage, "volumeBindingMode") == "WaitForFirstConsumer":
            said = "waiting for first consumer to be created before binding"
            self.recorder.event(claim, NORMAL, "WaitForFirstConsumer", said)
        else:
            provisioner = text(storage, "provisioner")
            said = (
                f'Waiting for a volume to be created either by the external provisioner "{provisioner}" '
                "or manually by the system administrator. If volume creation is delayed, please verify that the "
                "provisioner is running and correctly registered."
            )
            self.recorder.event(claim, NORMAL, "ExternalProvisioning", said)

    async def _bind(self, claim: JsonObject, volume: JsonObject) -> None:
        """First the volume, then the claim: a stop in between is gone on with."""
        reference: JsonObject = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": namespace_of(claim),
            "name": name_of(claim),
            "uid": uid_of(claim),
            "resourceVersion": text(claim, "metadata", "resourceVersion"),
        }
        if text(volume, "spec", "claimRef", "uid") != uid_of(claim):
            marked: JsonObject = {**annotations_of(volume), _BY_CONTROLLER: "yes"}
            volume = await self.objects.update(
                PERSISTENT_VOLUME,
                {
                    **volume,
                    "metadata": {**mapping(volume, "metadata"), "annotations": marked},
                    "spec": {**mapping(volume, "spec"), "claimRef": reference},
                },
            )
        if text(claim, "spec", "volumeName") != name_of(volume):
            marked = {**annotations_of(claim), _COMPLETED: "yes", _BY_CONTROLLER: "yes"}
            claim = await self.objects.update(
                PERSISTENT_VOLUME_CLAIM,
                {
                    **claim,
                    "metadata": {**mapping(claim, "metadata"), "annotations": marked},
                    "spec": {**mapping(claim, "spec"), "volumeName": name_of(volume)},
                },
            )
        shown: JsonObject = {
            "accessModes": dig(volume, "spec", "accessModes"),
            "capacity": dig(volume, "spec", "capacity"),
        }
        await self._phase(claim, "Bound", shown)

    async def _phase(self, claim: JsonObject, phase: str, shown: JsonObject | None = None) -> JsonObject:
        status: JsonObject = {**mapping(claim, "status"), **(shown or {}), "phase": phase}
        if status == mapping(claim, "status"):
            return claim
        return await self.objects.update_status(PERSISTENT_VOLUME_CLAIM, {**claim, "status": status})

    async def _volume(self, name: str) -> None:
        volume = self._volumes.get(None, name)
        if volume is None:
            return
        reference = mapping(volume, "spec", "claimRef")
        phase = "Available"
        if text(reference, "uid"):
            claim = self._claims.get(text(reference, "namespace"), text(reference, "name"))
            alive = claim is not None and uid_of(claim) == text(reference, "uid")
            phase = "Bound" if alive else "Released"
        if text(volume, "status", "phase") != phase:
            status: JsonObject = {**mapping(volume, "status"), "phase": phase}
            await self.objects.update_status(PERSISTENT_VOLUME, {**volume, "status": status})


class ClaimProtection(Controller):
    """Lets claims that are being deleted go once no pod uses them, and holds them until then."""

    name = "persistentvolumeclaim-protection-controller"
    workers = 1

    def prepare(self) -> None:
        self._claims = self.watch(PERSISTENT_VOLUME_CLAIM)
        self._pods = self.watch(POD, self._keys_of_pod)

    @staticmethod
    def _keys_of_pod(pod: JsonObject) -> Iterable[str]:
        for volume in entries(pod, "spec", "volumes"):
            name = text(volume, "persistentVolumeClaim", "claimName")
            if name:
                yield f"{namespace_of(pod)}/{name}"

    async def reconcile(self, key: str) -> None:
        claim = self._claims.by_key(key)
        if claim is None:
            return
        finalizers: list[Json] = list(words(claim, "metadata", "finalizers"))
        if deleting(claim):
            used = any(
                key in self._keys_of_pod(pod) and not finished(pod) for pod in self._pods.objects(namespace_of(claim))
            )
            if used or _PROTECTION not in finalizers:
                return
            finalizers.remove(_PROTECTION)
        elif _PROTECTION in finalizers:
            return
        else:
            finalizers.append(_PROTECTION)
        metadata: JsonObject = {**mapping(claim, "metadata"), "finalizers": finalizers}
        await self.objects.update(PERSISTENT_VOLUME_CLAIM, {**claim, "metadata": metadata})


class VolumeProtection(Controller):
    """Lets volumes that are being deleted go once no claim is bound to them."""

    name = "persistentvolume-protection-controller"
    workers = 1

    def prepare(self) -> None:
        self._volumes = self.watch(PERSISTENT_VOLUME)

    async def reconcile(self, key: str) -> None:
        volume = self._volumes.by_key(key)
        if volume is None or not deleting(volume) or text(volume, "status", "phase") == "Bound":
            return
        finalizers = words(volume, "metadata", "finalizers")
        if _VOLUME_PROTECTION in finalizers:
            kept: list[Json] = [each for each in finalizers if each != _VOLUME_PROTECTION]
            metadata: JsonObject = {**mapping(volume, "metadata"), "finalizers": kept}
            await self.objects.update(PERSISTENT_VOLUME, {**volume, "metadata": metadata})
