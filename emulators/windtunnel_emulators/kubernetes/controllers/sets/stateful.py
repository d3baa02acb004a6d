"""Keeps the numbered pods of each stateful set: one after the other, each with its own claims and its own name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    dig,
    entries,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    optional_number,
    owner_reference,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.controller import Controller, keys_of_controller, orphan_labels
from windtunnel_emulators.kubernetes.controllers.deployments.rollout import share
from windtunnel_emulators.kubernetes.controllers.pods import available, finished, pod_from_template, ready
from windtunnel_emulators.kubernetes.controllers.sets.history import HASH, History, hash_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def ordinal_of(owner: JsonObject, pod: JsonObject) -> int | None:
    """The number in its name, if it is one of the set's."""
    name, prefix = name_of(pod), f"{name_of(owner)}-"
    rest = name.removeprefix(prefix)
    return int(rest) if name.startswith(prefix) and rest.isdigit() else None


def stateful_pod(owner: JsonObject, ordinal: int, hashed: str, template: Json) -> JsonObject:
    """The pod of that number."""
    name = f"{name_of(owner)}-{ordinal}"
    pod = pod_from_template(template, owner, STATEFUL_SET, name=name)
    metadata = mapping(pod, "metadata")
    labels: JsonObject = {**mapping(metadata, "labels"), HASH: hashed, POD_NAME: name, POD_INDEX: str(ordinal)}
    spec = {**mapping(pod, "spec"), "hostname": name}
    if text(owner, "spec", "serviceName"):
        spec["subdomain"] = text(owner, "spec", "serviceName")
    claimed = {text(each, "metadata", "name") for each in entries(owner, "spec", "volumeClaimTemplates")}
    volumes: list[Json] = [each for each in entries(spec, "volumes") if text(each, "name") not in claimed]
    for claim in sorted(claimed):
        source: JsonObject = {"claimName": f"{claim}-{name}", "readOnly": False}
        volumes.append({"name": claim, "persistentVolumeClaim": source})
    if volumes:
        spec["volumes"] = volumes
    return {**pod, "metadata": {**metadata, "labels": labels}, "spec": spec}


def claims_of(owner: JsonObject, ordinal: int) -> list[JsonObject]:
    """The claims of the pod of that number."""
    selected = mapping(owner, "spec", "selector", "matchLabels")
    return [
        {
            "metadata": {
                "name": f"{text(each, 'metadata', 'name')}-{name_of(owner)}-{ordinal}",
                "namespace": namespace_of(owner),
                "labels": {**mapping(each, "metadata", "labels"), **selected},
                "annotations": mapping(each, "metadata", "annotations"),
            },
            "spec": mapping(each, "spec"),
        }
        for each in entries(owner, "spec", "volumeClaimTemplates")
    ]


