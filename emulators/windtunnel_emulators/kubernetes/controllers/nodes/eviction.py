"""Evicts pods from nodes with NoExecute taints they do not tolerate, or no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import STRATEGIC_MERGE_PATCH, StatusError
from windtunnel_emulators.kubernetes.client.kinds import NODE, POD
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    entries,
    key_of,
    name_of,
    namespace_of,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.nodes.lifecycle import by_node
from windtunnel_emulators.kubernetes.controllers.nodes.taints import tolerated_for

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject


class TaintEviction(Controller):
    """The controller of NoExecute taints. Keys are pods'."""

    name = "taint-eviction-controller"
    workers = 4

    def prepare(self) -> None:
        self._since: dict[str, float] = {}
        self._pods = self.objects.informer(POD)
        self._pods.add_index("node", by_node)
        self._nodes = self.objects.informer(NODE)
        self._nodes.add_handler(self._node_changed)
        self._pods.add_handler(self._pod_changed)

    def _node_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is not None and _executing(old) != _executing(new):
            for pod in self._pods.by_index("node", name_of(new)):
                self.queue.add(key_of(pod))

    def _pod_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is None:
            if old is not None:
                self._since.pop(uid_of(old), None)
        elif old is None or old.get("spec") != new.get("spec"):
            node = self._nodes.get(None, text(new, "spec", "nodeName"))
            if node is not None and _executing(node):
                self.queue.add(key_of(new))

    async def reconcile(self, key: str) -> None:
        pod = self._pods.by_key(key)
        if pod is None or deleting(pod):
            return
        node = self._nodes.get(None, text(pod, "spec", "nodeName"))
        taints = _executing(node)
        uid = uid_of(pod)
        if not taints:
            if self._since.pop(uid, None) is not None:
                self.recorder.event(pod, NORMAL, "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        allowed = tolerated_for(pod, taints)
        if allowed is None:
            self._since.pop(uid, None)
            return
        now = self.clock.monotonic()
        left = self._since.setdefault(uid, now) + allowed - now
        if left > 0:
            self.queue.add_after(key, left)
            return
        self.recorder.event(pod, NORMAL, "TaintManagerEviction", f"Marking for deletion Pod {key}")
        mark: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": timestamp(self.clock.now()),
        }
        body: JsonObject = {"metadata": {"uid": uid}, "status": {"conditions": [mark]}}
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
        await self.objects.delete(POD, namespace_of(pod), name_of(pod), uid=uid)
        self._since.pop(uid, None)


def _executing(node: JsonObject | None) -> list[JsonObject]:
    return [
        {"key": text(each, "key"), "value": text(each, "value"), "effect": "NoExecute"}
        for each in entries(node, "spec", "taints")
        if text(each, "effect") == "NoExecute"
    ]
