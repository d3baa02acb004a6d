"""The sockets of one hub, all at its own address: 8883 MQTT, 5671 AMQP, a port for the service API, 443 if possible.

At 443 clients expect both the service API and MQTT over WebSockets. Most systems keep that port for the superuser; then
the service API is at its own port alone, and WebSockets, for which clients take no other port, cannot be had.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.hub import LONGEST_KEEP_ALIVE_S
from windtunnel_emulators.iot.hub.peers import ask_for_certificates
from windtunnel_emulators.iot.mqtt.connection import Connection
from windtunnel_emulators.server import PortTaken

if TYPE_CHECKING:
    import ssl

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.iot.amqp.door import Door
    from windtunnel_emulators.iot.hub.addresses import Place
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.server import Listeners

HTTPS_PORT = 443
_BACKLOG = 1024
_log = logging.getLogger(__name__)


class Listening:
    """A hub's open ports."""

    def __init__(self, hub: Hub, listeners: Listeners) -> None:
        self._hub = hub
        self._listeners = listeners
        self._name = f"iot hub {hub.definition.key}"
        self._mqtt: asyncio.Server | None = None
        self._care: asyncio.Task[None] | None = None
        self.amqp: Door | None = None
        self.port = 0
        """Of the service API."""
        self.has_https = False
        """Port 443 is open too."""

    @property
    def service_host(self) -> str:
        """How clients of the service API are told where it is."""
        address = self._hub.definition.address
        return address if self.has_https else f"{address}:{self.port}"

    async def open(self, place: Place, app: ASGI, context: ssl.SSLContext, *, amqp: Door | None = None) -> None:
        """Serve. ``app`` is the service API, which takes MQTT over WebSockets too; ``amqp`` is opened with it.

        What is open is closed again when it cannot be done, or is cancelled.
        """
        try:
            await self._open(place, app, context, amqp)
        except BaseException:
            if self._mqtt is None:
                place.mqtt.close()
            await self.close()
            raise

    async def _open(self, place: Place, app: ASGI, context: ssl.SSLContext, amqp: Door | None) -> None:
        ask_for_certificates(context)
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            return Connection(self._hub, LONGEST_KEEP_ALIVE_S)

        self.port = await self._listeners.open(
            self._name, app, raw_upgrades=True, context=context, address=place.address
        )
        try:
            await self._listeners.open(
                f"{self._name} https",
                app,
                port=HTTPS_PORT,
                raw_upgrades=True,
                context=context,
                address=place.address,
            )
            self.has_https = True
        except PortTaken as problem:
            _log.info("hub %s has no WebSockets: %s", self._hub.definition.name, problem)
        self._mqtt = await loop.create_server(
            connection, sock=place.mqtt, ssl=context, backlog=_BACKLOG, start_serving=False
        )
        await self._mqtt.start_serving()
        if amqp is not None:
            self.amqp = amqp
            await amqp.open(place.address, context)
        self._care = loop.create_task(self._hub.run(), name=f"hub {self._hub.definition.name}")

    async def close(self, *, forget: bool = False) -> None:
        """Stop listening, end all connections; ``forget`` gives the ports up for good."""
        if self._mqtt is not None:
            self._mqtt.close()
        if self.amqp is not None:
            self.amqp.shut()  # at once: this may be cancelled where it waits
        if self._care is not None:
            self._care.cancel()
            await asyncio.gather(self._care, return_exceptions=True)
        if self.amqp is not None:
            await self.amqp.close()
        await self._listeners.close(self._name, forget=forget)
        await self._listeners.close(f"{self._name} https", forget=forget)
        await self._hub.stop()
