"""The Node object and its Lease: made once, kept fresh."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import LEASE, NODE
from windtunnel_emulators.kubernetes.client.meta import condition, micro_timestamp, timestamp, uid_of
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.node.definition import addresses, allocatable, capacity, node_info, node_labels

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.objects import Objects
    from windtunnel_emulators.kubernetes.client.recorder import Recorder
    from windtunnel_emulators.kubernetes.node.definition import NodeDefinition
    from windtunnel_emulators.runtime.hooks import KnownImages

_log = logging.getLogger(__name__)
_LEASES = "kube-node-lease"
_LEASE_S = 40
_RENEW_S = 10.0
_STATUS_EVERY = 6
"""The whole status with every sixth renewal."""
_RETRY_S = 0.5
_WELL = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


class Registration:
    """Of one node."""

    def __init__(
        self,
        definition: NodeDefinition,
        objects: Objects,
        recorder: Recorder,
        clock: Clock,
        *,
        runtime: str,
        images: KnownImages,
        port: int,
    ) -> None:
        self._definition = definition
        self._objects = objects
        self._recorder = recorder
        self._clock = clock
        self._runtime = runtime
        self._images = images
        self._port = port
        self._boot = hashlib.sha256(f"{definition.name} {clock.now().isoformat()}".encode()).hexdigest()[:32]
        self._since = timestamp(clock.now())
        self._task: asyncio.Task[None] | None = None
        self.node: JsonObject = {}

    async def start(self) -> None:
        """Returns when the API has the node; tried for as long as it takes."""
        while True:
            try:
                await self._register()
                break
            except KubernetesProblem as problem:
                _log.info("node %s is not registered yet: %s", self._definition.name, problem)
                await self._clock.sleep(_RETRY_S)
        self._recorder.event(self.node, "Normal", "Starting", "Starting kubelet.")
        ready = f"Node {self._definition.name} status is now: NodeReady"
        self._recorder.event(self.node, "Normal", "NodeReady", ready)
        self._task = asyncio.create_task(self._keep(), name=f"lease of {self._definition.name}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _register(self) -> None:
        definition = self._definition
        known = await self._objects.find(NODE, None, definition.name)
        labels: JsonObject = {**node_labels(definition)}
        if known is None:
            node: JsonObject = {
                "metadata": {"name": definition.name, "labels": labels, "annotations": self._annotations()},
                "spec": self._spec(),
                "status": self._status({}),
            }
            try:
                self.node = await self._objects.create(NODE, node)
                return
            except StatusError as problem:
                if not already_exists(problem):
                    raise
        patch: JsonObject = {"metadata": {"labels": labels, "annotations": self._annotations()}}
        self.node = await self._objects.patch(NODE, None, definition.name, patch)
        await self._report()

    def _annotations(self) -> JsonObject:
        return {"volumes.kubernetes.io/controller-managed-attach-detach": "true", **self._definition.annotations}

    def _spec(self) -> JsonObject:
        definition = self._definition
        provider = definition.provider_id or f"windtunnel:///{definition.name}"
        spec: JsonObject = {"podCIDR": definition.pod_cidr, "podCIDRs": [definition.pod_cidr], "providerID": provider}
        if definition.taints:
            spec["taints"] = [taint.to_json() for taint in definition.taints]
        return spec

    def _status(self, known: JsonObject) -> JsonObject:
        definition = self._definition
        now = timestamp(self._clock.now())
        conditions: list[Json] = []
        for name, status, reason, message in _WELL:
            before = condition(known, name)
            same = before is not None and before.get("status") == status
            since = before.get("lastTransitionTime") if same and before is not None else self._since
            conditions.append(
                {
                    "type": name,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": since,
                }
            )
        machine = hashlib.sha256(definition.name.encode()).hexdigest()[:32]
        images: list[Json] = [
            {"names": [f"{reference.partition('@')[0].rpartition(':')[0] or reference}@{image.digest}", reference]}
            for reference, image in self._images.all().items()
        ]
        return {
            "capacity": capacity(definition),
            "allocatable": allocatable(definition),
            "conditions": conditions,
            "addresses": addresses(definition),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": node_info(definition, machine, self._boot, self._runtime),
            "images": images,
        }

    async def _report(self) -> None:
        name = self._definition.name
        self.node = await self._objects.patch(
            NODE, None, name, {"status": self._status(self.node)}, subresource="status"
        )

    async def _keep(self) -> None:
        turn = 0
        while True:
            try:
                await self._renew()
                turn += 1
                if turn % _STATUS_EVERY == 0:
                    await self._report()
            except StatusError as problem:
                if problem.code == 404:
                    # Somebody deleted the node; one that runs registers again, as kubelets do when they start anew.
                    _log.info("node %s: %s", name_of_definition(self._definition), problem)
                else:
                    _log.warning("node %s: %s", name_of_definition(self._definition), problem)
            except KubernetesProblem as problem:
                _log.info("node %s: %s", name_of_definition(self._definition), problem)
            await self._clock.sleep(_RENEW_S if turn else 1.0)

    async def _renew(self) -> None:
        name = self._definition.name
        spec: JsonObject = {
            "holderIdentity": name,
            "leaseDurationSeconds": _LEASE_S,
            "renewTime": micro_timestamp(self._clock.now()),
        }
        owner: JsonObject = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid_of(self.node)}
        try:
            await self._objects.patch(LEASE, _LEASES, name, {"spec": spec})
        except StatusError as problem:
            if problem.code != 404:
                raise
            metadata: JsonObject = {"name": name, "namespace": _LEASES, "ownerReferences": [owner]}
            await self._objects.create(LEASE, {"metadata": metadata, "spec": spec})


def name_of_definition(definition: NodeDefinition) -> str:
    return definition.name
