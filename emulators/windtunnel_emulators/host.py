"""The process: puts the parts together, starts them in order, and stops them within seconds.

Order of a start: state folder, store, certificates, ARM's kernel, the runtime, the services of all providers (each
takes up what the store says is there), work that was in progress, the ports, and last the ready file.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from windtunnel_emulators import __version__
from windtunnel_emulators.arm.app import Arm
from windtunnel_emulators.arm.kernel import build
from windtunnel_emulators.arm.reset import reset
from windtunnel_emulators.clock import RealClock
from windtunnel_emulators.discovery import discover
from windtunnel_emulators.faults import Faults
from windtunnel_emulators.frontdoor import FrontDoor
from windtunnel_emulators.identity.directory import Directory
from windtunnel_emulators.identity.managed import ManagedIdentity
from windtunnel_emulators.identity.service import TokenService, owns
from windtunnel_emulators.identity.tokens import Tokens
from windtunnel_emulators.providers.resources import ENDPOINTS
from windtunnel_emulators.server import ADDRESS, Listeners
from windtunnel_emulators.state import Endpoints, Ready, State
from windtunnel_emulators.store import Store
from windtunnel_emulators.tls import CertificateAuthority
from windtunnel_emulators.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.arm.kernel import Kernel
    from windtunnel_emulators.arm.provider import AnyProvider, Service
    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.clock import Pace
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.logtail import LogTail
    from windtunnel_emulators.runtime.interface import Runtime

FRONT_DOOR = "front door"
MANAGED_IDENTITY = "managed identity"

_STOP_S = 1.0  # for each of: the services, the runtime
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    state_folder: Path | None
    """None, with ``ephemeral``, for one that is removed at the end."""
    ephemeral: bool
    port: int
    """Of the front door; 0 for its former one, or any that is free."""
    pace: Pace
    runtime: str
    ready_file: Path | None
    environment: Mapping[str, str]
    """Of the process: where the public certificate authorities are, and programs that engines need."""
    kubernetes: str = "embedded"
    """How clusters are served: ``embedded``, ``binaries`` or ``kind``."""


class Host:
    """The emulators, from start to stop."""

    def __init__(self, options: Options, log: LogTail, providers: Sequence[AnyProvider] | None = None) -> None:
        """``log`` is what the control API shows; ``providers`` None takes all that are installed."""
        self._options = options
        self._log = log
        self._providers = providers
        self._clock = RealClock()
        self._started = self._clock.monotonic()
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> Ready:
        """Start everything. Raises ``StateProblem``, ``StoreProblem``, ``PortTaken``, having undone what was done."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, in the opposite order; what was acknowledged is in the store."""
        await self._stack.aclose()

    async def _start(self) -> Ready:
        options, clock = self._options, self._clock
        state = State(options.state_folder, ephemeral=options.ephemeral)
        self._stack.callback(state.close)
        store = Store(state.store_file)
        self._stack.callback(store.close)
        authority = CertificateAuthority.load_or_create(
            state.parts / "tls", now=clock.now(), environment=options.environment
        )
        credentials = state.credentials()
        directory = Directory.of(
            tenant=credentials.tenant,
            subscription=credentials.subscription,
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
        )
        kernel = build(
            store=store,
            clock=clock,
            pace=options.pace,
            directory=directory,
            subscription=credentials.subscription,
        )
        tokens = Tokens(folder=state.parts / "identity", clock=clock, directory=directory)
        world = _world(kernel, state, tokens, Listeners(store, authority.server_context()), options)
        routes = await self._start_services(kernel, world)
        identity = TokenService(directory=directory, tokens=tokens, store=store, clock=clock, pace=options.pace)
        faults = Faults()
        door = FrontDoor(
            arm=Arm(kernel, tokens, ENDPOINTS),
            identity=identity,
            owned_by_identity=owns,
            routes=routes,
            control=lambda: self._control(kernel, world, door, identity, faults),
            health=partial(_health, world.runtime),
            faults=faults,
            clock=clock,
        )
        self._stack.push_async_callback(world.listeners.close_all)
        port = await world.listeners.open(FRONT_DOOR, door, port=options.port)
        managed = ManagedIdentity(
            directory=directory,
            tokens=tokens,
            clock=clock,
            subscription=credentials.subscription,
            front_door=lambda: f"https://localhost:{port}",
        )
        managed_port = await world.listeners.open(MANAGED_IDENTITY, managed, tls=False)
        ready = _ready(state, authority, port, managed_port)
        state.announce(ready, options.ready_file)
        _log.info("ready at %s, state in %s", ready.endpoints.resource_manager, state.folder)
        return ready

    async def _start_services(self, kernel: Kernel, world: World) -> dict[str, ASGI]:
        """Make and start every provider's service; returns the paths that they mount at the front door."""
        self._stack.push_async_callback(_within_limit, "the runtime", world.runtime.close)
        await world.runtime.start_up()
        services: list[Service] = []
        routes: dict[str, ASGI] = {}
        for provider in discover() if self._providers is None else self._providers:
            service: Service = provider.service(world)
            kernel.catalogue.add(provider, service)
            services.append(service)
            mounted: Mapping[str, ASGI] = getattr(service, "routes", {})
            if twice := routes.keys() & mounted.keys():
                raise ValueError(f"two providers mount {', '.join(twice)} at the front door")
            routes.update(mounted)
        self._stack.push_async_callback(_stop_services, services)
        for service in services:
            await service.start()
        self._stack.push_async_callback(kernel.operations.stop)
        kernel.operations.resume()
        return routes

    async def _control(
        self, kernel: Kernel, world: World, door: FrontDoor, identity: TokenService, faults: Faults
    ) -> ASGI:
        """The control API. Its import takes the better part of a second, so it has a thread and is the first user's."""
        await asyncio.to_thread(__import__, "windtunnel_emulators.control.app")
        from windtunnel_emulators.control.app import Controls, app

        async def start_over() -> None:
            async with door.closed():
                await reset(kernel)
                world.listeners.remember()

        return app(
            Controls(
                world=world,
                directory=kernel.directory,
                faults=faults,
                log=self._log,
                health=partial(_health, world.runtime),
                started=self._started,
                operations=kernel.operations.latest,
                reset=start_over,
                sign_out=identity.refresh_tokens.revoke_all,
                edge_devices=partial(_edge_devices, kernel),
            )
        )


