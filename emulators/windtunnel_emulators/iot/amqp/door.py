"""The AMQP ports of a hub, at its own address: 5671 with TLS, and 5672 without, which Event Hubs' clients take for an
emulator (``UseDevelopmentEmulator=true``). Tokens are checked at both.

Qpid Proton is imported for the first connection. Where it is not installed, the hub is without AMQP and says so.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from windtunnel_emulators.server import bound

if TYPE_CHECKING:
    import ssl

    from windtunnel_emulators.iot.amqp.endpoint import Endpoint
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.access import Access

AMQPS_PORT, AMQP_PORT = 5671, 5672
MISSING = (
    "AMQP (reading events as from Event Hubs, messages to devices by azure-iot-hub) needs the package"
    " python-qpid-proton: pip install 'windtunnel[iot]'"
)
_BACKLOG = 128
_log = logging.getLogger(__name__)


def is_installed() -> bool:
    """Whether AMQP can be spoken at all."""
    return find_spec("proton") is not None


class Door:
    """Where AMQP comes in."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._access = access
        self._servers: list[asyncio.Server] = []
        self._endpoint: Endpoint | None = None
        self._care: asyncio.Task[None] | None = None
        self.problem: str | None = "it is not open yet"
        """Why there is no AMQP over TLS; None when there is."""

    async def open(self, address: str, context: ssl.SSLContext) -> None:
        """Listen. A port that cannot be had, or Proton that is missing, is logged and kept in ``problem``."""
        if not is_installed():
            self._without(MISSING)
            return
        self.problem = None
        await self._listen(address, AMQPS_PORT, context)
        await self._listen(address, AMQP_PORT, None)

    def shut(self) -> None:
        """Let nobody in any more."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        self.shut()
        if self._care is not None:
            self._care.cancel()
            await asyncio.gather(self._care, return_exceptions=True)
        if self._endpoint is not None:
            self._endpoint.stop()
            await asyncio.sleep(0)
            self._endpoint.abort()

    def accept(self) -> asyncio.Protocol:
        """A new connection."""
        if self._endpoint is None:
            from windtunnel_emulators.iot.amqp.endpoint import Endpoint

            self._endpoint = Endpoint(self._hub, self._access)
            self._care = asyncio.get_running_loop().create_task(
                self._endpoint.run(), name=f"AMQP of {self._hub.definition.name}"
            )
        return self._endpoint.connection()

    async def _listen(self, address: str, port: int, context: ssl.SSLContext | None) -> None:
        try:
            held = bound(port, address)
        except OSError as problem:
            why = f"port {port} of {address} cannot be had: {problem.strerror or problem}"
            if context is not None:
                self._without(f"{why}. Clients insist on it")
            else:
                _log.info("hub %s has no AMQP without TLS: %s", self._hub.definition.name, why)
            return
        loop = asyncio.get_running_loop()
        # In two steps: who is cancelled in the second has a server to close, and the port with it.
        server = await loop.create_server(self.accept, sock=held, ssl=context, backlog=_BACKLOG, start_serving=False)
        self._servers.append(server)
        await server.start_serving()

    def _without(self, problem: str) -> None:
        self.problem = problem
        _log.warning("hub %s has no AMQP: %s", self._hub.definition.name, problem)
