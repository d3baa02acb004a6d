"""Watches the heartbeats of nodes: one that stopped becomes unknown, is tainted, and its pods are no longer ready."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import STRATEGIC_MERGE_PATCH, StatusError
from windtunnel_emulators.kubernetes.client.kinds import LEASE, NODE, POD
from windtunnel_emulators.kubernetes.client.meta import (
    condition,
    entries,
    mapping,
    name_of,
    namespace_of,
    text,
    timestamp,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.recorder import NORMAL, WARNING
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.nodes.taints import readiness_taint, taints_for
from windtunnel_emulators.kubernetes.controllers.pods import finished, ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject

LEASES = "kube-node-lease"
_HEARD = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def by_node(pod: JsonObject) -> Iterable[str]:
    """Index: the node a pod is on."""
    name = text(pod, "spec", "nodeName")
    return (name,) if name else ()


class NodeLifecycle(Controller):
    """The controller of nodes' health."""

    name = "node-lifecycle-controller"
    component = "node-controller"
    workers = 2

    def prepare(self) -> None:
        self._heard: dict[str, float] = {}
        self._known: set[str] = set()
        self._pods = self.objects.informer(POD)
        self._pods.add_index("node", by_node)
        self._nodes = self.objects.informer(NODE)
        self._nodes.add_handler(self._node_changed)
        self._leases = self.objects.informer(LEASE)
        self._leases.add_handler(self._lease_changed)

    async def start(self) -> None:
        await super().start()
        self.also(asyncio.create_task(self._look_round(), name="heartbeats of nodes"))

    async def _look_round(self) -> None:
        """Silence causes no event, so it has to be looked for."""
        while True:
            await self.clock.sleep(self.settings.node_monitor_period_s)
            for node in self._nodes.objects():
                if self._silent(name_of(node)) and readiness_taint(node) != "node.kubernetes.io/unreachable":
                    self.queue.add(name_of(node))

    def _node_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is None:
            if old is not None:
                self._heard.pop(name_of(old), None)
                self._known.discard(name_of(old))
            return
        before, now = condition(old or {}, "Ready"), condition(new, "Ready")
        beat = {} if now is None else {**now, "lastTransitionTime": None}
        news = old is None or ({} if before is None else {**before, "lastTransitionTime": None}) != beat
        if news and (now is None or now.get("status") != "Unknown"):
            self._hear(name_of(new))
        if old is None or _matters(old) != _matters(new):
            self.queue.add(name_of(new))
            if old is None or readiness_taint(old) != readiness_taint(new):
                # Whether pods may be evicted depends on the other nodes.
                for each in self._nodes.objects():
                    if readiness_taint(each) is not None:
                        self.queue.add(name_of(each))

    def _lease_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if new is not None and namespace_of(new) == LEASES:
            renewed = mapping(new, "spec").get("renewTime")
            if old is None or mapping(old, "spec").get("renewTime") != renewed:
                self._hear(name_of(new))

    def _hear(self, name: str) -> None:
        self._heard[name] = self.clock.monotonic()

    def _silent(self, name: str) -> bool:
        heard = self._heard.setdefault(name, self.clock.monotonic())
        return self.clock.monotonic() - heard > self.settings.node_monitor_grace_period_s

    async def reconcile(self, key: str) -> None:
        node = self._nodes.get(None, key)
        if node is None:
            return
        if key not in self._known:
            self._known.add(key)
            self.recorder.event(
                node, NORMAL, "RegisteredNode", f"Node {key} event: Registered Node {key} in Controller"
            )
        if self._silent(key):
            node = await self._give_up(node)
        await self._taint(node)
        if readiness_taint(node) is not None:
            await self._unready_pods(node)

    async def _give_up(self, node: JsonObject) -> JsonObject:
        """Say of its conditions that nothing is known."""
        now = timestamp(self.clock.now())
        conditions: list[Json] = []
        changed = False
        known = {text(each, "type") for each in entries(node, "status", "conditions")}
        for each in entries(node, "status", "conditions"):
            if each.get("type") in _HEARD and each.get("status") != "Unknown":
                changed = True
                conditions.append(
                    {
                        **each,
                        "status": "Unknown",
                        "reason": "NodeStatusUnknown",
                        "message": "Kubelet stopped posting node status.",
                        "lastTransitionTime": now,
                    }
                )
            else:
                conditions.append(each)
        for type_ in _HEARD:
            if type_ not in known:
                changed = True
                conditions.append(
                    {
                        "type": type_,
                        "status": "Unknown",
                        "reason": "NodeStatusNeverUpdated",
                        "message": "Kubelet never posted node status.",
                        "lastHeartbeatTime": mapping(node, "metadata").get("creationTimestamp"),
                        "lastTransitionTime": now,
                    }
                )
        if not changed:
            return node
        self.recorder.event(node, NORMAL, "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady")
        status: JsonObject = {**mapping(node, "status"), "conditions": conditions}
        return await self.objects.update_status(NODE, {**node, "status": status})

    async def _taint(self, node: JsonObject) -> None:
        evict = any(readiness_taint(each) is None for each in self._nodes.objects())
        wanted = taints_for(node, evict=evict, now=self.clock.now())
        if wanted != entries(node, "spec", "taints"):
            spec: JsonObject = {**mapping(node, "spec"), "taints": list(wanted)}
            await self.objects.update(NODE, {**node, "spec": spec})

    async def _unready_pods(self, node: JsonObject) -> None:
        """Services stop sending to pods of a node that is not ready."""
        for pod in self._pods.by_index("node", name_of(node)):
            if not ready(pod) or finished(pod):
                continue
            unready: JsonObject = {
                "type": "Ready",
                "status": "False",
                "lastTransitionTime": timestamp(self.clock.now()),
            }
            body: JsonObject = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [unready]}}
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
                if failure.code not in (404, 409):
                    raise
                continue
            self.recorder.event(pod, WARNING, "NodeNotReady", "Node is not ready")


def _matters(node: JsonObject) -> tuple[object, ...]:
    states = {text(each, "type"): text(each, "status") for each in entries(node, "status", "conditions")}
    return states, entries(node, "spec", "taints"), mapping(node, "spec").get("unschedulable")
