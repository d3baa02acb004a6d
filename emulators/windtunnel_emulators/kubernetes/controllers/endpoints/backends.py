"""The pods behind a service, as addresses with ports and conditions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import (
    deleting,
    entries,
    flag,
    labels_of,
    name_of,
    namespace_of,
    optional_number,
    strings,
    text,
    uid_of,
)
from windtunnel_emulators.kubernetes.client.selectors import matches_map
from windtunnel_emulators.kubernetes.controllers.pods import finished, ready

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import JsonObject

Port = tuple[str, int, str, str]
"""(name, port, protocol, appProtocol)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One pod behind a service."""

    uid: str
    name: str
    namespace: str
    address: str
    node: str
    hostname: str
    ready: bool
    serving: bool
    terminating: bool
    ports: tuple[Port, ...]

    @property
    def target(self) -> JsonObject:
        return {"kind": "Pod", "namespace": self.namespace, "name": self.name, "uid": self.uid}


def headless(service: JsonObject) -> bool:
    return text(service, "spec", "clusterIP") == "None"


def selects(service: JsonObject, pod: JsonObject) -> bool:
    return matches_map(strings(service, "spec", "selector"), labels_of(pod))


def backends_of(service: JsonObject, pods: Iterable[JsonObject]) -> list[Backend]:
    """The backends among ``pods``, which are of the service's namespace; in order of their names."""
    publish = flag(service, "spec", "publishNotReadyAddresses")
    found: list[Backend] = []
    for pod in pods:
        address = text(pod, "status", "podIP")
        # One family is served here: the addresses of our pods are IPv4.
        if not address or ":" in address or finished(pod) or not selects(service, pod):
            continue
        serving, terminating = ready(pod), deleting(pod)
        named = text(pod, "spec", "subdomain") == name_of(service)
        found.append(
            Backend(
                uid=uid_of(pod),
                name=name_of(pod),
                namespace=namespace_of(pod),
                address=address,
                node=text(pod, "spec", "nodeName"),
                hostname=text(pod, "spec", "hostname") if named else "",
                ready=publish or (serving and not terminating),
                serving=serving,
                terminating=terminating,
                ports=tuple(_ports(service, pod)),
            )
        )
    return sorted(found, key=lambda each: each.name)


def _ports(service: JsonObject, pod: JsonObject) -> Iterable[Port]:
    for each in entries(service, "spec", "ports"):
        protocol = text(each, "protocol", default="TCP")
        found = _target(each, pod, protocol)
        if found is not None:
            yield text(each, "name"), found, protocol, text(each, "appProtocol")


def _target(port: JsonObject, pod: JsonObject, protocol: str) -> int | None:
    """The number of the pod's port: given as such, or by the name of a container's port."""
    named = text(port, "targetPort")
    if not named:
        return optional_number(port, "targetPort") or optional_number(port, "port")
    sidecars = [each for each in entries(pod, "spec", "initContainers") if text(each, "restartPolicy") == "Always"]
    for container in [*entries(pod, "spec", "containers"), *sidecars]:
        for each in entries(container, "ports"):
            if text(each, "name") == named and text(each, "protocol", default="TCP") == protocol:
                return optional_number(each, "containerPort")
    return None


def concerns_endpoints(pod: JsonObject) -> tuple[object, ...]:
    """What of a pod any endpoint shows: where two versions agree, no endpoint changes."""
    return (
        text(pod, "status", "podIP"),
        ready(pod),
        finished(pod),
        deleting(pod),
        text(pod, "spec", "nodeName"),
        text(pod, "spec", "hostname"),
        tuple(sorted(labels_of(pod).items())),
    )
