"""The engine in this process: the emulators' own Kubernetes API on the emulators' store, a TLS port per cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.engines.interface import Credential, Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.kubernetes.access.access import ClusterAccess
    from windtunnel_emulators.kubernetes.api.server import ApiServer
    from windtunnel_emulators.kubernetes.client.interface import Client
    from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition
    from windtunnel_emulators.kubernetes.streams.connect import Connector
    from windtunnel_emulators.server import Listeners
    from windtunnel_emulators.store import Store

_ADDRESS = "127.0.0.1"


class EmbeddedEngine:
    """``Engine``. Objects are rows of the store, under the cluster's uid."""

    name = "embedded"

    def __init__(self, *, store: Store, clock: Clock, listeners: Listeners) -> None:
        self._store = store
        self._clock = clock
        self._listeners = listeners

    def check(self) -> None:
        """It is always there."""

    def versions(self) -> tuple[str, ...] | None:
        """Every release: the API says to be what it is asked to be, and behaves like 1.34."""
        return None

    def facts(self) -> dict[str, str]:
        return {"api": "in the emulators' process"}

    async def sweep(self, known: frozenset[str]) -> None:
        """Delete the objects of clusters that are gone."""
        from windtunnel_emulators.kubernetes.api.storage import forget_cluster, known_clusters

        for uid in known_clusters(self._store) - known:
            forget_cluster(self._store, uid)

    async def start(self, definition: ClusterDefinition) -> RunningEmbedded:
        from windtunnel_emulators.kubernetes.access.access import ClusterAccess
        from windtunnel_emulators.kubernetes.api.server import ApiServer

        name = _listener(definition)
        port = self._listeners.reserve(name)
        try:
            access = ClusterAccess(definition.authority, self._clock)
            server = ApiServer(
                store=self._store,
                cluster=definition.uid,
                clock=self._clock,
                access=access,
                version=definition.version,
                address=f"{_ADDRESS}:{port}",
                service_cidr=definition.service_cidr,
            )
            await server.start()
            await self._listeners.open(
                name, server.app, raw_upgrades=True, context=definition.authority.server_context()
            )
        except BaseException:
            await self._listeners.close(name)
            raise
        return RunningEmbedded(definition, server, access, self._listeners, port)

    async def delete(self, definition: ClusterDefinition) -> None:
        """Objects, versions and the port are forgotten."""
        from windtunnel_emulators.kubernetes.api.storage import forget_cluster

        await self._listeners.close(_listener(definition), forget=True)
        forget_cluster(self._store, definition.uid)


class RunningEmbedded:
    """``RunningCluster`` in this process."""

    parts = Parts()

    def __init__(
        self,
        definition: ClusterDefinition,
        server: ApiServer,
        access: ClusterAccess,
        listeners: Listeners,
        port: int,
    ) -> None:
        self.api = server
        self.access = access
        self.server = f"https://{_ADDRESS}:{port}"
        self.ca = definition.authority.ca
        self._definition = definition
        self._listeners = listeners
        self._connector: Connector | None = None

    @property
    def version(self) -> str:
        return self.api.version

    def credential(self, role: str) -> Credential:
        """Certificate and token."""
        authority = self._definition.authority
        pair = authority.client(role)
        return Credential(certificate=pair.certificate, key=pair.key, token=authority.tokens.get(role))

    def client(self, role: str) -> Client:
        from windtunnel_emulators.kubernetes.access.access import role_user

        return self.api.client(role_user(role))

    def node_client(self, name: str) -> Client:
        from windtunnel_emulators.kubernetes.access.users import node

        return self.api.client(node(name))

    def connect(self, loopback: Callable[[str], str | None]) -> None:
        """Requests for logs, exec, attach, port-forward and proxies go to nodes and pods from here."""
        from windtunnel_emulators.kubernetes.client.objects import Objects
        from windtunnel_emulators.kubernetes.streams.connect import Connector

        authority = self._definition.authority
        tls = authority.client_context(authority.kubelet_client)
        self._connector = Connector(Objects(self.client("admin")), tls, loopback)
        self.api.connector = self._connector

    async def aggregate(self, group: str, version: str, app: ASGI) -> None:
        await self.api.aggregate(group, version, app)

    async def upgrade(self, version: str) -> None:
        self.api.version = version

    async def stop(self) -> None:
        await self._listeners.close(_listener(self._definition))
        if self._connector is not None:
            await self._connector.close()
        await self.api.stop()


def _listener(definition: ClusterDefinition) -> str:
    return f"kubernetes {definition.uid}"
