"""APIs of this process behind a real API server: a listener per group, found through an APIService.

A Service of type ExternalName is what lets the aggregator call a name of its own choosing, here localhost; every other
type leads to cluster addresses, which nothing on this machine routes.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import APPLY_PATCH, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition
    from windtunnel_emulators.server import Listeners

_SERVICE = Kind(group="", version="v1", plural="services", name="Service")
_API_SERVICE = Kind(
    group="apiregistration.k8s.io", version="v1", plural="apiservices", name="APIService", namespaced=False
)
_NAMESPACE = "kube-system"


class AggregatedApis:
    """Those of one cluster."""

    def __init__(
        self, definition: ClusterDefinition, client: Callable[[], Client], listeners: Listeners | None
    ) -> None:
        self._definition = definition
        self._client = client
        self._listeners = listeners
        self._open: list[str] = []

    async def add(self, group: str, version: str, app: ASGI) -> None:
        """Serve ``app``, which the API server calls with its front-proxy certificate, and register it."""
        if self._listeners is None:
            raise ValueError("this engine has no listeners for APIs of its own")
        name = f"kubernetes {self._definition.uid} {group}"
        authority = self._definition.authority
        port = await self._listeners.open(name, app, context=authority.aggregated_context())
        self._open.append(name)
        service = f"{group.split('.')[0]}-{version}"
        client = self._client()
        try:
            await _apply(
                client,
                _SERVICE,
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "metadata": {"name": service, "namespace": _NAMESPACE},
                    "spec": {"type": "ExternalName", "externalName": "localhost"},
                },
            )
            await _apply(
                client,
                _API_SERVICE,
                {
                    "apiVersion": "apiregistration.k8s.io/v1",
                    "kind": "APIService",
                    "metadata": {"name": f"{version}.{group}"},
                    "spec": {
                        "group": group,
                        "version": version,
                        "groupPriorityMinimum": 100,
                        "versionPriority": 100,
                        "caBundle": base64.b64encode(authority.ca.encode("ascii")).decode("ascii"),
                        "service": {"name": service, "namespace": _NAMESPACE, "port": port},
                    },
                },
            )
        finally:
            await client.close()

    async def close(self) -> None:
        """Serve no more; the registration stays, and answers 503 until the next start."""
        for name in self._open:
            if self._listeners is not None:
                await self._listeners.close(name)
        self._open.clear()


async def _apply(client: Client, kind: Kind, whole: JsonObject) -> None:
    metadata = whole["metadata"]
    assert isinstance(metadata, dict)
    await client.request(
        "PATCH",
        kind.path(str(metadata.get("namespace", "")) or None, str(metadata["name"])),
        query={"fieldManager": "windtunnel", "force": "true"},
        body=whole,
        content_type=APPLY_PATCH,
    )
