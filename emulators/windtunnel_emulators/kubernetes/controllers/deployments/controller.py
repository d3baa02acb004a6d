"""Rolls deployments out: makes the replica set of the current template and moves replicas to it from the old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import DEPLOYMENT, POD, REPLICA_SET
from windtunnel_emulators.kubernetes.client.meta import (
    annotations_of,
    condition,
    controlled_by,
    controller_of,
    deleting,
    dig,
    join_key,
    key_of,
    mapping,
    name_of,
    namespace_of,
    number,
    optional_number,
    owner_reference,
    split_key,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.controller import Controller, keys_of_controller, orphan_labels
from windtunnel_emulators.kubernetes.controllers.deployments import status as statuses
from windtunnel_emulators.kubernetes.controllers.deployments.revisions import (
    DESIRED,
    HASH_LABEL,
    MAXIMUM,
    REVISION,
    annotations_for,
    created_order,
    current,
    next_revision,
    same_template,
    template_hash,
    to_clean,
)
from windtunnel_emulators.kubernetes.controllers.deployments.rollout import (
    ReplicaCounts,
    bounds_of,
    new_size,
    old_sizes,
    proportional_sizes,
)
from windtunnel_emulators.kubernetes.controllers.pods import finished

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windtunnel_emulators.jsontypes import JsonObject


class Deployments(Controller):
    """The controller of Deployments."""

    name = "deployment-controller"
    workers = 5

    def prepare(self) -> None:
        self._deployments = self.watch(DEPLOYMENT)
        self._claims = Claims(self.objects, DEPLOYMENT, REPLICA_SET)
        self._sets = self.watch(REPLICA_SET, self._keys_of_set)
        self._pods = self.objects.informer(POD)
        self._pods.add_index("controller", _controller_uid)
        self._pods.add_handler(self._pod_changed)

    def _keys_of_set(self, replica_set: JsonObject) -> Iterable[str]:
        labels = orphan_labels(replica_set)
        if labels is None:
            yield from keys_of_controller(DEPLOYMENT)(replica_set)
            return
        for each in self._deployments.objects(namespace_of(replica_set)):
            if matches(dig(each, "spec", "selector"), labels):
                yield key_of(each)

    def _pod_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        # Only Recreate waits for pods, and only for them to end.
        if old is None or (new is not None and not finished(new)):
            return
        reference = controller_of(old)
        if reference is None or text(reference, "kind") != "ReplicaSet":
            return
        replica_set = self._sets.get(namespace_of(old), text(reference, "name"))
        owner = None if replica_set is None else controller_of(replica_set)
        if owner is None:
            return
        deployment = self._deployments.get(namespace_of(old), text(owner, "name"))
        if deployment is not None and text(deployment, "spec", "strategy", "type") == "Recreate":
            self.queue.add(key_of(deployment))

    async def reconcile(self, key: str) -> None:
        deployment = self._deployments.get(*split_key(key))
        if deployment is None:
            return
        if dig(deployment, "spec", "selector") == {}:
            said = "This deployment is selecting all pods. A non-empty selector is required."
            self.recorder.event(deployment, WARNING, "SelectingAll", said)
            generation = number(deployment, "metadata", "generation")
            if number(deployment, "status", "observedGeneration") < generation:
                status: JsonObject = {**mapping(deployment, "status"), "observedGeneration": generation}
                await self.objects.update_status(DEPLOYMENT, {**deployment, "status": status})
            return
        sets = await self._claims.claim(deployment, dig(deployment, "spec", "selector"))
        new = current(deployment, sets)
        olds = [each for each in sets if new is None or uid_of(each) != uid_of(new)]
        if deleting(deployment):
            await self._write(deployment, statuses.counts(deployment, new, olds, self.clock.now()))
            return
        deployment = await self._noted_pause(deployment)
        paused = dig(deployment, "spec", "paused") is True
        if paused or _scaled(deployment, sets):
            if new is not None:
                deployment, new = await self._current(deployment, new, olds)
            new, olds = await self._scale(deployment, new, olds)
            if paused:
                await self._clean(deployment, olds)
            await self._write(deployment, statuses.counts(deployment, new, olds, self.clock.now()))
        elif text(deployment, "spec", "strategy", "type") == "Recreate":
            await self._recreate(deployment, new, olds)
        else:
            await self._roll(deployment, new, olds)

    # The ways to roll out

    async def _roll(self, deployment: JsonObject, new: JsonObject | None, olds: list[JsonObject]) -> None:
        deployment, new = await self._current(deployment, new, olds)
        bounds = bounds_of(deployment)
        wanted = number(new, "spec", "replicas")
        total = wanted + sum(number(each, "spec", "replicas") for each in olds)
        size = new_size(bounds, wanted, total)
        if size != wanted:
            new = await self._resize(deployment, new, size)
        else:
            for name, size in old_sizes(bounds, _counts(new), [_counts(each) for each in olds]).items():
                olds = [await self._resize(deployment, each, size) if name_of(each) == name else each for each in olds]
        if statuses.complete(deployment, mapping(deployment, "status")):
            await self._clean(deployment, olds)
        await self._progress(deployment, new, olds)

    async def _recreate(self, deployment: JsonObject, new: JsonObject | None, olds: list[JsonObject]) -> None:
        living = [each for each in olds if number(each, "spec", "replicas") > 0]
        if living:
            olds = [await self._resize(deployment, each, 0) if each in living else each for each in olds]
            await self._progress(deployment, new, olds)
            return
        if any(number(each, "status", "replicas") > 0 for each in olds) or any(
            not finished(pod) for each in olds for pod in self._pods.by_index("controller", uid_of(each))
        ):
            await self._progress(deployment, new, olds)
            return
        deployment, new = await self._current(deployment, new, olds)
        wanted = number(deployment, "spec", "replicas", default=1)
        if number(new, "spec", "replicas") != wanted:
            new = await self._resize(deployment, new, wanted)
        if statuses.complete(deployment, mapping(deployment, "status")):
            await self._clean(deployment, olds)
        await self._progress(deployment, new, olds)

    async def _scale(
        self, deployment: JsonObject, new: JsonObject | None, olds: list[JsonObject]
    ) -> tuple[JsonObject | None, list[JsonObject]]:
        """Sizes after a change of ``replicas`` alone."""
        every = [*olds, *([] if new is None else [new])]
        living = [each for each in every if number(each, "spec", "replicas") > 0]
        bounds = bounds_of(deployment)
        if len(living) <= 1:
            only = living[0] if living else new or max(olds, key=created_order, default=None)
            sizes = {} if only is None else {name_of(only): bounds.replicas}
        elif new is not None and _saturated(deployment, new):
            sizes = {name_of(each): 0 for each in olds if number(each, "spec", "replicas") > 0}
        else:
            rolling = text(deployment, "spec", "strategy", "type") != "Recreate"
            deployed = number(deployment, "status", "replicas")
            sizes = proportional_sizes(bounds, [_counts(each) for each in living], deployed, rolling=rolling)
        resized = {
            name_of(each): await self._resize(deployment, each, sizes[name_of(each)])
            for each in every
            if name_of(each) in sizes
        }
        now_new = None if new is None else resized.get(name_of(new), new)
        return now_new, [resized.get(name_of(each), each) for each in olds]

    # Steps

    async def _current(
        self, deployment: JsonObject, new: JsonObject | None, olds: Sequence[JsonObject]
    ) -> tuple[JsonObject, JsonObject]:
        """The replica set of the current template, made where there is none, with its revision."""
        bounds = bounds_of(deployment)
        revision = next_revision(olds)
        annotations = annotations_for(deployment, new, revision, bounds.replicas, bounds.maximum)
        now = self.clock.now()
        status = {**mapping(deployment, "status")}
        if new is None:
            deployment, new = await self._create(deployment, olds, annotations)
            status = {**mapping(deployment, "status")}
            if statuses.has_deadline(deployment):
                said = f'Created new replica set "{name_of(new)}"'
                statuses.set_condition(
                    status, statuses.new_condition("Progressing", "True", "NewReplicaSetCreated", said, now)
                )
        else:
            min_ready = number(deployment, "spec", "minReadySeconds")
            if annotations != annotations_of(new) or min_ready != number(new, "spec", "minReadySeconds"):
                changed: JsonObject = {**mapping(new, "metadata"), "annotations": dict(annotations)}
                spec: JsonObject = {**mapping(new, "spec"), "minReadySeconds": min_ready}
                new = await self.objects.update(REPLICA_SET, {**new, "metadata": changed, "spec": spec})
            if statuses.has_deadline(deployment) and condition(deployment, "Progressing") is None:
                said = f'Found new replica set "{name_of(new)}"'
                statuses.set_condition(
                    status, statuses.new_condition("Progressing", "True", "FoundNewReplicaSet", said, now)
                )
        number_now = annotations_of(new).get(REVISION, str(revision))
        if annotations_of(deployment).get(REVISION) != number_now or status != mapping(deployment, "status"):
            deployment = await self._numbered(deployment, number_now, status)
        return deployment, new

    async def _numbered(self, deployment: JsonObject, revision: str, status: JsonObject) -> JsonObject:
        """The deployment with its revision annotation: written with the status, which does not raise its generation."""
        metadata: JsonObject = {
            **mapping(deployment, "metadata"),
            "annotations": {**annotations_of(deployment), REVISION: revision},
        }
        return await self.objects.update_status(DEPLOYMENT, {**deployment, "metadata": metadata, "status": status})

    async def _create(
        self, deployment: JsonObject, olds: Sequence[JsonObject], annotations: dict[str, str]
    ) -> tuple[JsonObject, JsonObject]:
        template = mapping(deployment, "spec", "template")
        hashed = template_hash(template, optional_number(deployment, "status", "collisionCount"))
        labels = {**mapping(template, "metadata", "labels"), HASH_LABEL: hashed}
        selector = mapping(deployment, "spec", "selector")
        bounds = bounds_of(deployment)
        total = sum(number(each, "spec", "replicas") for each in olds)
        rolling = text(deployment, "spec", "strategy", "type") != "Recreate"
        size = new_size(bounds, 0, total) if rolling else bounds.replicas
        replica_set: JsonObject = {
            "metadata": {
                "name": f"{name_of(deployment)}-{hashed}",
                "namespace": namespace_of(deployment),
                "labels": labels,
                "annotations": dict(annotations),
                "ownerReferences": [owner_reference(deployment, DEPLOYMENT)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": number(deployment, "spec", "minReadySeconds"),
                "selector": {
                    **selector,
                    "matchLabels": {**mapping(selector, "matchLabels"), HASH_LABEL: hashed},
                },
                "template": {**template, "metadata": {**mapping(template, "metadata"), "labels": labels}},
            },
        }
        try:
            made = await self.objects.create(REPLICA_SET, replica_set)
        except StatusError as failure:
            if already_exists(failure):
                taken = await self.objects.get(REPLICA_SET, namespace_of(deployment), f"{name_of(deployment)}-{hashed}")
                if controlled_by(taken, deployment) and same_template(dig(taken, "spec", "template"), template):
                    return deployment, taken
                collisions = number(deployment, "status", "collisionCount") + 1
                status: JsonObject = {**mapping(deployment, "status"), "collisionCount": collisions}
                await self.objects.update_status(DEPLOYMENT, {**deployment, "status": status})
            elif statuses.has_deadline(deployment):
                said = f'Failed to create new replica set "{name_of(deployment)}-{hashed}": {failure}'
                status = {**mapping(deployment, "status")}
                statuses.set_condition(
                    status,
                    statuses.new_condition("Progressing", "False", "ReplicaSetCreateError", said, self.clock.now()),
                )
                await self._write(deployment, status)
            raise
        if size > 0:
            said = f"Scaled up replica set {name_of(made)} from 0 to {size}"
            self.recorder.event(deployment, NORMAL, "ScalingReplicaSet", said)
        return deployment, made

    async def _resize(self, deployment: JsonObject, replica_set: JsonObject, size: int) -> JsonObject:
        bounds = bounds_of(deployment)
        before = number(replica_set, "spec", "replicas")
        wanted = {
            **annotations_of(replica_set),
            DESIRED: str(bounds.replicas),
            MAXIMUM: str(bounds.maximum),
        }
        if before == size and wanted == annotations_of(replica_set):
            return replica_set
        metadata: JsonObject = {**mapping(replica_set, "metadata"), "annotations": dict(wanted)}
        spec: JsonObject = {**mapping(replica_set, "spec"), "replicas": size}
        resized = await self.objects.update(REPLICA_SET, {**replica_set, "metadata": metadata, "spec": spec})
        if before != size:
            verb = "up" if size > before else "down"
            said = f"Scaled {verb} replica set {name_of(replica_set)} from {before} to {size}"
            self.recorder.event(deployment, NORMAL, "ScalingReplicaSet", said)
        return resized

    async def _clean(self, deployment: JsonObject, olds: Sequence[JsonObject]) -> None:
        for each in to_clean(deployment, olds):
            await self.objects.delete(REPLICA_SET, namespace_of(each), name_of(each), uid=uid_of(each))

    async def _noted_pause(self, deployment: JsonObject) -> JsonObject:
        """The Progressing condition says that a rollout is paused, or no longer."""
        known = condition(deployment, "Progressing")
        if not statuses.has_deadline(deployment) or (known and known.get("reason") == statuses.TIMED_OUT):
            return deployment
        paused = dig(deployment, "spec", "paused") is True
        noted = known is not None and known.get("reason") == "DeploymentPaused"
        if paused == noted:
            return deployment
        reason, said = (
            ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
        )
        status = {**mapping(deployment, "status")}
        statuses.set_condition(status, statuses.new_condition("Progressing", "Unknown", reason, said, self.clock.now()))
        return await self.objects.update_status(DEPLOYMENT, {**deployment, "status": status})

    async def _progress(self, deployment: JsonObject, new: JsonObject | None, olds: Sequence[JsonObject]) -> None:
        now = self.clock.now()
        status = statuses.with_progress(deployment, new, olds, now)
        again = statuses.check_again_in(deployment, status, now)
        if again is not None:
            self.queue.add_after(join_key(namespace_of(deployment), name_of(deployment)), again)
        await self._write(deployment, status)

    async def _write(self, deployment: JsonObject, status: JsonObject) -> None:
        known = {field: value for field, value in mapping(deployment, "status").items() if value != 0}
        if status != known:
            await self.objects.update_status(DEPLOYMENT, {**deployment, "status": status})


def _controller_uid(obj: JsonObject) -> Iterable[str]:
    reference = controller_of(obj)
    return () if reference is None else (text(reference, "uid"),)


def _counts(replica_set: JsonObject) -> ReplicaCounts:
    maximum = annotations_of(replica_set).get(MAXIMUM, "")
    return ReplicaCounts(
        name=name_of(replica_set),
        wanted=number(replica_set, "spec", "replicas"),
        available=number(replica_set, "status", "availableReplicas"),
        created=text(replica_set, "metadata", "creationTimestamp"),
        maximum_before=int(maximum) if maximum.isdigit() else None,
    )


def _scaled(deployment: JsonObject, sets: Sequence[JsonObject]) -> bool:
    """``replicas`` changed since the living replica sets were last sized."""
    wanted = number(deployment, "spec", "replicas", default=1)
    return any(
        annotations_of(each).get(DESIRED, str(wanted)) != str(wanted)
        for each in sets
        if number(each, "spec", "replicas") > 0
    )


def _saturated(deployment: JsonObject, new: JsonObject) -> bool:
    wanted = number(deployment, "spec", "replicas", default=1)
    return (
        annotations_of(new).get(DESIRED) == str(wanted)
        and number(new, "spec", "replicas") == wanted
        and number(new, "status", "availableReplicas") == wanted
    )
