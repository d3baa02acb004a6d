"""Removes pods that nobody will: of nodes that are gone, unscheduled ones that were deleted, finished ones too many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import STRATEGIC_MERGE_PATCH, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import NODE, POD
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    key_of,
    name_of,
    namespace_of,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.nodes.lifecycle import by_node
from windtunnel_emulators.kubernetes.controllers.pods import finished

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject


class PodGarbage(Controller):
    """The collector of pods. Keys are pods'; those of nodes that are gone wait out the quarantine first."""

    name = "pod-garbage-collector"

    def prepare(self) -> None:
        self._missing: dict[str, float] = {}
        self._nodes = self.objects.informer(NODE)
        self._pods = self.objects.informer(POD)
        self._pods.add_index("node", by_node)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    def _node_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is not None:
            self._missing.pop(name_of(new), None)
        elif old is not None:
            for pod in self._pods.by_index("node", name_of(old)):
                self.queue.add(key_of(pod))

    def _pod_changed(self, _old: JsonObject | None, new: JsonObject | None) -> None:
        if new is None:
            return
        node = text(new, "spec", "nodeName")
        if (node and self._nodes.get(None, node) is None) or (not node and deleting(new)):
            self.queue.add(key_of(new))

    async def start(self) -> None:
        await super().start()
        self.also(asyncio.create_task(self._limit(), name="finished pods"))

    async def _limit(self) -> None:
        while True:
            await self.clock.sleep(self.settings.pod_gc_period_s)
            over = self.settings.terminated_pod_threshold
            done = [pod for pod in self._pods.objects() if finished(pod) and not deleting(pod)]
            done.sort(key=lambda pod: text(pod, "metadata", "creationTimestamp"))
            for pod in done[: max(len(done) - over, 0)]:
                try:
                    await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid_of(pod), grace_period_s=0)
                except KubernetesProblem:
                    self.queue.add(key_of(pod))

    async def reconcile(self, key: str) -> None:
        pod = self._pods.by_key(key)
        if pod is None:
            return
        node = text(pod, "spec", "nodeName")
        if not node:
            if deleting(pod):
                await self._remove(pod)
            return
        if self._nodes.get(None, node) is not None:
            return
        now = self.clock.monotonic()
        left = self._missing.setdefault(node, now) + self.settings.pod_gc_quarantine_s - now
        if left > 0:
            self.queue.add_after(key, left)
        elif await self.objects.find(NODE, None, node) is None:
            await self._fail(pod)
            await self._remove(pod)

    async def _fail(self, pod: JsonObject) -> None:
        if finished(pod):
            return
        mark: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": timestamp(self.clock.now()),
        }
        body: JsonObject = {"metadata": {"uid": uid_of(pod)}, "status": {"phase": "Failed", "conditions": [mark]}}
        try:
            await self.objects.patch(
                POD,
                namespace_of(pod),
                name_of(pod),
                body,
                content_type=STRATEGIC_MERGE_PATCH,
                subresource="status",
            )
        except StatusError as failure:
            if failure.code != 404:
                raise

    async def _remove(self, pod: JsonObject) -> None:
        await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid_of(pod), grace_period_s=0)
