"""The hub of an edge device: its parts put together, who is connected, and what the cloud tells it.

An MQTT ``Server`` for local clients and a ``CloudListener``. It listens on nothing itself (``listening``) and reaches
the cloud only through ``Cloud``: everything else goes on without one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.edge.hub import own_methods
from windtunnel_emulators.edge.hub.administration import Administration
from windtunnel_emulators.edge.hub.client import LocalClient
from windtunnel_emulators.edge.hub.inputs import Inputs
from windtunnel_emulators.edge.hub.intake import Intake
from windtunnel_emulators.edge.hub.presence import Presence
from windtunnel_emulators.edge.hub.reports import Reports
from windtunnel_emulators.edge.hub.schema import define
from windtunnel_emulators.edge.hub.tasks import Tasks
from windtunnel_emulators.edge.hub.twin_cache import TwinCache, version_of
from windtunnel_emulators.edge.hub.twins import Twins
from windtunnel_emulators.edge.interface import Unreachable
from windtunnel_emulators.iot.hub import topics
from windtunnel_emulators.iot.hub.admission import introduced
from windtunnel_emulators.iot.hub.authentication import AuthenticationFailed, Authenticator
from windtunnel_emulators.iot.hub.calls import Calls
from windtunnel_emulators.iot.hub.certificates import Chains
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.methods import LONGEST_S, Call
from windtunnel_emulators.iot.hub.policies import Policies
from windtunnel_emulators.iot.hub.sessions import Sessions
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.hub.waiting import within
from windtunnel_emulators.iot.mqtt.packets import NOT_AUTHORIZED, SERVER_UNAVAILABLE

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.hub.definition import EdgeDefinition
    from windtunnel_emulators.edge.hub.identities import Identities
    from windtunnel_emulators.edge.interface import Cloud, Queues
    from windtunnel_emulators.iot.hub.authentication import Authenticated, Shown
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.hub.usernames import Username
    from windtunnel_emulators.iot.mqtt.connection import Connection
    from windtunnel_emulators.iot.mqtt.packets import Connect
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

LONGEST_KEEP_ALIVE_S = 600
"""What the edge's hub takes at most."""
_CHECK_S = 1.0
_COMMAND_S = 30.0
"""How long a device may take to acknowledge a message from the cloud."""
_SUBSCRIBED_S = 30
"""How long a call from the cloud waits for its client: the cloud's own limit usually ends it before."""
_LOOK_UP_S = 5.0
_MOST_LOOKED_UP = 1000
_OWN_FEEDS = frozenset((Feed.TWIN_ANSWERS, Feed.DESIRED, Feed.METHODS))
_log = logging.getLogger(__name__)


