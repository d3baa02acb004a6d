"""``NodeAgent``: one node of a cluster. It is a client of the API and of nothing else, so it works with any engine."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.kinds import POD
from windtunnel_emulators.kubernetes.client.meta import name_of, namespace_of, text, uid_of
from windtunnel_emulators.kubernetes.client.objects import Objects
from windtunnel_emulators.kubernetes.client.recorder import Recorder
from windtunnel_emulators.kubernetes.network.addresses import PodRange
from windtunnel_emulators.kubernetes.node import rooms
from windtunnel_emulators.kubernetes.node.definition import allocatable
from windtunnel_emulators.kubernetes.node.housekeeping import over_limit
from windtunnel_emulators.kubernetes.node.kubelet.server import KubeletServer
from windtunnel_emulators.kubernetes.node.pod import PodWorker
from windtunnel_emulators.kubernetes.node.registration import Registration
from windtunnel_emulators.kubernetes.node.sources import Sources
from windtunnel_emulators.kubernetes.node.surroundings import NodeSurroundings
from windtunnel_emulators.runtime.hooks import KnownImages

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.network.network import ClusterNetwork
    from windtunnel_emulators.kubernetes.node.definition import NodeDefinition
    from windtunnel_emulators.runtime.interface import Credentials, Runtime

_log = logging.getLogger(__name__)
_SYNC_LIMIT_S = 30.0
_HOUSEKEEPING_S = 5.0
_NAMES_DELAY_S = 0.05


def _no_credentials() -> tuple[Credentials, ...]:
    return ()


class NodeAgent:
    """A ``Component``. ``tls`` is the context of the kubelet API: the node's serving certificate, and client
    certificates of the cluster's authority asked for (``CERT_OPTIONAL``)."""

    def __init__(
        self,
        definition: NodeDefinition,
        *,
        client: Client,
        runtime: Runtime,
        clock: Clock,
        pace: Pace,
        folder: Path,
        tls: ssl.SSLContext,
        network: ClusterNetwork,
        owner: str,
        images: KnownImages | None = None,
        registry_credentials: Callable[[], tuple[Credentials, ...]] = _no_credentials,
    ) -> None:
        """``folder`` is the node's own; ``owner`` is what the runtime calls the node, unique among all clusters."""
        self.definition = definition
        self.clock = clock
        self.runtime = runtime
        self._objects = Objects(client)
        self._recorder = Recorder(client, clock, "kubelet", host=definition.name)
        self._client = client
        self._network = network
        self._sources = Sources(client, clock)
        self._pods = Informer(client, POD, clock, field_selector=f"spec.nodeName={definition.name}")
        self._workers: dict[str, PodWorker] = {}
        self.server = KubeletServer(self, tls)
        self._tasks: list[asyncio.Task[None]] = []
        self._names_changed = asyncio.Event()
        self.surroundings = NodeSurroundings(
            definition=definition,
            owner=owner,
            objects=self._objects,
            recorder=self._recorder,
            runtime=runtime,
            clock=clock,
            pace=pace,
            folder=folder,
            network=network,
            sources=self._sources,
            images=images or KnownImages(),
            range=PodRange(definition.pod_cidr),
            allocatable=allocatable(definition),
            registry_credentials=registry_credentials,
            refusal=self._refusal,
        )
        self._registration: Registration | None = None
        self._sources.on_change(self._source_changed)
        network.services.add_handler(lambda old, new: self._names_changed.set())
        network.slices.add_handler(lambda old, new: self._slice_changed(new or old or {}))
        self._pods.add_handler(self._pod_changed)

    async def start(self) -> None:
        """Returns when the node is registered, and takes pods."""
        port = await self.server.start()
        await self._recorder.start()
        around = self.surroundings
        self._registration = Registration(
            self.definition,
            self._objects,
            self._recorder,
            self.clock,
            runtime=f"windtunnel://{self.runtime.name}",
            images=around.images,
            port=port,
        )
        await asyncio.wait_for(self._network.services.synced.wait(), _SYNC_LIMIT_S)
        await self._registration.start()
        await self._pods.start()
        await asyncio.wait_for(self._pods.synced.wait(), _SYNC_LIMIT_S)
        self._tasks = [
            asyncio.create_task(self._keep_names(), name=f"names of {self.definition.name}"),
            asyncio.create_task(self._housekeeping(), name=f"housekeeping of {self.definition.name}"),
        ]

    async def stop(self) -> None:
        """End all containers without a word to the API: the pods run again when a node of this name starts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._registration is not None:
            await self._registration.stop()
        await self._pods.stop()
        await asyncio.gather(*(worker.close() for worker in list(self._workers.values())))
        self._workers.clear()
        await self._sources.stop()
        await self._recorder.stop()
        await self.server.stop()

    # Asked by the kubelet API and by what measures

    def workers(self) -> list[PodWorker]:
        return list(self._workers.values())

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The pod of that name that is here; the newest, where an older one is about to end."""
        found: PodWorker | None = None
        for worker in self._workers.values():
            if name_of(worker.pod) == name and namespace_of(worker.pod) == namespace:
                found = worker
        return found

    # What happens

    def _pod_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            worker = self._workers.get(uid_of(old))
            if worker is not None:
                worker.gone()
        if new is None:
            return
        worker = self._workers.get(uid_of(new))
        if worker is None:
            self._workers[uid_of(new)] = PodWorker(new, self.surroundings, self._forget)
        else:
            worker.update(new)

    def _forget(self, uid: str) -> None:
        self._workers.pop(uid, None)

    def _refusal(self, pod: JsonObject) -> tuple[str, str] | None:
        others = [
            worker.pod
            for worker in self._workers.values()
            if worker.uid != uid_of(pod) and text(worker.pod, "status", "phase") not in ("Succeeded", "Failed")
        ]
        return rooms.refusal(pod, others, self.surroundings.allocatable)

    def _source_changed(self, namespace: str, what: str) -> None:
        for worker in self._workers.values():
            if worker.refers_to(namespace, what):
                worker.refresh()

    def _slice_changed(self, found: JsonObject) -> None:
        service = text(found, "metadata", "labels", "kubernetes.io/service-name")
        known = self._network.services.get(namespace_of(found), service)
        if known is not None and text(known, "spec", "clusterIP") == "None":
            self._names_changed.set()

    async def _keep_names(self) -> None:
        while True:
            await self._names_changed.wait()
            # Many Services may change at once.
            await self.clock.sleep(_NAMES_DELAY_S)
            self._names_changed.clear()
            for worker in self.workers():
                worker.refresh()

    async def _housekeeping(self) -> None:
        while True:
            await self.clock.sleep(_HOUSEKEEPING_S)
            await self._sources.keep_only({what for worker in self.workers() for what in worker.references})
            for worker in self.workers():
                try:
                    message = await over_limit(worker)
                except OSError as problem:
                    _log.info("volumes of %s: %s", worker.owner, problem)
                    continue
                if message is not None:
                    worker.evict("Evicted", message)
