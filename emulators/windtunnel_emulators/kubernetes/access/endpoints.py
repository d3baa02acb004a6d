"""Where a Service is really served: the ready pods behind it, at the addresses that their processes have.

Pods of the emulators have an address of the pod range in their status and the loopback address of their processes in
an annotation; a pod without it is called at its address.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.client.meta import dig, entries, number, text, words
from windtunnel_emulators.kubernetes.objects.selectors import labels_of

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.state import State

ANNOTATION = "windtunnel.dev/address"
_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE = "kubernetes.io/service-name"


class ServiceEndpoints:
    """Asked for one Service at a time, by its EndpointSlices."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(self, namespace: str, name: str, port: int) -> tuple[str, int] | None:
        """Host and port of one of those that are ready; None when none is, or the Service has no such port."""
        service = self._state.get("services", namespace, name)
        if service is None:
            return None
        wanted = next((one for one in entries(service, "spec", "ports") if one.get("port") == port), None)
        if wanted is None:
            return None
        found = [
            place
            for each in self._state.objects(_SLICES, namespace)
            if labels_of(each).get(_SERVICE) == name
            for place in self._ready(each, namespace, as_str(wanted.get("name")))
        ]
        return secrets.choice(found) if found else None

    def _ready(self, each: JsonObject, namespace: str, port_name: str) -> list[tuple[str, int]]:
        target = next((number(one, "port") for one in entries(each, "ports") if text(one, "name") == port_name), 0)
        found: list[tuple[str, int]] = []
        for endpoint in entries(each, "endpoints"):
            if not target or dig(endpoint, "conditions", "ready") is False:
                continue
            pod = text(endpoint, "targetRef", "name") if text(endpoint, "targetRef", "kind") == "Pod" else ""
            whole = self._state.get("pods", namespace, pod) if pod else None
            annotations = as_object(meta.of(whole or each).get("annotations"))
            address = as_str(annotations.get(ANNOTATION)) or next(iter(words(endpoint, "addresses")), "")
            if address:
                found.append((address, target))
        return found
