"""The EndpointSlices a service should have, with as few changes to those it has as possible. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import JsonObject
from windtunnel_emulators.kubernetes.client.kinds import ENDPOINTS, SERVICE
from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    entries,
    labels_of,
    mapping,
    name_of,
    namespace_of,
    number,
    owner_reference,
    text,
)
from windtunnel_emulators.kubernetes.controllers.endpoints.backends import Backend, Port, headless

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_emulators.jsontypes import Json

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
MANAGER = "endpointslice-controller.k8s.io"
MIRRORING = "endpointslicemirroring-controller.k8s.io"
LIMIT = 100


@dataclass(slots=True, kw_only=True)
class Changes:
    """What to create, update and delete."""

    create: list[JsonObject] = field(default_factory=list[JsonObject])
    update: list[JsonObject] = field(default_factory=list[JsonObject])
    delete: list[JsonObject] = field(default_factory=list[JsonObject])


def labels_for_service(service: JsonObject) -> dict[str, str]:
    """The labels of its slices: its own, and those by which slices are found."""
    reserved = {SERVICE_NAME, MANAGED_BY, HEADLESS}
    labels = {key: value for key, value in labels_of(service).items() if key not in reserved}
    labels |= {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER}
    if headless(service):
        labels[HEADLESS] = ""
    return labels


def endpoint(backend: Backend, zones: Mapping[str, str]) -> JsonObject:
    shown: JsonObject = {
        "addresses": [backend.address],
        "conditions": {
            "ready": backend.ready,
            "serving": backend.serving,
            "terminating": backend.terminating,
        },
        "targetRef": backend.target,
    }
    if backend.hostname:
        shown["hostname"] = backend.hostname
    if backend.node:
        shown["nodeName"] = backend.node
        if backend.node in zones:
            shown["zone"] = zones[backend.node]
    return shown


def plan_service(
    service: JsonObject, backends: Sequence[Backend], existing: Sequence[JsonObject], zones: Mapping[str, str]
) -> Changes:
    """The changes after which the service's slices show these backends."""
    groups: dict[tuple[Port, ...], list[JsonObject]] = {}
    for each in backends:
        # A pod without any of the ports is no endpoint, unless the service names none.
        if each.ports or not entries(service, "spec", "ports"):
            groups.setdefault(each.ports, []).append(endpoint(each, zones))
    return _plan(
        groups,
        existing,
        labels=labels_for_service(service),
        prefix=f"{name_of(service)}-",
        namespace=namespace_of(service),
        owner=owner_reference(service, SERVICE),
        placeholder=True,
    )


def plan_mirror(endpoints: JsonObject, existing: Sequence[JsonObject]) -> Changes:
    """The changes after which slices show what somebody wrote into an Endpoints object."""
    groups: dict[tuple[Port, ...], list[JsonObject]] = {}
    for subset in entries(endpoints, "subsets"):
        ports = tuple(
            (text(p, "name"), number(p, "port"), text(p, "protocol", default="TCP"), text(p, "appProtocol"))
            for p in entries(subset, "ports")
        )
        for ready, part in ((True, "addresses"), (False, "notReadyAddresses")):
            for each in entries(subset, part):
                if ":" not in text(each, "ip"):
                    groups.setdefault(ports, []).append(_mirrored(each, ready))
    labels = {
        key: value for key, value in labels_of(endpoints).items() if key not in (SERVICE_NAME, MANAGED_BY, HEADLESS)
    }
    return _plan(
        groups,
        existing,
        labels={**labels, SERVICE_NAME: name_of(endpoints), MANAGED_BY: MIRRORING},
        prefix=f"{name_of(endpoints)}-",
        namespace=namespace_of(endpoints),
        owner=owner_reference(endpoints, ENDPOINTS),
        placeholder=False,
    )


def _mirrored(address: JsonObject, ready: bool) -> JsonObject:
    shown: JsonObject = {"addresses": [text(address, "ip")], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName"):
        if text(address, name):
            shown[name] = text(address, name)
    if mapping(address, "targetRef"):
        shown["targetRef"] = mapping(address, "targetRef")
    return shown


def _plan(
    groups: Mapping[tuple[Port, ...], list[JsonObject]],
    existing: Sequence[JsonObject],
    *,
    labels: Mapping[str, str],
    prefix: str,
    namespace: str,
    owner: JsonObject,
    placeholder: bool,
) -> Changes:
    changes = Changes()
    usable = [each for each in existing if not deleting(each)]
    spare = list(usable)
    filled: list[tuple[JsonObject | None, tuple[Port, ...], list[JsonObject]]] = []
    for ports, wanted in groups.items():
        waiting = {_identity(each): each for each in wanted}
        mine = [each for each in spare if _ports_of(each) == ports]
        kept: list[tuple[JsonObject, list[JsonObject]]] = []
        for each in mine:
            staying = [
                waiting.pop(identity) for identity in map(_identity, entries(each, "endpoints")) if identity in waiting
            ]
            kept.append((each, staying))
        rest = list(waiting.values())
        for each, staying in sorted(kept, key=lambda pair: -len(pair[1])):
            while rest and len(staying) < LIMIT:
                staying.append(rest.pop(0))
            if staying:
                spare.remove(each)
                filled.append((each, ports, staying))
        while rest:
            filled.append((spare.pop() if spare else None, ports, rest[:LIMIT]))
            rest = rest[LIMIT:]
    if not filled and placeholder:
        filled.append((spare.pop() if spare else None, (), []))
    for known, ports, content in filled:
        shown: list[Json] = list(content)
        written_ports: list[Json] = [_port(each) for each in ports]
        if known is None:
            changes.create.append(
                {
                    "metadata": {
                        "generateName": prefix,
                        "namespace": namespace,
                        "labels": dict(labels),
                        "ownerReferences": [owner],
                    },
                    "addressType": "IPv4",
                    "endpoints": shown,
                    "ports": written_ports,
                }
            )
        elif entries(known, "endpoints") != shown or _ports_of(known) != ports or labels_of(known) != dict(labels):
            changes.update.append(
                {
                    **known,
                    "metadata": {**mapping(known, "metadata"), "labels": dict(labels)},
                    "endpoints": shown,
                    "ports": written_ports,
                }
            )
    changes.delete = spare
    return changes


def _identity(each: JsonObject) -> tuple[str, str]:
    addresses = each.get("addresses")
    first = addresses[0] if isinstance(addresses, list) and addresses else ""
    return text(each, "targetRef", "uid"), str(first)


def _ports_of(each: JsonObject) -> tuple[Port, ...]:
    return tuple(
        (text(p, "name"), number(p, "port"), text(p, "protocol", default="TCP"), text(p, "appProtocol"))
        for p in entries(each, "ports")
    )


def _port(port: Port) -> JsonObject:
    name, value, protocol, application = port
    shown: JsonObject = {"name": name, "port": value, "protocol": protocol}
    if application:
        shown["appProtocol"] = application
    return shown
