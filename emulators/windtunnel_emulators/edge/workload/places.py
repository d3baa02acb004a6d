"""The place of each module on its device: its environment, its socket of the workload API, and its open ports."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.edge.agent.machine import Place
from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.edge.workload.api import WorkloadApi
from windtunnel_emulators.edge.workload.variables import SOCKET, variables
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.kubernetes.network.listener import PortListener
from windtunnel_emulators.runtime.interface import Mount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.agent.create_options import Options
    from windtunnel_emulators.edge.workload.api import Listing
    from windtunnel_emulators.edge.workload.secrets import Secrets
    from windtunnel_emulators.edge.workload.sockets import Sockets
    from windtunnel_emulators.iot.hub.identity import Identity
    from windtunnel_emulators.iot.hub.identity import Keys as SymmetricKeys
    from windtunnel_emulators.kubernetes.network.balancing import Endpoint
    from windtunnel_emulators.runtime.interface import Runtime


class KnownModules(Protocol):
    """What is needed of ``upstream.scope.Scope``."""

    def get(self, who: Who) -> Identity | None: ...
    def keys(self, who: Who) -> SymmetricKeys: ...
    async def refresh(self, who: Who) -> None: ...


class Places:
    """Implements ``agent.machine.Surroundings`` and ``api.Keys``."""

    def __init__(
        self,
        *,
        device: str,
        host: str,
        address: str,
        known: KnownModules,
        secrets: Secrets,
        sockets: Sockets,
        listing: Listing,
        runtime: Runtime,
        clock: Clock,
    ) -> None:
        """``host`` is the hub's name, ``address`` the device's own."""
        self._device = device
        self._host = host
        self._address = address
        self._known = known
        self._secrets = secrets
        self._sockets = sockets
        self._listing = listing
        self._runtime = runtime
        self._clock = clock
        self._ports: dict[str, list[PortListener]] = {}

    async def enter(self, module: str) -> Place:
        identity = await self._identity(module)
        api = WorkloadApi(module, secrets=self._secrets, keys=self, listing=self._listing, clock=self._clock)
        try:
            path = await self._sockets.open(module, api)
        except OSError as problem:
            raise EdgeProblem(f"its workload API has no socket: {problem}") from problem
        return Place(
            address=self._where(module),
            environment=variables(
                host=self._host,
                gateway=self._address,
                device=self._device,
                module=module,
                generation=identity.generation,
            ),
            mounts=(Mount(source=path, target=SOCKET),),
        )

    async def publish(self, module: str, options: Options) -> None:
        opened = self._ports.setdefault(module, [])
        inside = self._where(module)
        for port in options.published:
            listener = PortListener(
                self._address,
                port.host,
                choices=partial(_one, (inside, port.container)),
                resolve=_at,
                chosen=_unheard,
            )
            try:
                await listener.open()
            except OSError as problem:
                raise EdgeProblem(
                    f"its port {port.container} cannot be published at {self._address}:{port.host}: {problem.strerror}"
                ) from problem
            opened.append(listener)

    async def leave(self, module: str) -> None:
        for listener in self._ports.pop(module, []):
            await listener.close()
        await self._sockets.close(module)

    async def key(self, module: str) -> str:
        await self._identity(module)
        key = self._known.keys(Who(self._device, module)).primary
        if not key:
            raise EdgeProblem(f"module {module} has no symmetric key at the hub, so nothing can be signed for it")
        return key

    async def _identity(self, module: str) -> Identity:
        who = Who(self._device, module)
        if self._known.get(who) is None:
            await self._known.refresh(who)
        found = self._known.get(who)
        if found is None:
            raise EdgeProblem(
                f"the device does not know module {module}'s identity yet: the hub has to be reached once for that"
            )
        return found

    def _where(self, module: str) -> str:
        return self._runtime.allocate_address(f"module {module}")


def _one(endpoint: Endpoint, client: str) -> Iterable[Endpoint]:
    del client
    return (endpoint,)


def _at(endpoint: Endpoint) -> tuple[str, int]:
    return endpoint


def _unheard(client: str, endpoint: Endpoint) -> None:
    del client, endpoint
