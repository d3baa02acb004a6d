"""The Endpoints object of a service. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import annotations_of, dig, labels_of, mapping, name_of, namespace_of
from windtunnel_emulators.kubernetes.controllers.endpoints.backends import Backend, Port, headless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject

HEADLESS = "service.kubernetes.io/headless"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
LIMIT = 1000


def endpoints_for(service: JsonObject, backends: Sequence[Backend], existing: JsonObject | None) -> JsonObject | None:
    """The object as it should be; None where the existing one is right."""
    publish = dig(service, "spec", "publishNotReadyAddresses") is True
    counted = [each for each in backends if publish or not each.terminating]
    counted = sorted(counted, key=lambda each: not each.ready)
    labels: JsonObject = {**labels_of(service), MANAGED_BY: MANAGER}
    if headless(service):
        labels[HEADLESS] = ""
    annotations = {} if existing is None else annotations_of(existing)
    annotations.pop(OVER_CAPACITY, None)
    if len(counted) > LIMIT:
        annotations[OVER_CAPACITY] = "truncated"
    subsets = _subsets(counted[:LIMIT])
    if existing is None:
        metadata: JsonObject = {"name": name_of(service), "namespace": namespace_of(service), "labels": labels}
        if annotations:
            metadata["annotations"] = dict(annotations)
        return {"metadata": metadata, **({"subsets": subsets} if subsets else {})}
    if (
        (existing.get("subsets") or []) == subsets
        and labels_of(existing) == labels
        and annotations_of(existing) == annotations
    ):
        return None
    kept: JsonObject = {**mapping(existing, "metadata"), "labels": labels, "annotations": dict(annotations)}
    return {**existing, "metadata": kept, "subsets": subsets}


def _subsets(backends: Sequence[Backend]) -> list[Json]:
    groups: dict[tuple[Port, ...], tuple[list[Backend], list[Backend]]] = {}
    for each in backends:
        ready, waiting = groups.setdefault(tuple(sorted(each.ports)), ([], []))
        (ready if each.ready else waiting).append(each)
    subsets: list[Json] = []
    for ports in sorted(groups):
        ready, waiting = groups[ports]
        subset: JsonObject = {}
        for field, members in (("addresses", ready), ("notReadyAddresses", waiting)):
            if members:
                ordered = sorted(members, key=lambda each: ([int(part) for part in each.address.split(".")], each.uid))
                subset[field] = [_address(each) for each in ordered]
        if ports:
            subset["ports"] = [_port(each) for each in ports]
        subsets.append(subset)
    return subsets


def _address(backend: Backend) -> JsonObject:
    shown: JsonObject = {"ip": backend.address, "targetRef": backend.target}
    if backend.hostname:
        shown["hostname"] = backend.hostname
    if backend.node:
        shown["nodeName"] = backend.node
    return shown


def _port(port: Port) -> JsonObject:
    name, value, protocol, application = port
    shown: JsonObject = {"port": value, "protocol": protocol}
    if name:
        shown["name"] = name
    if application:
        shown["appProtocol"] = application
    return shown
