"""Clients that speak MQTT to a hub, in the cloud or at the edge, through transports in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from windtunnel_emulators.iot.mqtt.connection import Connection
from windtunnel_emulators.iot.mqtt.interface import Server
from windtunnel_emulators.iot.mqtt.packets import ConnAck, Connect, PubAck, Publish, Subscribe
from windtunnel_emulators.iot.mqtt.reading import Reader
from windtunnel_emulators.iot.mqtt.writing import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.mqtt.packets import Packet, Will

HOST = "hub1.azure-devices.net"
KEY = base64.b64encode(b"k" * 32).decode()
OTHER = base64.b64encode(b"o" * 32).decode()
_DEADLINE_S = 10.0


class TimedServer(Server, Protocol):
    """A hub of either kind."""

    clock: Clock


class Pipe(asyncio.Transport):
    """The server's end of a connection in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closing = False
        self.reading = True
        self.unsent = 0

    def write(self, data: Any) -> None:
        assert not self.closing
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def token(resource: str, key: str = KEY, *, expires: float, policy: str | None = None) -> str:
    """A shared access signature, as Microsoft's clients write it."""
    audience, expiry = quote(resource, safe=""), int(expires)
    digest = hmac.digest(base64.b64decode(key), f"{audience}\n{expiry}".encode(), hashlib.sha256)
    text = f"SharedAccessSignature sr={audience}&sig={quote(base64.b64encode(digest), safe='')}&se={expiry}"
    return text if policy is None else f"{text}&skn={policy}"


@dataclass
class Peer:
    """A client of the hub."""

    hub: TimedServer
    who: Who
    pipe: Pipe = field(default_factory=Pipe)
    longest_keep_alive: int = 1767

    def __post_init__(self) -> None:
        self.connection = Connection(self.hub, self.longest_keep_alive)
        self.connection.connection_made(self.pipe)
        self._reader = Reader(1_000_000)
        self._read = 0
        self.received: list[Packet] = []
        self._packet_id = 0

    def feed(self, packet: Packet | bytes) -> None:
        self.connection.data_received(packet if isinstance(packet, bytes) else encode(packet))

    async def take(self) -> list[Packet]:
        """What the hub has sent since the last time."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        new = bytes(self.pipe.written[self._read :])
        self._read += len(new)
        packets = list(self._reader.feed(new))
        self.received += packets
        return packets

    async def until(self, kind: type[Any], what: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first packet of a kind that the hub sends from now on."""
        end = time.monotonic() + _DEADLINE_S
        while True:
            for packet in await self.take():
                if isinstance(packet, kind) and what(packet):
                    return packet
            assert time.monotonic() < end, f"no {kind.__name__}; {self.received}"
            await asyncio.sleep(0.001)  # the log of messages syncs in a thread

    async def messages(self, count: int, *, acknowledge: bool = False) -> list[Publish]:
        """The first so many messages that the hub has sent since this peer exists."""
        end = time.monotonic() + _DEADLINE_S
        while True:
            for packet in await self.take():
                if acknowledge and isinstance(packet, Publish) and packet.qos:
                    self.feed(PubAck(packet.packet_id))
            found = [packet for packet in self.received if isinstance(packet, Publish)]
            if len(found) >= count:
                return found[:count]
            assert time.monotonic() < end, f"{len(found)} messages of {count}"
            await asyncio.sleep(0)

    async def connect(
        self,
        *,
        key: str = KEY,
        resource: str | None = None,
        username: str | None = None,
        client_id: str | None = None,
        password: str | None = None,
        clean: bool = False,
        keep_alive: int = 60,
        will: Will | None = None,
        lifetime: float = 3600,
        policy: str | None = None,
    ) -> ConnAck:
        now = self.hub.clock.now().timestamp()
        shown = token(resource or f"{HOST}/{self.who.path}", key, expires=now + lifetime, policy=policy)
        self.feed(
            Connect(
                client_id=str(self.who) if client_id is None else client_id,
                clean_session=clean,
                keep_alive=keep_alive,
                username=username or f"{HOST}/{self.who}/?api-version=2021-04-12",
                password=(password or shown).encode(),
                will=will,
            )
        )
        answer: ConnAck = await self.until(ConnAck)
        return answer

    def subscribe(self, *filters: str, qos: int = 1) -> None:
        self._packet_id += 1
        self.feed(Subscribe(self._packet_id, tuple((name, qos) for name in filters)))

    def publish(self, topic: str, payload: bytes = b"", *, qos: int = 1, retain: bool = False) -> int:
        self._packet_id += 1
        self.feed(Publish(topic, payload, qos, self._packet_id if qos else 0, False, retain))
        return self._packet_id

    def leave(self) -> None:
        """The connection is lost, from the hub's point of view."""
        self.connection.connection_lost(None)

    @property
    def is_open(self) -> bool:
        return not self.pipe.closing
