"""The seam between a connection and whoever serves it: a hub in the cloud, or one at the edge.

A ``Server`` decides on each CONNECT and then gives the connection a ``Client``, which is told of everything that the
peer does. All calls come on the event loop's thread and must not wait. A ``Client`` refuses by raising
``ProtocolViolation``, which closes the connection; so does any ``MqttProblem``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Connect, Publish, Will


class Server(Protocol):
    """Who clients connect to."""

    def opened(self, connection: Connection) -> None:
        """A peer is there; it has not said who it is."""
        ...

    def connecting(self, connection: Connection, packet: Connect) -> None:
        """Call ``connection.accept`` or ``connection.refuse``, now or later; nothing more is read until then."""
        ...

    def closed(self, connection: Connection) -> None:
        """The peer is gone, whether or not it was ever accepted."""
        ...


class Client(Protocol):
    """One accepted peer."""

    def published(self, packet: Publish) -> None:
        """Take a message of quality of service 0 or 1, and call ``connection.taken(packet)`` once it is safe."""
        ...

    def acknowledged(self, packet_id: int) -> None:
        """The peer has a message that it was sent."""
        ...

    def subscribed(self, filters: Sequence[tuple[str, int]]) -> Sequence[int]:
        """The quality of service granted to each filter, at most the one that is asked for."""
        ...

    def sent_suback(self) -> None:
        """The peer has the answer to its SUBSCRIBE before anything that is sent now."""
        ...

    def unsubscribed(self, filters: Sequence[str]) -> None: ...

    def closed(self, will: Will | None) -> None:
        """The connection has ended. ``will`` is to be published, unless None: the peer said good-bye, or has none."""
        ...
