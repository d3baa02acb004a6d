"""One IoT hub: its parts put together, who is connected, and what happens to twins.

The hub is an MQTT ``Server``. It listens on nothing itself (``listening``) and knows nothing of ARM.
"""

from __future__ import annotations

import logging
import zlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub import topics, twin_rules, twins
from windtunnel_emulators.iot.hub.activity import Activity
from windtunnel_emulators.iot.hub.admission import introduced
from windtunnel_emulators.iot.hub.authentication import AuthenticationFailed, Authenticator
from windtunnel_emulators.iot.hub.calls import Calls
from windtunnel_emulators.iot.hub.changes import Change, Changes
from windtunnel_emulators.iot.hub.client import DeviceClient
from windtunnel_emulators.iot.hub.commands import Commands
from windtunnel_emulators.iot.hub.configurations import Configurations
from windtunnel_emulators.iot.hub.errors import device_not_found, module_not_found
from windtunnel_emulators.iot.hub.feedback import Feedback, Outcome
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.jobs import Jobs
from windtunnel_emulators.iot.hub.messages import MessageLog, Sender
from windtunnel_emulators.iot.hub.registry import Identities
from windtunnel_emulators.iot.hub.sessions import Sessions
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.hub.twin_store import Twins
from windtunnel_emulators.iot.mqtt.packets import NOT_AUTHORIZED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.hub.authentication import Authenticated
    from windtunnel_emulators.iot.hub.commands import Command
    from windtunnel_emulators.iot.hub.definition import Definition
    from windtunnel_emulators.iot.hub.twins import Twin
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Connect
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

LONGEST_KEEP_ALIVE_S = 1767
"""What IoT Hub takes at most ("Communicate with an IoT hub using MQTT": 29.45 minutes)."""
_CHECK_S = 1.0
_HOUSEKEEPING = 60
"""Checks between two looks at what has grown old."""
_log = logging.getLogger(__name__)


