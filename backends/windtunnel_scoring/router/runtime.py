"""A router at work: its watches, its scaling and its inner server, around the server of its services."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from windtunnel_scoring.frontend.exchange import Rules
from windtunnel_scoring.frontend.upstream import Upstream
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.app import RouterApp, RouterOptions
from windtunnel_scoring.router.autoscaler import Autoscaler
from windtunnel_scoring.router.directory import Directory
from windtunnel_scoring.router.inner import InnerApp
from windtunnel_scoring.router.peers import Peers
from windtunnel_scoring.router.service import Environs
from windtunnel_scoring.router.watch import Watch
from windtunnel_scoring.serving import beside

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

    from windtunnel_scoring.router.api import Api
    from windtunnel_scoring.router.settings import RouterSettings
    from windtunnel_scoring.telemetry.interface import Telemetry

logger = logging.getLogger("windtunnel")

CONNECT_S: Final = 1.0
"""Of a connection to a replica, which is near or not there."""


class Router:
    """One router."""

    def __init__(self, api: Api, namespace: str, settings: RouterSettings, telemetry: Telemetry | None = None) -> None:
        self._api = api
        self._namespace = namespace
        self._settings = settings
        environs = Environs(connect=connect, monotonic=time.monotonic, now=time.time)
        self.directory = Directory(environs)
        self.peers = Peers(settings.pod_name, connect)
        rules = Rules(run_failed_status=502, ensures_id=True, max_body_bytes=settings.max_body_bytes)
        self.app = RouterApp(self.directory, self.peers, RouterOptions(rules=rules, telemetry=telemetry))
        self.inner = InnerApp(self.app, self.directory, self._is_healthy)
        self._tasks: list[asyncio.Task[None]] = []
        self._scaler = Autoscaler(api, self.directory, self.peers.is_home, time.monotonic)

    def watches(self) -> list[Watch]:
        """Of everything that it has to know."""
        directory, watches = self.directory, list[Watch]()
        kinds = (
            ("/api/v1", "configmaps", directory.definitions),
            ("/api/v1", "secrets", directory.secrets),
            ("/api/v1", "pods", directory.pods),
            ("/apis/apps/v1", "deployments", directory.deployments),
        )
        for base, plural, known in kinds:
            for namespace in self._settings.namespaces or ("",):
                scope = f"/namespaces/{namespace}" if namespace else ""
                sink = known.of_namespace(namespace)
                watches.append(Watch(self._api, f"{base}{scope}/{plural}", objects.SERVICE_LABEL, sink))
        own = f"/api/v1/namespaces/{self._namespace}/pods"
        watches.append(Watch(self._api, own, objects.ROUTER_SELECTOR, self.peers))
        return watches

    @asynccontextmanager
    async def running(self, inner: socket.socket) -> AsyncGenerator[None]:
        """Entered once everything is known; what it does ends with the block."""
        watches = self.watches()
        tasks = self._tasks = [asyncio.create_task(watch.run(), name="watch") for watch in watches]
        try:
            for watch in watches:
                await watch.listed.wait()
            logger.info("%d services are known", len(self.directory.services))
            tasks.append(asyncio.create_task(self._scaler.run(), name="autoscaler"))
            async with beside(self.inner, inner):
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self.app.close()
            self.directory.close()
            self.peers.close()
            for task in tasks:
                if not task.cancelled() and (error := task.exception()) is not None:
                    logger.error("%s failed", task.get_name(), exc_info=error)

    def _is_healthy(self) -> bool:
        """False once something that should run for ever has failed: then the container is to be restarted."""
        failed = [task for task in self._tasks if task.done()]
        for task in failed:
            error = None if task.cancelled() else task.exception()
            logger.error("%s has ended, which it never should", task.get_name(), exc_info=error)
        return not failed


def connect(address: str, port: int) -> Upstream:
    """To a replica, or to another router."""
    return Upstream(address, port, connect_timeout_s=CONNECT_S)
