"""Keeps the number of pods of each ReplicaSet and ReplicationController.

Pods are made in batches that double while they succeed: a template that cannot be made costs one refused request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from windtunnel_emulators.kubernetes.client.interface import Kind, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import POD, REPLICA_SET, REPLICATION_CONTROLLER
from windtunnel_emulators.kubernetes.client.meta import (
    controller_of,
    deleting,
    dig,
    join_key,
    mapping,
    name_of,
    namespace_of,
    number,
    split_key,
    strings,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.client.selectors import matches
from windtunnel_emulators.kubernetes.controllers.claims import Claims
from windtunnel_emulators.kubernetes.controllers.controller import (
    Controller,
    keys_of_controller,
    namespace_terminating,
    orphan_labels,
)
from windtunnel_emulators.kubernetes.controllers.pods import active, pod_from_template
from windtunnel_emulators.kubernetes.controllers.replicas.ranking import to_delete
from windtunnel_emulators.kubernetes.controllers.replicas.status import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject

BURST = 500


class ReplicaSets(Controller):
    """The controller of ReplicaSets."""

    name = "replicaset-controller"
    workers = 5
    kind: ClassVar[Kind] = REPLICA_SET

    def prepare(self) -> None:
        self._owners = self.watch(self.kind)
        self._claims = Claims(self.objects, self.kind, POD)
        self._pods = self.watch(POD, self._keys_of_pod)

    def selector(self, owner: JsonObject) -> Json:
        return dig(owner, "spec", "selector")

    def _keys_of_pod(self, pod: JsonObject) -> Iterable[str]:
        labels = orphan_labels(pod)
        if labels is None:
            yield from keys_of_controller(self.kind)(pod)
            return
        for owner in self._owners.objects(namespace_of(pod)):
            if matches(self.selector(owner), labels):
                yield join_key(namespace_of(owner), name_of(owner))

    async def reconcile(self, key: str) -> None:
        owner = self._owners.get(*split_key(key))
        if owner is None:
            return
        pods = [pod for pod in await self._claims.claim(owner, self.selector(owner)) if active(pod)]
        failure: tuple[str, str] | None = None
        problem: KubernetesProblem | None = None
        if not deleting(owner):
            missing = number(owner, "spec", "replicas", default=1) - len(pods)
            try:
                if missing > 0:
                    pods += await self._create(owner, min(missing, BURST))
                elif missing < 0:
                    pods = await self._delete(owner, pods, min(-missing, BURST))
            except KubernetesProblem as raised:
                problem = raised
                failure = ("FailedCreate" if missing > 0 else "FailedDelete", str(raised))
                made = self._pods.by_index("controller", uid_of(owner))
                pods = [pod for pod in made if active(pod)]
        await self._write_status(owner, pods, failure)
        if problem is not None:
            raise problem

    async def _create(self, owner: JsonObject, count: int) -> list[JsonObject]:
        body = pod_from_template(dig(owner, "spec", "template"), owner, self.kind)
        made: list[JsonObject] = []
        batch = 1
        while len(made) < count:
            answers = await asyncio.gather(
                *(self._create_one(owner, body) for _ in range(min(batch, count - len(made)))), return_exceptions=True
            )
            made += [each for each in answers if not isinstance(each, BaseException)]
            for each in answers:
                if isinstance(each, BaseException):
                    raise each
            batch *= 2
        return made

    async def _create_one(self, owner: JsonObject, body: JsonObject) -> JsonObject:
        try:
            pod = await self.objects.create(POD, body, namespace_of(owner))
        except StatusError as failure:
            if not namespace_terminating(failure):
                self.recorder.event(owner, WARNING, "FailedCreate", f"Error creating: {failure}")
            raise
        self.recorder.event(owner, NORMAL, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return pod

    async def _delete(self, owner: JsonObject, pods: list[JsonObject], count: int) -> list[JsonObject]:
        doomed = to_delete(pods, count, self._related(owner), self.clock.now())
        await asyncio.gather(*(self._delete_one(owner, pod) for pod in doomed))
        gone = {uid_of(pod) for pod in doomed}
        return [pod for pod in pods if uid_of(pod) not in gone]

    async def _delete_one(self, owner: JsonObject, pod: JsonObject) -> None:
        try:
            await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        except StatusError as failure:
            self.recorder.event(owner, WARNING, "FailedDelete", f"Error deleting: {failure}")
            raise
        self.recorder.event(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def _related(self, owner: JsonObject) -> list[JsonObject]:
        """The pods of this owner and of its siblings: those that the same deployment controls."""
        deployments = set(_controllers(owner))
        siblings = [
            each
            for each in self._owners.objects(namespace_of(owner))
            if uid_of(each) == uid_of(owner) or deployments & set(_controllers(each))
        ]
        return [pod for each in siblings for pod in self._pods.by_index("controller", uid_of(each))]

    async def _write_status(self, owner: JsonObject, pods: list[JsonObject], failure: tuple[str, str] | None) -> None:
        now = self.clock.now()
        status = status_of(owner, pods, failure, now)
        min_ready = number(owner, "spec", "minReadySeconds")
        if min_ready and number(status, "readyReplicas") != number(status, "availableReplicas"):
            self.queue.add_after(join_key(namespace_of(owner), name_of(owner)), min_ready)
        known = {field: value for field, value in mapping(owner, "status").items() if value not in (0, None)}
        if {field: value for field, value in status.items() if value != 0} == known and "replicas" in mapping(
            owner, "status"
        ):
            return
        await self.objects.update_status(self.kind, {**owner, "status": status})


class ReplicationControllers(ReplicaSets):
    """The controller of ReplicationControllers: the same with a plain selector."""

    name = "replication-controller"
    kind: ClassVar[Kind] = REPLICATION_CONTROLLER

    def selector(self, owner: JsonObject) -> Json:
        selected = strings(owner, "spec", "selector")
        return {"matchLabels": dict(selected)} if selected else None


def _controllers(owner: JsonObject) -> Iterable[str]:
    """The uid of what controls it, if anything does."""
    reference = controller_of(owner)
    return () if reference is None else (text(reference, "uid"),)