class EdgeHub:
    """Everything of one edge device's hub but its sockets."""

    def __init__(
        self,
        definition: EdgeDefinition,
        *,
        cloud: Cloud,
        queues: Queues,
        identities: Identities,
        store: Store,
        clock: Clock,
    ) -> None:
        """``store`` is the device's own. Nobody may connect before ``start``."""
        define(store)
        self.definition = definition
        self.clock = clock
        self.cloud = cloud
        self.queues = queues
        self.identities = identities
        self.sessions = Sessions(store, definition.device)
        self.calls = Calls(self.connected, clock)
        self.authenticator = Authenticator(
            names=definition.names,
            identities=identities,
            policies=Policies(dict),
            chains=Chains(definition.trusted),
        )
        self._tasks = Tasks()
        self._cache = TwinCache(store)
        self.reports = Reports(self._cache, cloud, clock, self._tasks)
        self.twins = Twins(self._cache, cloud, clock, self._tasks, changed=self._desired_changed, wanted=self._is_there)
        self._inputs = Inputs(definition.device, queues, clock, self.connected)
        self.intake = Intake(queues, clock, self._inputs.attach)
        self.administration = Administration(
            definition.own,
            store=store,
            cache=self._cache,
            reports=self.reports,
            presence=Presence(clock),
            intake=self.intake,
        )
        self._started = False
        self._connections: set[Connection] = set()
        self._clients: dict[Who, LocalClient] = {}
        self._looked_up: dict[Who, float] = {}

    def start(self) -> None:
        """Begin to serve, with what was last known; inputs for which something waits are delivered from now on."""
        self.administration.load()
        for endpoint in self.queues.depths():
            self.intake.attach(endpoint)
        self._started = True
        self.cloud.listen(self)
        self.cloud.attend(self.definition.own, _OWN_FEEDS)
        if self.cloud.is_reachable:
            self.reachable()

    async def run(self) -> None:
        """Look after connections and what has to be reported, until cancelled."""
        while True:
            await self.clock.sleep(_CHECK_S)
            now, moment = self.clock.monotonic(), self.clock.now().timestamp()
            for connection in list(self._connections):
                connection.check(now)
            for client in list(self._clients.values()):
                if client.expires is not None and client.expires <= moment:
                    client.connection.close("its token has expired")
            self._inputs.check(now)
            self.administration.flush()

    async def stop(self) -> None:
        """End all connections; what was acknowledged is in the queues, which are another's to close."""
        self._started = False
        for connection in list(self._connections):
            connection.close()
        self.administration.flush()
        await self._tasks.close()
        for connection in list(self._connections):
            connection.abort()

    # Connections.

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def connecting(self, connection: Connection, packet: Connect) -> None:
        if not self._started:
            connection.refuse(SERVER_UNAVAILABLE, "the hub is being started or stopped")
            return
        said = introduced(connection, packet)
        if said is None:
            return
        try:
            known = self._check(said)
        except AuthenticationFailed as problem:
            # The identity, or its keys, may be newer than what is known here.
            if not self._may_look_up(said[0].who):
                connection.refuse(NOT_AUTHORIZED, str(problem))
                return
            self._tasks.start(self._look_up(connection, packet, said), f"identity of {connection.name}")
            return
        self._accept(connection, packet, said, known)

    def _may_look_up(self, who: Who) -> bool:
        """The cloud is there, and was not asked just now: whoever guesses at keys is no load for it."""
        now = self.clock.monotonic()
        if not self.cloud.is_reachable or now - self._looked_up.get(who, -_LOOK_UP_S) < _LOOK_UP_S:
            return False
        if len(self._looked_up) >= _MOST_LOOKED_UP:
            self._looked_up.clear()
        self._looked_up[who] = now
        return True

    async def _look_up(self, connection: Connection, packet: Connect, said: tuple[Username, Shown]) -> None:
        try:
            await self.identities.refresh(said[0].who)
            known = self._check(said)
        except AuthenticationFailed as problem:
            connection.refuse(NOT_AUTHORIZED, str(problem))
            return
        if connection.is_open:
            self._accept(connection, packet, said, known)

    def _check(self, said: tuple[Username, Shown]) -> Authenticated:
        return self.authenticator.check(*said, self.clock.now().timestamp())

    def _accept(
        self, connection: Connection, packet: Connect, said: tuple[Username, Shown], known: Authenticated
    ) -> None:
        who = known.identity.who
        former = self._clients.get(who)
        if former is None and len(self._clients) >= self.definition.most_clients:
            why = f"{len(self._clients)} clients are connected, and an edge device has no more at one time"
            connection.refuse(SERVER_UNAVAILABLE, why)
            return
        if former is not None:
            former.connection.close("it has connected anew, and an identity has one connection")
        session = self.sessions.get(who)
        if packet.clean_session and session is not None:
            self.sessions.drop(who)
        if not packet.clean_session and session is None:
            self.sessions.save(who, {})
        filters = None if packet.clean_session else session or {}
        client = LocalClient(self, connection, said, known, filters)
        self._clients[who] = client
        self.administration.arrived(who)
        connection.accept(client, connection.name, session_present=session is not None and not packet.clean_session)
        self.arrived(client)

    def connected(self, who: Who) -> LocalClient | None:
        """The connection of an identity."""
        return self._clients.get(who)

    @property
    def clients(self) -> tuple[LocalClient, ...]:
        """Who is connected."""
        return tuple(self._clients.values())

    def arrived(self, client: LocalClient) -> None:
        """A client is connected, or has changed what it subscribes to."""
        if self._clients.get(client.who) is not client or not client.connection.is_open:
            return
        self._inputs.arrived(client)
        self.calls.arrived(client.who)
        self.cloud.attend(client.who, client.feeds)
        if client.takes(Feed.DESIRED):
            self.twins.resume(client.who)

    def left(self, client: LocalClient) -> None:
        """A client's connection has ended; a newer one of the same identity may be there."""
        if self._clients.get(client.who) is client:
            del self._clients[client.who]
            self._inputs.left(client.who)
            self.calls.left(client.who)
            self.cloud.leave(client.who)
            self.administration.left(client.who)

    # Twins.

    def read_twin(self, client: LocalClient, request_id: str) -> None:
        """Answer a client that asks for its twin, now or later."""
        self._tasks.start(self._answer_twin(client, request_id), f"twin of {client.who}")

    def report(self, who: Who, patch: JsonObject) -> int:
        """Patch reported properties; returns their version. Raises ``HubError``."""
        version = self.reports.add(who, patch)
        self.intake.twin_change(who, patch)
        return version

    async def _answer_twin(self, client: LocalClient, request_id: str) -> None:
        try:
            twin = await self.twins.read(client.who)
        except HubError as problem:
            client.refuse_twin(request_id, problem)
            return
        client.send(Feed.TWIN_ANSWERS, topics.twin_answer(200, request_id), msgspec.json.encode(twin))

    def _desired_changed(self, who: Who, patch: JsonObject) -> None:
        if who == self.definition.own:
            self.administration.changed()
        client = self._clients.get(who)
        if client is not None:
            client.send(Feed.DESIRED, topics.desired_patch(version_of(patch) or 0), msgspec.json.encode(patch))

    def _is_there(self, who: Who) -> bool:
        return who == self.definition.own or who in self._clients

    # From the cloud.

    def reachable(self) -> None:
        self.twins.pull(self.definition.own)
        self.reports.send_all()
        for client in self.clients:
            if client.takes(Feed.DESIRED):
                self.twins.resume(client.who)

    def unreachable(self) -> None:
        _log.info("the cloud cannot be reached; everything local goes on")

    def identities_changed(self) -> None:
        for client in self.clients:
            try:
                self._check(client.said)
            except AuthenticationFailed as problem:
                client.connection.close(f"it may not connect any more: {problem}")
        for who, _ in list(self._cache.each()):
            if who != self.definition.own and self.identities.get(who) is None:
                self.twins.forget(who)
                self.sessions.drop(who)

    def desired(self, who: Who, patch: JsonObject) -> None:
        self.twins.patched(who, patch)

    async def method(self, who: Who, name: str, payload: bytes) -> tuple[int, bytes]:
        if who == self.definition.own:
            return await own_methods.call(self.identities, name, payload)
        try:
            result = await self.calls.invoke(
                who, Call(name=name, payload=payload, response_s=LONGEST_S, connect_s=_SUBSCRIBED_S)
            )
        except HubError as problem:
            raise Unreachable(f"'{who}' was called and did not answer: {problem}") from problem
        return result.status, msgspec.json.encode(result.payload)

    async def command(self, who: Who, bag: str, body: bytes) -> None:
        client = self._clients.get(who)
        if client is None or not client.takes(Feed.COMMANDS):
            raise Unreachable(f"'{who}' is not connected, or takes no messages")
        arrived: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(delivered: bool) -> None:
            if not arrived.done():
                arrived.set_result(delivered)

        client.deliver(Feed.COMMANDS, f"{topics.commands_of(who.device)}{bag}", body, done)
        try:
            delivered = await within(self.clock, _COMMAND_S, arrived)
        except TimeoutError:
            delivered = False
        if not delivered:
            raise Unreachable(f"'{who}' has not acknowledged a message")
