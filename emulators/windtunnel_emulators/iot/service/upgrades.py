"""The path at which clients ask for MQTT over WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.asgi import respond
from windtunnel_emulators.iot.hub.errors import not_implemented
from windtunnel_emulators.iot.hub.hub import LONGEST_KEEP_ALIVE_S

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Scope, Send
    from windtunnel_emulators.iot.mqtt.interface import Server

WEB_SOCKET = ("$iothub", "websocket")
_SUBPROTOCOL = "mqtt"


async def upgrade(hub: Server, scope: Scope, send: Send, *, longest_keep_alive: int = LONGEST_KEEP_ALIVE_S) -> bool:
    """Hand the connection to MQTT and return True, or answer 400. Raises ``HubError`` 501 for AMQP's clients."""
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    known = dict(headers)
    if b"amqp" in known.get(b"sec-websocket-protocol", b"").lower():
        raise not_implemented("AMQP over WebSockets", "Use MQTT, or AMQP at its own port.")
    if scope["method"] != "GET" or known.get(b"upgrade", b"").lower() != b"websocket":
        await respond(send, 400, b"Only WebSockets are served here.")
        return False
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.websocket import WebSocket

    transport, rest = scope["state"]["take_over"]()
    lines = [b"GET / HTTP/1.1", *(name + b": " + value for name, value in headers)]
    socket = WebSocket(Connection(hub, longest_keep_alive), _SUBPROTOCOL)
    socket.begin(transport, b"\r\n".join((*lines, b"", b"")), rest)
    return True