class Hub:
    """Everything of one hub but its sockets."""

    def __init__(self, definition: Definition, *, store: Store, clock: Clock) -> None:
        """Raises ``sqlite3.Error`` when the messages' file cannot be opened."""
        self.definition = definition
        self.clock = clock
        self.store = store
        self.identities = Identities(store, definition.key)
        self.twins = Twins(store, definition.key)
        self.sessions = Sessions(store, definition.key)
        self.commands = Commands(store, definition.key)
        self.feedback = Feedback(store, definition.key)
        self.messages = MessageLog(definition.folder / "messages.db", definition.partitions, clock)
        self.messages.on_failure(self._storage_failed)
        self.changes = Changes()
        self.configurations = Configurations(store, definition.key, self.changes)
        self.jobs = Jobs(store, definition.key, self.changes)
        self.calls = Calls(self.connected, clock)
        self.activity = Activity(self.identities, store, clock)
        self.authenticator = Authenticator(
            names=definition.names,
            identities=self.identities,
            policies=definition.policies,
            chains=definition.chains,
        )
        self._connections: set[Connection] = set()
        self._clients: dict[Who, DeviceClient] = {}

    # Connections.

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def connecting(self, connection: Connection, packet: Connect) -> None:
        said = introduced(connection, packet)
        if said is None:
            return
        try:
            known = self.authenticator.check(*said, self.clock.now().timestamp())
        except AuthenticationFailed as problem:
            connection.refuse(NOT_AUTHORIZED, str(problem))
            return
        self._accept(connection, packet, known)

    def _accept(self, connection: Connection, packet: Connect, known: Authenticated) -> None:
        who = known.identity.who
        former = self._clients.pop(who, None)
        if former is not None:
            former.connection.close("it has connected anew, and an identity has one connection")
        session = self.sessions.get(who)
        if packet.clean_session and session is not None:
            self.sessions.drop(who)
        if not packet.clean_session and session is None:
            self.sessions.save(who, {})
        filters = None if packet.clean_session else session or {}
        client = DeviceClient(self, connection, known, filters)
        self._clients[who] = client
        self.activity.connected(who)
        connection.accept(client, connection.name, session_present=session is not None and not packet.clean_session)
        client.resume()

    def connected(self, who: Who) -> DeviceClient | None:
        """The connection of an identity."""
        return self._clients.get(who)

    def connected_count(self) -> int:
        """How many devices are connected."""
        return sum(not who.module for who in self._clients)

    def arrived(self, who: Who) -> None:
        """A client is connected and has subscribed to something."""
        self.calls.arrived(who)

    def left(self, client: DeviceClient) -> None:
        """A client's connection has ended; a newer one of the same identity may be there."""
        if self._clients.get(client.who) is client:
            del self._clients[client.who]
            self.activity.disconnected(client.who)
            self.calls.left(client.who)

    def drop(self, who: Who, why: str) -> None:
        """End the connections of an identity; of a device, those of its modules too."""
        for other, client in list(self._clients.items()):
            if other == who or (not who.module and other.device == who.device):
                client.connection.close(why)

    async def run(self) -> None:
        """Look after connections and what grows old, until cancelled."""
        checks = 0
        self.changes.tell(Change.STARTED)
        while True:
            await self.clock.sleep(_CHECK_S)
            now, moment = self.clock.monotonic(), self.clock.now()
            for connection in list(self._connections):
                connection.check(now)
            for client in list(self._clients.values()):
                if client.expires is not None and client.expires <= moment.timestamp():
                    client.connection.close("its token has expired")
            self.activity.flush()
            for device in self.commands.overdue(moment.timestamp()):
                self.waiting_commands(device)
            if checks % _HOUSEKEEPING == 0:
                self.messages.expire(moment - timedelta(days=self.definition.retention_days()))
            checks += 1

    async def stop(self) -> None:
        """End all connections, and keep what was acknowledged."""
        self.changes.tell(Change.STOPPED)
        for connection in list(self._connections):
            connection.close()
        self.activity.flush()
        await self.messages.close()
        for connection in list(self._connections):
            connection.abort()

    def _storage_failed(self, why: str) -> None:
        _log.error(
            "hub %s: %s; its clients are disconnected, as nothing can be acknowledged", self.definition.name, why
        )
        for connection in list(self._connections):
            connection.abort()

    # Messages.

    def partition_of(self, device: str) -> int:
        """All messages of a device are in one partition."""
        return zlib.crc32(device.encode()) % self.messages.partitions

    def sender(self, shown: Authenticated) -> int:
        """The number of a sender in the log of messages."""
        identity = shown.identity
        return self.messages.sender(Sender(identity.device, identity.module, identity.generation, shown.method))

    def waiting_commands(self, device: str) -> Sequence[Command]:
        """The commands that may still be delivered; those that have expired, or were sent too often, are dropped."""
        now, most = self.clock.now().timestamp(), self.definition.most_deliveries()
        found: list[Command] = []
        for command in self.commands.waiting(device):
            if command.expires <= now or command.deliveries >= most:
                expired = command.expires <= now
                why = "expired" if expired else f"was delivered {command.deliveries} times"
                _log.warning("a message to '%s' is dropped: it %s", device, why)
                self.settle_command(device, command, Outcome.EXPIRED if expired else Outcome.DELIVERIES)
            else:
                found.append(command)
        return found

    def settle_command(self, device: str, command: Command, outcome: Outcome) -> None:
        """A command is over; who sent it is told if they asked for it."""
        identity = self.identities.get(Who(device))
        with self.store.transaction():
            self.commands.remove(command.id)
            self.feedback.add(
                command.properties,
                outcome,
                device=device,
                generation=identity.generation if identity else "",
                now=self.clock.now(),
            )

    def purge_commands(self, device: str) -> int:
        """Forget the commands that wait for a device; returns how many there were."""
        waiting = self.commands.waiting(device)
        for command in waiting:
            self.settle_command(device, command, Outcome.PURGED)
        return len(waiting)

    def command(self, device: str, properties: dict[str, str], body: bytes, expires: datetime | None = None) -> Command:
        """Send a message to a device, now or when it connects. Raises ``HubError``."""
        self.identity(Who(device))
        now = self.clock.now()
        until = expires or now + self.definition.command_lifetime()
        queued = self.commands.enqueue(device, properties, body, now=now.timestamp(), expires=until.timestamp())
        client = self._clients.get(Who(device))
        if client is not None:
            client.send_commands()
        return queued

    # Twins.

    def identity(self, who: Who) -> None:
        """Raises ``HubError`` 404 when there is no such device or module."""
        if self.identities.get(who) is None:
            raise module_not_found(*who) if who.module else device_not_found(who.device)

    def twin(self, who: Who) -> Twin:
        """Raises ``HubError`` 404."""
        found = self.twins.get(who)
        if found is None:
            raise module_not_found(*who) if who.module else device_not_found(who.device)
        return found

    def device_twin(self, who: Who) -> JsonObject:
        """What a device is told of its twin: no tags, no metadata."""
        twin = self.twin(who)
        return {"desired": twin.desired.shown(metadata=False), "reported": twin.reported.shown(metadata=False)}

    def report(self, who: Who, patch: JsonObject) -> int:
        """Patch reported properties; returns their version. Raises ``HubError``."""
        twin_rules.check(patch, "properties.reported")
        twin = self.twin(who)
        reported = twins.patched(twin.reported, patch, self.clock.now(), versions=False)
        twin_rules.check_size(reported.properties, "properties.reported", twin_rules.LARGEST_PROPERTIES)
        self.twins.save(who, msgspec.structs.replace(twin, reported=reported, version=twin.version + 1))
        self.changes.tell(Change.TWINS)
        return reported.version

    def change_twin(self, who: Who, twin: Twin, patch: JsonObject | None) -> None:
        """Keep a twin that a service has changed; ``patch`` of the desired properties is sent to who is connected."""
        self.twins.save(who, twin)
        self.changes.tell(Change.TWINS)
        client = self._clients.get(who)
        if client is not None and patch is not None:
            version = twin.desired.version
            body = msgspec.json.encode({**patch, "$version": version})
            client.send(Feed.DESIRED, topics.desired_patch(version), body)