class StatefulSets(Controller):
    """The controller of StatefulSets."""

    name = "statefulset-controller"
    workers = 3

    def prepare(self) -> None:
        self._sets = self.watch(STATEFUL_SET)
        self._claims = Claims(self.objects, STATEFUL_SET, POD)
        self._history = History(self.objects, STATEFUL_SET)
        self._pods = self.watch(POD, self._keys_of_pod)
        self._volumes = self.objects.informer(PERSISTENT_VOLUME_CLAIM)

    def _keys_of_pod(self, pod: JsonObject) -> Iterable[str]:
        labels = orphan_labels(pod)
        if labels is None:
            yield from keys_of_controller(STATEFUL_SET)(pod)
            return
        for each in self._sets.objects(namespace_of(pod)):
            if matches(dig(each, "spec", "selector"), labels) and ordinal_of(each, pod) is not None:
                yield key_of(each)

    async def reconcile(self, key: str) -> None:
        owner = self._sets.by_key(key)
        if owner is None or deleting(owner):
            return
        selector = dig(owner, "spec", "selector")
        pods = await self._claims.claim(owner, selector, adoptable=lambda pod: ordinal_of(owner, pod) is not None)
        update, revisions = await self._history.current(owner)
        current = self._current_revision(owner, update, revisions)
        try:
            await self._arrange(owner, pods, current, update)
        finally:
            await self._write_status(owner, current, update)
        live = {labels_of(pod).get(HASH, "") for pod in pods} | {hash_of(current), hash_of(update)}
        await self._history.clean(owner, revisions, live)

    @staticmethod
    def _current_revision(owner: JsonObject, update: JsonObject, revisions: Sequence[JsonObject]) -> JsonObject:
        named = text(owner, "status", "currentRevision")
        return next((each for each in revisions if name_of(each) == named), update)

    # The pods

    async def _arrange(
        self, owner: JsonObject, pods: Sequence[JsonObject], current: JsonObject, update: JsonObject
    ) -> None:
        """One step, or all that may be done at once where the order does not matter."""
        parallel = text(owner, "spec", "podManagementPolicy") == "Parallel"
        start = number(owner, "spec", "ordinals", "start")
        wanted = range(start, start + number(owner, "spec", "replicas", default=1))
        by_ordinal = {index: pod for pod in pods if (index := ordinal_of(owner, pod)) is not None}
        for index in wanted:
            pod = by_ordinal.get(index)
            if pod is not None and finished(pod) and not deleting(pod):
                await self._recreate(owner, pod)
                if not parallel:
                    return
                continue
            if pod is None:
                await self._create(owner, index, self._revision_for(owner, index, start, current, update))
                if not parallel:
                    return
                continue
            if not parallel and (deleting(pod) or not self._healthy(owner, pod)):
                # The next waits for this one.
                return
        condemned = sorted((index for index in by_ordinal if index not in wanted), reverse=True)
        for index in condemned:
            pod = by_ordinal[index]
            if deleting(pod):
                if not parallel:
                    return
                continue
            await self._delete(owner, pod)
            if not parallel:
                return
        await self._roll(owner, {index: by_ordinal[index] for index in wanted if index in by_ordinal}, start, update)

    async def _roll(
        self, owner: JsonObject, by_ordinal: Mapping[int, JsonObject], start: int, update: JsonObject
    ) -> None:
        """From the last to the partition, replace pods of another template."""
        if text(owner, "spec", "updateStrategy", "type", default="RollingUpdate") != "RollingUpdate":
            return
        rolling = dig(owner, "spec", "updateStrategy", "rollingUpdate")
        partition = number(rolling, "partition")
        most = share(dig(rolling, "maxUnavailable") or 1, number(owner, "spec", "replicas", default=1), up=True) or 1
        missing = sum(1 for pod in by_ordinal.values() if not self._healthy(owner, pod))
        for index in sorted(by_ordinal, reverse=True):
            if index - start < partition:
                return
            pod = by_ordinal[index]
            if labels_of(pod).get(HASH) == hash_of(update):
                if not self._healthy(owner, pod) and missing >= most:
                    return
                continue
            if deleting(pod):
                if missing >= most:
                    return
                continue
            if self._healthy(owner, pod):
                if missing >= most:
                    return
                missing += 1
            await self._delete(owner, pod)
            if missing >= most:
                return

    def _healthy(self, owner: JsonObject, pod: JsonObject) -> bool:
        """Ready for as long as asked; queues another look where only time is missing."""
        least = number(owner, "spec", "minReadySeconds")
        if deleting(pod) or not ready(pod):
            return False
        if available(pod, least, self.clock.now()):
            return True
        self.queue.add_after(key_of(owner), least)
        return False

    @staticmethod
    def _revision_for(owner: JsonObject, index: int, start: int, current: JsonObject, update: JsonObject) -> JsonObject:
        strategy = text(owner, "spec", "updateStrategy", "type", default="RollingUpdate")
        partition = number(owner, "spec", "updateStrategy", "rollingUpdate", "partition")
        old = strategy == "RollingUpdate" and index - start < partition
        return current if old else update

    async def _create(self, owner: JsonObject, index: int, revision: JsonObject) -> None:
        template = {**mapping(revision, "data", "spec", "template")}
        template.pop("$patch", None)
        name = f"{name_of(owner)}-{index}"
        for claim in claims_of(owner, index):
            await self._claim(owner, claim, name)
        try:
            await self.objects.create(POD, stateful_pod(owner, index, hash_of(revision), template), namespace_of(owner))
        except StatusError as failure:
            said = f"create Pod {name} in StatefulSet {name_of(owner)} failed error: {failure}"
            self.recorder.event(owner, WARNING, "FailedCreate", said)
            raise
        said = f"create Pod {name} in StatefulSet {name_of(owner)} successful"
        self.recorder.event(owner, NORMAL, "SuccessfulCreate", said)

    async def _claim(self, owner: JsonObject, claim: JsonObject, pod: str) -> None:
        if self._volumes.get(namespace_of(owner), name_of(claim)) is not None:
            return
        policy = text(owner, "spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted", default="Retain")
        if policy == "Delete":
            reference = {**owner_reference(owner, STATEFUL_SET), "controller": True, "blockOwnerDeletion": True}
            claim = {**claim, "metadata": {**mapping(claim, "metadata"), "ownerReferences": [reference]}}
        try:
            await self.objects.create(PERSISTENT_VOLUME_CLAIM, claim, namespace_of(owner))
        except StatusError as failure:
            if not already_exists(failure):
                raise
            return
        said = f"create Claim {name_of(claim)} Pod {pod} in StatefulSet {name_of(owner)} success"
        self.recorder.event(owner, NORMAL, "SuccessfulCreate", said)

    async def _recreate(self, owner: JsonObject, pod: JsonObject) -> None:
        said = f"StatefulSet {key_of(owner)} is recreating failed Pod {name_of(pod)}"
        self.recorder.event(owner, WARNING, "RecreatingFailedPod", said)
        await self._delete(owner, pod)

    async def _delete(self, owner: JsonObject, pod: JsonObject) -> None:
        await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        said = f"delete Pod {name_of(pod)} in StatefulSet {name_of(owner)} successful"
        self.recorder.event(owner, NORMAL, "SuccessfulDelete", said)

    # Status

    async def _write_status(self, owner: JsonObject, current: JsonObject, update: JsonObject) -> None:
        pods = self._pods.by_index("controller", uid_of(owner))
        now, least = self.clock.now(), number(owner, "spec", "minReadySeconds")
        made = [pod for pod in pods if ordinal_of(owner, pod) is not None]
        at_update = [pod for pod in made if labels_of(pod).get(HASH) == hash_of(update) and not deleting(pod)]
        at_current = [pod for pod in made if labels_of(pod).get(HASH) == hash_of(current) and not deleting(pod)]
        ready_ones = [pod for pod in made if ready(pod) and not deleting(pod)]
        wanted = number(owner, "spec", "replicas", default=1)
        done = len(at_update) == wanted == len(ready_ones) and len(made) == wanted
        if done and text(owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate":
            current, at_current = update, at_update
        status: JsonObject = {
            "observedGeneration": number(owner, "metadata", "generation"),
            "replicas": len(made),
            "availableReplicas": sum(1 for pod in ready_ones if available(pod, least, now)),
            "currentRevision": name_of(current),
            "updateRevision": name_of(update),
            "collisionCount": optional_number(owner, "status", "collisionCount") or 0,
        }
        counts = (("readyReplicas", ready_ones), ("currentReplicas", at_current), ("updatedReplicas", at_update))
        for field, members in counts:
            if members:
                status[field] = len(members)
        if status != mapping(owner, "status"):
            await self.objects.update_status(STATEFUL_SET, {**owner, "status": status})
