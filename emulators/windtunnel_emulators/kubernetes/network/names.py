"""The names and variables by which pods find Services: lines of ``/etc/hosts`` and ``<NAME>_SERVICE_HOST``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, entries, name_of, namespace_of, text, words
from windtunnel_emulators.kubernetes.node.environment import service_variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.informer import Informer
    from windtunnel_emulators.kubernetes.network.addresses import PodAddresses

DOMAIN = "cluster.local"


class Names:
    """Asked at any moment; nothing is kept."""

    def __init__(
        self,
        services: Informer,
        slices: Informer,
        pods: PodAddresses,
        address: Callable[[JsonObject], str | None],
        api_server: tuple[str, int],
    ) -> None:
        self._services = services
        self._slices = slices
        self._pods = pods
        self._address = address
        self._api_server = api_server

    def variables(self, namespace: str, *, links: bool) -> dict[str, str]:
        """Of the namespace's Services (``links``), and always of the API server."""
        host, port = self._api_server
        found: dict[str, str] = {}
        if links:
            known = [s for s in self._services.objects(namespace) if (namespace_of(s), name_of(s)) != _API]
            addressed = [(service, address) for service in known if (address := self._address(service)) is not None]
            found |= service_variables(addressed)
        api: JsonObject = {
            "metadata": {"name": "kubernetes"},
            "spec": {"ports": [{"name": "https", "port": port, "protocol": "TCP"}]},
        }
        return found | service_variables([(api, host)])

    def hosts(self, namespace: str) -> list[str]:
        """Lines for a pod of the namespace, its own name not among them."""
        lines: list[str] = []
        for service in self._services.objects():
            name, where = name_of(service), namespace_of(service)
            names = [f"{name}.{where}.svc.{DOMAIN}", f"{name}.{where}.svc", f"{name}.{where}"]
            if where == namespace:
                names.append(name)
            address = self._address(service)
            if address is not None:
                lines.append(f"{address}\t{' '.join(names)}")
            elif text(service, "spec", "clusterIP") == "None":
                lines += self._headless(f"{where}/{name}", names)
        return lines

    def _headless(self, key: str, names: list[str]) -> list[str]:
        lines: list[str] = []
        for found in self._slices.by_index("service", key):
            for endpoint in entries(found, "endpoints"):
                if dig(endpoint, "conditions", "ready") is False:
                    continue
                hostname = text(endpoint, "hostname")
                own = [f"{hostname}.{name}" for name in names] if hostname else []
                for address in words(endpoint, "addresses"):
                    loopback = self._pods.loopback(address)
                    if loopback is not None:
                        lines.append(f"{loopback}\t{' '.join([*own, *names])}")
        return lines


_API = ("default", "kubernetes")
