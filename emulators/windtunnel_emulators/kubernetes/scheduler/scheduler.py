"""The scheduler of a cluster: watches pods and nodes, binds each pod to the node that suits it best.

A decision counts at once (the pod is *assumed* on its node), the binding is written while the next pod is decided.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import (
    STRATEGIC_MERGE_PATCH,
    Client,
    KubernetesProblem,
    StatusError,
)
from windtunnel_emulators.kubernetes.client.kinds import NAMESPACE, NODE, PERSISTENT_VOLUME_CLAIM, POD
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    deleting,
    entries,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING, Recorder
from windtunnel_emulators.kubernetes.client.shared import SharedObjects
from windtunnel_emulators.kubernetes.controllers.pods import finished
from windtunnel_emulators.kubernetes.scheduler.cycle import Placed, Unplaced, place
from windtunnel_emulators.kubernetes.scheduler.nodes import Cluster, PodInfo
from windtunnel_emulators.kubernetes.scheduler.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject

_log = logging.getLogger(__name__)

NAME = "default-scheduler"
_BINDINGS_AT_ONCE = 16


class Scheduler:
    """``Component``: schedules the pods that name ``scheduler_name``."""

    def __init__(self, client: Client, clock: Clock, *, scheduler_name: str = NAME) -> None:
        self._clock = clock
        self._name = scheduler_name
        self.objects = SharedObjects(client, clock)
        self.recorder = Recorder(client, clock, scheduler_name)
        self._cluster = Cluster()
        self._waiting = Waiting(clock)
        self._assumed: dict[str, str] = {}
        self._nominated: dict[str, tuple[str, PodInfo]] = {}
        self._pods = self.objects.informer(POD)
        self._nodes = self.objects.informer(NODE)
        self._namespaces = self.objects.informer(NAMESPACE)
        self._claims = self.objects.informer(PERSISTENT_VOLUME_CLAIM)
        self._loop: asyncio.Task[None] | None = None
        self._writes: set[asyncio.Task[None]] = set()
        self._limit = asyncio.Semaphore(_BINDINGS_AT_ONCE)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)
        self._claims.add_handler(lambda _old, _new: self._waiting.wake())

    async def start(self) -> None:
        """Returns once pods and nodes are known and scheduling has begun."""
        await self.recorder.start()
        await self.objects.start()
        self._loop = asyncio.create_task(self._run(), name="scheduler")

    async def stop(self) -> None:
        loop, self._loop = self._loop, None
        for task in [*([] if loop is None else [loop]), *self._writes]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._waiting.close()
        await self.objects.stop()
        await self.recorder.stop()

    # What changes

    def _node_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is None:
            if old is not None:
                self._cluster.remove_node(name_of(old))
            return
        self._cluster.put_node(new)
        if old is None or _matters(old) != _matters(new):
            self._waiting.wake()

    def _pod_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is None:
            if old is not None:
                self._forget(old)
            return
        node = text(new, "spec", "nodeName")
        if node:
            self._assumed.pop(uid_of(new), None)
            self._nominated.pop(uid_of(new), None)
            self._waiting.remove(key_of(new))
            self._cluster.place(new, node)
            # Room that came free, or a neighbour to be near to.
            fresh = old is None or not text(old, "spec", "nodeName")
            if finished(new) or fresh or labels_of(new) != labels_of(old or {}):
                self._waiting.wake()
        elif uid_of(new) in self._assumed:
            return
        elif self._ours(new):
            self._waiting.add(key_of(new), number(new, "spec", "priority"))
            if old is not None and old.get("spec") != new.get("spec"):
                self._waiting.wake(key_of(new))
        else:
            self._waiting.remove(key_of(new))

    def _ours(self, pod: JsonObject) -> bool:
        return (
            text(pod, "spec", "schedulerName", default=NAME) == self._name
            and not deleting(pod)
            and not finished(pod)
            and not entries(pod, "spec", "schedulingGates")
        )

    def _forget(self, pod: JsonObject) -> None:
        self._waiting.remove(key_of(pod))
        self._assumed.pop(uid_of(pod), None)
        self._nominated.pop(uid_of(pod), None)
        self._cluster.remove_pod(uid_of(pod))
        if text(pod, "spec", "nodeName"):
            self._waiting.wake()

    # Scheduling

    async def _run(self) -> None:
        while True:
            key = await self._waiting.get()
            pod = self._pods.by_key(key)
            if pod is None or text(pod, "spec", "nodeName") or not self._ours(pod):
                self._waiting.remove(key)
                continue
            try:
                self._decide(key, pod)
            except Exception:
                # One pod's odd specification may not end the scheduling of all others.
                _log.exception("scheduling of %s", key)
                self._waiting.park(key, seen=self._waiting.changes)
            # Informers and bindings run between two decisions.
            await asyncio.sleep(0)

    def _decide(self, key: str, pod: JsonObject) -> None:
        info = PodInfo.of(pod)
        seen = self._waiting.changes
        decided = place(
            info, self._cluster.nodes(), self._namespace_labels(), self._by_node(), problem=self._problem(pod)
        )
        if isinstance(decided, Placed):
            self._assumed[info.uid] = decided.node
            self._cluster.place(pod, decided.node)
            self._waiting.remove(key)
            self._write(self._bind(pod, decided.node))
        else:
            if decided.nominated:
                self._nominated[info.uid] = (decided.nominated, info)
            self._waiting.park(key, seen=seen)
            self._write(self._refuse(pod, decided))

    def _write(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def _namespace_labels(self) -> Mapping[str, Mapping[str, str]]:
        return {name_of(each): labels_of(each) for each in self._namespaces.objects()}

    def _by_node(self) -> dict[str, list[PodInfo]]:
        found: dict[str, list[PodInfo]] = {}
        for node, info in self._nominated.values():
            found.setdefault(node, []).append(info)
        return found

    def _problem(self, pod: JsonObject) -> str:
        """What is wrong with the claims of its volumes."""
        for volume in entries(pod, "spec", "volumes"):
            name = text(volume, "persistentVolumeClaim", "claimName")
            if not name and mapping(volume, "ephemeral"):
                name = f"{name_of(pod)}-{text(volume, 'name')}"
            if not name:
                continue
            claim = self._claims.get(namespace_of(pod), name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if text(claim, "status", "phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    # Writing

    async def _bind(self, pod: JsonObject, node: str) -> None:
        body: JsonObject = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
            "target": {"kind": "Node", "name": node},
        }
        try:
            async with self._limit:
                await self.objects.create_subresource(POD, namespace_of(pod), name_of(pod), "binding", body)
        except KubernetesProblem as failure:
            _log.info("binding of %s to %s: %s", key_of(pod), node, failure)
            self._unassume(pod)
            return
        said = f"Successfully assigned {key_of(pod)} to {node}"
        self.recorder.event(pod, NORMAL, "Scheduled", said)

    def _unassume(self, pod: JsonObject) -> None:
        """The binding was not accepted: what the cache says of the pod holds again."""
        if self._assumed.pop(uid_of(pod), None) is None:
            return
        self._cluster.remove_pod(uid_of(pod))
        known = self._pods.by_key(key_of(pod))
        if known is not None and uid_of(known) == uid_of(pod) and not text(known, "spec", "nodeName"):
            key = key_of(pod)
            self._waiting.add(key, number(known, "spec", "priority"))
            self._waiting.park(key, seen=-1)

    async def _refuse(self, pod: JsonObject, decided: Unplaced) -> None:
        """Say why on the pod and in an event, and make room where that was decided."""
        self.recorder.event(pod, WARNING, "FailedScheduling", decided.message)
        known = condition(pod, "PodScheduled")
        status: JsonObject = {}
        if known is None or known.get("message") != decided.message or known.get("status") != "False":
            since = timestamp(self._clock.now())
            if known is not None and known.get("status") == "False":
                since = text(known, "lastTransitionTime", default=since)
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": decided.message,
                    "lastProbeTime": None,
                    "lastTransitionTime": since,
                    "observedGeneration": number(pod, "metadata", "generation", default=1),
                }
            ]
        if decided.nominated:
            status["nominatedNodeName"] = decided.nominated
        try:
            if status:
                await self._patch_status(pod, status)
            for victim in decided.victims:
                await self._preempt(pod, victim, decided.nominated)
        except KubernetesProblem as failure:
            _log.info("status of %s: %s", key_of(pod), failure)

    async def _patch_status(self, pod: JsonObject, status: JsonObject) -> None:
        try:
            await self.objects.patch(
                POD,
                namespace_of(pod),
                name_of(pod),
                {"metadata": {"uid": uid_of(pod)}, "status": status},
                content_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )
        except StatusError as failure:
            if failure.code != 404:
                raise

    async def _preempt(self, pod: JsonObject, victim: PodInfo, node: str) -> None:
        if deleting(victim.pod):
            return
        mark: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{self._name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": timestamp(self._clock.now()),
        }
        await self._patch_status(victim.pod, {"conditions": [mark]})
        await self.objects.delete(POD, victim.namespace, name_of(victim.pod), uid=victim.uid)
        said = f"Preempted by pod {uid_of(pod)} on node {node}"
        self.recorder.event(victim.pod, NORMAL, "Preempted", said)


def _matters(node: JsonObject) -> tuple[object, ...]:
    """What of a node decides about pods: where two versions agree, no pod is helped."""
    return (
        node.get("spec"),
        labels_of(node),
        mapping(node, "status", "allocatable"),
    )
