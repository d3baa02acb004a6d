"""What the nodes and the proxy of one cluster share: the Services and their endpoints, and where each address leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.kinds import ENDPOINT_SLICE, SERVICE
from windtunnel_emulators.kubernetes.client.meta import labels_of, namespace_of, text
from windtunnel_emulators.kubernetes.network.addresses import PodAddresses, ServiceBlock
from windtunnel_emulators.kubernetes.network.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client

SERVICE_OF_SLICE = "kubernetes.io/service-name"
BY_SERVICE = "service"


def _service_of(found: JsonObject) -> list[str]:
    name = labels_of(found).get(SERVICE_OF_SLICE)
    return [f"{namespace_of(found)}/{name}"] if name else []


class ClusterNetwork:
    """A ``Component``: started before the nodes, stopped after them."""

    def __init__(self, client: Client, clock: Clock, *, cluster: str, api_server: tuple[str, int]) -> None:
        """``cluster`` is its name, unique on this machine; ``api_server`` is where pods reach the API."""
        self.services = Informer(client, SERVICE, clock)
        self.slices = Informer(client, ENDPOINT_SLICE, clock, indexers={BY_SERVICE: _service_of})
        self.pods = PodAddresses()
        self.block = ServiceBlock(cluster)
        self.api_server = api_server
        self.names = Names(self.services, self.slices, self.pods, self.service_address, api_server)
        self._listeners: list[Callable[[str], None]] = []
        self.services.add_handler(lambda old, new: self._changed(_key(new or old or {})))
        self.slices.add_handler(lambda old, new: self._slice_changed(old, new))

    async def start(self) -> None:
        await self.services.start()
        await self.slices.start()

    async def stop(self) -> None:
        await self.slices.stop()
        await self.services.stop()
        self.block.close()

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Called with ``namespace/name`` of a Service that, or whose endpoints, changed."""
        self._listeners.append(listener)

    def service_address(self, service: JsonObject) -> str | None:
        """Where pods reach a Service that has a cluster address; None for one without, or where none can be had."""
        address = text(service, "spec", "clusterIP")
        return self.block.loopback(address) if address and address != "None" else None

    def slices_of(self, key: str) -> list[JsonObject]:
        """The EndpointSlices of a Service."""
        return self.slices.by_index(BY_SERVICE, key)

    def _changed(self, key: str) -> None:
        for listener in self._listeners:
            listener(key)

    def _slice_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        for key in {key for found in (old, new) if found is not None for key in _service_of(found)}:
            self._changed(key)


def _key(found: JsonObject) -> str:
    return f"{namespace_of(found)}/{text(found, 'metadata', 'name')}"
