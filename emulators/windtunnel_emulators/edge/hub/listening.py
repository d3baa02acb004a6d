"""The sockets of an edge device's hub, at the device's own address: 8883 for MQTT, 443 where it can be had.

At 443 modules call each other's methods, and clients that are told to use WebSockets look for MQTT. Most systems keep
that port for the superuser: without it both cannot be had, and that is logged.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.hub.api import EdgeApi
from windtunnel_emulators.edge.hub.hub import LONGEST_KEEP_ALIVE_S
from windtunnel_emulators.iot.hub.addresses import MQTT_PORT
from windtunnel_emulators.iot.hub.listening import HTTPS_PORT
from windtunnel_emulators.iot.hub.peers import ask_for_certificates
from windtunnel_emulators.iot.mqtt.connection import Connection
from windtunnel_emulators.server import PortTaken, bound

if TYPE_CHECKING:
    import socket
    import ssl

    from windtunnel_emulators.edge.hub.hub import EdgeHub
    from windtunnel_emulators.server import Listeners

_BACKLOG = 1024
_NAME = "edge hub https"
_log = logging.getLogger(__name__)


class EdgeListening:
    """An edge hub's open ports, and its care for who is connected."""

    def __init__(self, hub: EdgeHub, listeners: Listeners) -> None:
        self._hub = hub
        self._listeners = listeners
        self._mqtt: asyncio.Server | None = None
        self._care: asyncio.Task[None] | None = None
        self.has_https = False
        """Port 443 is open."""

    async def open(self, context: ssl.SSLContext, held: socket.socket | None = None) -> None:
        """Start the hub and serve. ``held`` is the socket of port 8883, when the caller has bound it already.

        Raises ``PortTaken`` when port 8883 cannot be had.
        """
        address = self._hub.definition.address
        if held is None:
            try:
                held = bound(MQTT_PORT, address)
            except OSError as problem:
                raise PortTaken(f"port {MQTT_PORT} of {address} cannot be had: {problem.strerror}") from problem
        ask_for_certificates(context)
        loop = asyncio.get_running_loop()
        self._hub.start()
        self._mqtt = await loop.create_server(self._connection, sock=held, ssl=context, backlog=_BACKLOG)
        try:
            await self._listeners.open(
                _NAME, EdgeApi(self._hub), port=HTTPS_PORT, raw_upgrades=True, context=context, address=address
            )
            self.has_https = True
        except PortTaken as problem:
            _log.warning("methods between modules and WebSockets cannot be had: %s", problem)
        self._care = loop.create_task(self._hub.run(), name=f"edge hub of {self._hub.definition.device}")

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        if self._mqtt is not None:
            self._mqtt.close()
        if self._care is not None:
            self._care.cancel()
            await asyncio.gather(self._care, return_exceptions=True)
        await self._listeners.close(_NAME)
        await self._hub.stop()

    def _connection(self) -> asyncio.Protocol:
        return Connection(self._hub, LONGEST_KEEP_ALIVE_S)
