"""Where a device's hub is and how it is reached, and who signs for an identity there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from windtunnel_emulators.iot.hub import tokens
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    import ssl

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.upstream.link import Link

MQTT_PORT = 8883
API_VERSION = "2021-04-12"
TOKEN_S = 3600.0
"""How long tokens hold, as Microsoft's clients make them."""
RENEW_S = 120.0
"""So long before its end a token is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The hub in the cloud, as one device reaches it."""

    hub: str
    """Its host name, which user names and tokens are made with."""
    address: str
    """Where it listens; its certificate is for this."""
    service: str
    """``HOST[:PORT]`` of its service API."""
    tls: ssl.SSLContext
    """Trusts the hub's authority, and checks names."""
    link: Link
    clock: Clock
    port: int = MQTT_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Whose key stands for an identity: its own, or that of the edge device's hub module."""

    who: Who
    key: str

    def token(self, place: Place) -> str:
        """A token that holds from now on. Raises ``ValueError`` for a key that is not base64."""
        return tokens.make(f"{place.hub}/{self.who.path}", self.key, place.clock.now().timestamp() + TOKEN_S)

    def username(self, place: Place, who: Who) -> str:
        """The user name of ``who``; one that this signer speaks for says through whom it comes."""
        name = f"{place.hub}/{who}/?api-version={API_VERSION}&DeviceClientType={quote('Windtunnel edge', safe='')}"
        if self.who in (who, Who(who.device)):
            return name
        return f"{name}&auth-chain={quote(f'{who.device};{self.who}', safe='')}"

    def __repr__(self) -> str:
        return f"Signer({self.who})"
