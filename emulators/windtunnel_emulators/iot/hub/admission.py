"""The first look at a CONNECT, alike for every hub: who it says it is, and what it shows for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub import peers, usernames
from windtunnel_emulators.iot.hub.authentication import Shown
from windtunnel_emulators.iot.mqtt.packets import BAD_CREDENTIALS, IDENTIFIER_REJECTED

if TYPE_CHECKING:
    from windtunnel_emulators.iot.hub.usernames import Username
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Connect


def introduced(connection: Connection, packet: Connect) -> tuple[Username, Shown] | None:
    """What ``Authenticator.check`` takes, and the connection has its name; None when it was refused."""
    try:
        username = usernames.parse(packet.username or "")
    except usernames.BadUsername as problem:
        connection.refuse(BAD_CREDENTIALS, str(problem))
        return None
    connection.name = f"'{str(username.who)[:200]}'"
    if packet.client_id != username.client_id:
        connection.refuse(
            IDENTIFIER_REJECTED,
            f"the client is called {packet.client_id[:200]!r}, and its user name is for '{username.client_id}'",
        )
        return None
    certificates = () if packet.password else peers.certificates(connection.tls)
    return username, Shown(password=packet.password, certificates=certificates)
