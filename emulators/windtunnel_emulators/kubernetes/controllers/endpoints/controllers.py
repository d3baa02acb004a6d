"""Keep the EndpointSlices and Endpoints of services current, and mirror Endpoints that somebody else writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import StatusError
from windtunnel_emulators.kubernetes.client.kinds import ENDPOINT_SLICE, ENDPOINTS, NODE, POD, SERVICE
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    join_key,
    key_of,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    split_key,
    strings,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.objects import already_exists
from windtunnel_emulators.kubernetes.controllers.controller import Controller
from windtunnel_emulators.kubernetes.controllers.endpoints import legacy, slices
from windtunnel_emulators.kubernetes.controllers.endpoints.backends import (
    backends_of,
    concerns_endpoints,
    selects,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.informer import Informer

_ZONE = "topology.kubernetes.io/zone"


def _index_slices(informer: Informer) -> None:
    def service_and_manager(obj: JsonObject) -> Iterable[str]:
        labels = labels_of(obj)
        name, manager = labels.get(slices.SERVICE_NAME), labels.get(slices.MANAGED_BY)
        if name and manager:
            yield f"{manager} {join_key(namespace_of(obj), name)}"

    informer.add_index("service", service_and_manager)


def _key_of_slice(manager: str, obj: JsonObject) -> Iterable[str]:
    labels = labels_of(obj)
    if labels.get(slices.MANAGED_BY) == manager and labels.get(slices.SERVICE_NAME):
        yield join_key(namespace_of(obj), labels[slices.SERVICE_NAME])


class _OfServices(Controller):
    """What follows services and the pods they select."""

    workers = 3

    def prepare(self) -> None:
        self._services = self.watch(SERVICE)
        self._pods = self.objects.informer(POD)
        self._pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: JsonObject | None, new: JsonObject | None) -> None:
        if old is not None and new is not None and concerns_endpoints(old) == concerns_endpoints(new):
            return
        for pod in (old, new):
            if pod is None:
                continue
            for service in self._services.objects(namespace_of(pod)):
                if selects(service, pod):
                    self.queue.add(key_of(service))


class EndpointSlices(_OfServices):
    """The controller of the slices of services with a selector."""

    name = "endpointslice-controller"

    def prepare(self) -> None:
        super().prepare()
        self._nodes = self.objects.informer(NODE)
        self._slices = self.watch(ENDPOINT_SLICE, lambda obj: _key_of_slice(slices.MANAGER, obj))
        _index_slices(self._slices)

    async def reconcile(self, key: str) -> None:
        service = self._services.by_key(key)
        if service is None or deleting(service) or not strings(service, "spec", "selector"):
            return
        if text(service, "spec", "type") == "ExternalName":
            return
        pods = self._pods.objects(namespace_of(service))
        zones = {name_of(node): zone for node in self._nodes.objects() if (zone := labels_of(node).get(_ZONE))}
        existing = self._slices.by_index("service", f"{slices.MANAGER} {key}")
        await _carry_out(self, slices.plan_service(service, backends_of(service, pods), existing, zones))


class Endpoints(_OfServices):
    """The controller of the Endpoints of services with a selector."""

    name = "endpoint-controller"

    def prepare(self) -> None:
        super().prepare()
        self._endpoints = self.watch(ENDPOINTS)

    async def reconcile(self, key: str) -> None:
        namespace, name = split_key(key)
        service = self._services.by_key(key)
        existing = self._endpoints.by_key(key)
        if service is None:
            managed = existing is not None and labels_of(existing).get(legacy.MANAGED_BY) == legacy.MANAGER
            if existing is not None and managed:
                await self.objects.delete(ENDPOINTS, namespace, name, uid=uid_of(existing))
            return
        if text(service, "spec", "type") == "ExternalName" or not strings(service, "spec", "selector"):
            return
        wanted = legacy.endpoints_for(service, backends_of(service, self._pods.objects(namespace)), existing)
        if wanted is None:
            return
        if existing is None:
            try:
                await self.objects.create(ENDPOINTS, wanted, namespace)
            except StatusError as failure:
                if not already_exists(failure):
                    raise
                # Left of an earlier service of this name: taken over.
                left = await self.objects.get(ENDPOINTS, namespace, name)
                metadata: JsonObject = {**mapping(left, "metadata"), **mapping(wanted, "metadata")}
                await self.objects.update(ENDPOINTS, {**wanted, "metadata": metadata})
        else:
            await self.objects.update(ENDPOINTS, wanted)


class EndpointSliceMirroring(Controller):
    """The controller that shows hand-written Endpoints of services without a selector as slices."""

    name = "endpointslice-mirroring-controller"

    def prepare(self) -> None:
        self._endpoints = self.watch(ENDPOINTS)
        self._services = self.watch(SERVICE)
        self._slices = self.watch(ENDPOINT_SLICE, lambda obj: _key_of_slice(slices.MIRRORING, obj))
        _index_slices(self._slices)

    async def reconcile(self, key: str) -> None:
        endpoints, service = self._endpoints.by_key(key), self._services.by_key(key)
        existing = self._slices.by_index("service", f"{slices.MIRRORING} {key}")
        mirrored = (
            endpoints is not None
            and service is not None
            and not deleting(endpoints)
            and not strings(service, "spec", "selector")
            and labels_of(endpoints).get(slices.SKIP_MIRROR) != "true"
            and labels_of(endpoints).get(legacy.MANAGED_BY) != legacy.MANAGER
        )
        if endpoints is not None and mirrored:
            await _carry_out(self, slices.plan_mirror(endpoints, existing))
        else:
            await _carry_out(self, slices.Changes(delete=existing))


async def _carry_out(controller: Controller, changes: slices.Changes) -> None:
    objects = controller.objects
    await asyncio.gather(
        *(objects.create(ENDPOINT_SLICE, each) for each in changes.create),
        *(objects.update(ENDPOINT_SLICE, each) for each in changes.update),
        *(
            objects.delete(ENDPOINT_SLICE, namespace_of(each), name_of(each), uid=uid_of(each))
            for each in changes.delete
        ),
    )