async def _stop_services(services: Sequence[Service]) -> None:
    await asyncio.gather(*(_within_limit(type(service).__name__, service.stop) for service in services))


async def _within_limit(what: str, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop one part; what fails or hangs is logged and does not keep the others from stopping."""
    try:
        async with asyncio.timeout(_STOP_S):
            await stop()
    except TimeoutError:
        _log.error("%s did not stop within %.0f s", what, _STOP_S)
    except Exception:
        _log.exception("%s did not stop", what)


def _world(kernel: Kernel, state: State, tokens: Tokens, listeners: Listeners, options: Options) -> World:
    from windtunnel_emulators.kubernetes.engines.selection import make_engine
    from windtunnel_emulators.registry.access import Access
    from windtunnel_emulators.registry.callers import AzureCallers
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.registry.pull import RegistrySource
    from windtunnel_emulators.registry.registries import Registries
    from windtunnel_emulators.runtime.selection import make_runtime

    content = Content(kernel.store, state.parts / "registry", clock=kernel.clock)
    registries = RegistrySource(
        Registries(kernel.resources, kernel.directory.tenant),
        content,
        Access(tokens, AzureCallers(tokens, kernel.directory), kernel.clock),
    )
    return World(
        store=kernel.store,
        resources=kernel.resources,
        clock=kernel.clock,
        pace=kernel.pace,
        folder=state.parts,
        # kind's nodes run whole images, which only Docker builds.
        runtime=make_runtime(
            "docker" if options.kubernetes == "kind" else options.runtime,
            folder=state.parts,
            clock=kernel.clock,
            registries=registries,
        ),
        content=content,
        tokens=tokens,
        listeners=listeners,
        tenant=kernel.directory.tenant,
        subscription=kernel.subscription,
        engine=make_engine(
            options.kubernetes,
            environment=options.environment,
            store=kernel.store,
            clock=kernel.clock,
            listeners=listeners,
        ),
    )


def _edge_devices(kernel: Kernel) -> list[Json]:
    loaded = kernel.catalogue.find("Microsoft.Devices")
    listed: Callable[[], list[Json]] | None = getattr(loaded and loaded.service, "edge_devices", None)
    return [] if listed is None else listed()


def _health(runtime: Runtime) -> JsonObject:
    limits: JsonObject = dict(runtime.limits())
    return {
        "status": "ok",
        "version": __version__,
        "pid": os.getpid(),
        "runtime": {"name": runtime.name, "limits": limits},
    }


def _ready(state: State, authority: CertificateAuthority, port: int, managed_identity: int) -> Ready:
    credentials = state.credentials()
    base = f"https://localhost:{port}"
    identity = f"http://{ADDRESS}:{managed_identity}"
    bundle = str(authority.bundle_file)
    return Ready(
        pid=os.getpid(),
        version=__version__,
        endpoints=Endpoints(
            resource_manager=base, authority=base, control=f"{base}/_windtunnel", managed_identity=identity
        ),
        environment={
            "AZURE_TENANT_ID": credentials.tenant,
            "AZURE_CLIENT_ID": credentials.client_id,
            "AZURE_CLIENT_SECRET": credentials.client_secret,
            "AZURE_SUBSCRIPTION_ID": credentials.subscription,
            "AZURE_AUTHORITY_HOST": base,
            "ARM_CLOUD_METADATA_URL": f"{base}/metadata/endpoints?api-version=2019-05-01",
            "REQUESTS_CA_BUNDLE": bundle,
            "SSL_CERT_FILE": bundle,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": identity,
            "WINDTUNNEL_STATE_DIR": str(state.folder),
        },
    )


async def serve(options: Options, log: LogTail) -> None:
    """Run until SIGTERM or SIGINT. Raises what ``Host.start`` raises."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    host = Host(options, log)
    await host.start()
    # What the start has made stays; the collector need not look at it again, which is a tenth of a request's cost.
    gc.freeze()
    try:
        await ended.wait()
        _log.info("stopping")
    finally:
        await host.stop()
