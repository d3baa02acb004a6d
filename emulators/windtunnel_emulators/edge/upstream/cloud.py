"""The hub in the cloud for everybody behind an edge device: a connection for each identity, opened when it is needed.

The connection of ``$edgeHub`` is always there, and says whether the cloud is reachable. Another identity's is opened by
whatever is asked for it, and closed once its client has left and nothing waits to be sent.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.interface import Outcome, Refused, Unreachable
from windtunnel_emulators.edge.upstream.client import CloudClient
from windtunnel_emulators.iot.hub import topics
from windtunnel_emulators.iot.hub.identity import EDGE_HUB, Who
from windtunnel_emulators.iot.hub.waiting import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.edge.interface import CloudListener, Message
    from windtunnel_emulators.edge.upstream.place import Place
    from windtunnel_emulators.edge.upstream.scope import Scope
    from windtunnel_emulators.iot.hub.topics import Feed
    from windtunnel_emulators.jsontypes import JsonObject

_PATIENCE_S = 30.0
"""For acknowledgements, as the real edge hub waits."""
_CONNECT_S = 20.0
_CHECK_S = 5.0
_IDLE_S = 30.0
"""A connection that nobody attends is kept for so long after its last use."""
_NOTHING: frozenset[Feed] = frozenset()
_log = logging.getLogger(__name__)


class UpstreamCloud:
    """Implements ``edge.interface.Cloud``."""

    def __init__(self, place: Place, scope: Scope) -> None:
        """Call ``start``."""
        self.scope = scope
        self._place = place
        self._clock = place.clock
        self._own = Who(scope.device, EDGE_HUB)
        self._listener: CloudListener | None = None
        self._identities: dict[Who, _Upstream] = {}
        self._reachable = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.acknowledged = 0
        """Messages that the cloud has taken since the start."""
        self.dropped = 0
        """Messages that the cloud never takes."""
        scope.listen(self._scope_changed)

    @property
    def is_reachable(self) -> bool:
        return self._reachable.is_set()

    @property
    def connections(self) -> int:
        """How many identities are connected upstream."""
        return sum(one.client.is_connected for one in self._identities.values())

    def start(self) -> None:
        """Begin to connect, as soon as it is known by which key."""
        self._upstream(self._own)

    async def reached(self) -> None:
        """Returns once the cloud is reachable."""
        await self._reachable.wait()

    async def run(self) -> None:
        """Close what is not used any more, until cancelled."""
        while True:
            await self._clock.sleep(_CHECK_S)
            now = self._clock.monotonic()
            for who, one in list(self._identities.items()):
                if one.client.is_idle and not one.attended and who != self._own and now - one.used > _IDLE_S:
                    await self._close(who)

    async def close(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        self._reachable.clear()
        await asyncio.gather(*(self._close(who) for who in list(self._identities)))

    # For the local hub.

    def listen(self, listener: CloudListener) -> None:
        self._listener = listener

    def attend(self, who: Who, feeds: frozenset[Feed]) -> None:
        one = self._upstream(who)
        one.attended = True
        one.client.want(feeds - {topics.Feed.INPUTS})

    def leave(self, who: Who) -> None:
        one = self._identities.get(who)
        if one is not None and who != self._own:
            one.attended = False
            one.used = self._clock.monotonic()
            one.client.want(_NOTHING)

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        outcomes = [Outcome.RETRY] * len(messages)
        sent: list[tuple[int, asyncio.Future[None]]] = []
        for who in dict.fromkeys(message.sender for message in messages):
            if await self._is_out(who):
                self._drop(who, messages, outcomes)
        for at, message in enumerate(messages):
            if outcomes[at] is Outcome.RETRY:
                done = self._publish(message)
                if done is None:
                    outcomes[at] = Outcome.DROP
                else:
                    sent.append((at, done))
        await self._acknowledged([done for _, done in sent])
        for at, done in sent:
            if done.done() and not done.cancelled() and done.exception() is None:
                outcomes[at] = Outcome.DONE
                self.acknowledged += 1
            else:
                done.cancel()
        return outcomes

    async def twin(self, who: Who) -> JsonObject:
        return await (await self._ready(who)).twin_get()

    async def report(self, who: Who, patch: JsonObject) -> int:
        return await (await self._ready(who)).report(patch)

    # Connections.

    async def _is_out(self, who: Who) -> bool:
        """The cloud has said that there is no such identity, or that it is disabled."""
        if self.scope.signer(who) is not None:
            return False
        await self.scope.refresh(who)
        return self.scope.signer(who) is None and self.scope.is_current

    def _drop(self, who: Who, messages: Sequence[Message], outcomes: list[Outcome]) -> None:
        """Nothing of a sender's can be delivered, and it must not hold up what others have sent."""
        places = [at for at, message in enumerate(messages) if message.sender == who]
        for at in places:
            outcomes[at] = Outcome.DROP
        self.dropped += len(places)
        _log.warning("%d messages of '%s' are dropped: the cloud knows it not, or has disabled it", len(places), who)

    def _publish(self, message: Message) -> asyncio.Future[None] | None:
        """None for a message that the cloud never takes."""
        base = topics.events_of(message.sender)
        one = self._upstream(message.sender)
        one.used = self._clock.monotonic()
        try:
            return one.client.publish(f"{base}/{message.bag}" if message.bag else f"{base}/", message.body)
        except Refused as problem:
            self.dropped += 1
            _log.warning("a message of '%s' is dropped: %s", message.sender, problem)
            return None

    async def _acknowledged(self, sent: Sequence[asyncio.Future[None]]) -> None:
        """Returns once all are done, or when that takes too long."""
        left = sum(not done.done() for done in sent)
        if not left:
            return
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def count(_: asyncio.Future[None]) -> None:
            nonlocal left
            left -= 1
            if not left and not finished.done():
                finished.set_result(None)

        for done in sent:
            if not done.done():
                done.add_done_callback(count)
        try:
            await within(self._clock, _PATIENCE_S, finished)
        except TimeoutError:
            _log.info("%d messages were not acknowledged within %g s; they are sent again", left, _PATIENCE_S)
        except asyncio.CancelledError:
            for done in sent:
                done.cancel()
            raise

    async def _ready(self, who: Who) -> CloudClient:
        """The connection of an identity. Raises ``Unreachable``, ``Refused``."""
        if not self.is_reachable:
            self._place.link.check()
            raise Unreachable("The cloud cannot be reached.")
        one = self._upstream(who)
        one.used = self._clock.monotonic()
        if not one.client.is_connected:
            try:
                await within(self._clock, _CONNECT_S, asyncio.ensure_future(one.client.connected()))
            except TimeoutError:
                raise Unreachable(f"'{who}' could not be connected to the cloud in time.") from None
        return one.client

    def _upstream(self, who: Who) -> _Upstream:
        found = self._identities.get(who)
        if found is None:
            found = self._identities[who] = _Upstream(who, self)
            found.client = CloudClient(who, self._place, lambda: self.scope.signer(who), found)
            found.used = self._clock.monotonic()
            if who != self._own or self.scope.signer(who) is not None:
                found.client.open()
        return found

    async def _close(self, who: Who) -> None:
        one = self._identities.pop(who, None)
        if one is not None:
            await one.client.close()

    def _scope_changed(self) -> None:
        for who, one in list(self._identities.items()):
            if self.scope.signer(who) is None:
                if who != self._own:
                    self._start_closing(who)
            elif not one.client.is_connected:
                one.client.open()
                one.client.wake()
        if self._listener is not None:
            self._listener.identities_changed()

    def _start_closing(self, who: Who) -> None:
        task = asyncio.get_running_loop().create_task(self._close(who), name=f"end of upstream of {who}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What connections tell.

    def identity_connected(self, who: Who, *, again: bool) -> None:
        """A connection is there; ``again`` after an earlier one."""
        if who == self._own:
            self._reachable.set()
            self.scope.wake()
        elif not again or not self.is_reachable:
            return
        # A patch that came while an identity was not connected is lost: the twins have to be looked at again.
        if self._listener is not None:
            self._listener.reachable()

    def identity_lost(self, who: Who) -> None:
        """A connection is gone."""
        if who == self._own and self.is_reachable:
            self._reachable.clear()
            if self._listener is not None:
                self._listener.unreachable()

    def identity_refused(self, who: Who) -> None:
        """The cloud does not let an identity in."""
        if who == self._own:
            self.identity_lost(who)
        task = asyncio.get_running_loop().create_task(self._renewed(who), name=f"scope, as {who} was refused")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renewed(self, who: Who) -> None:
        """Its key may be another now."""
        before = self.scope.signer(who)
        await self.scope.refresh(who)
        one = self._identities.get(who)
        if one is not None and self.scope.signer(who) not in (None, before):
            one.client.wake()

    def local_hub(self) -> CloudListener:
        """Who is told of everything. Raises ``Unreachable`` before ``listen``."""
        if self._listener is None:
            raise Unreachable("The device's hub has not started.")
        return self._listener


class _Upstream:
    """One identity; the listener of its client."""

    client: CloudClient

    def __init__(self, who: Who, cloud: UpstreamCloud) -> None:
        self.attended = False
        """A local client is connected."""
        self.used = 0.0
        self._who = who
        self._cloud = cloud
        self._was_connected = False

    def connected(self) -> None:
        again, self._was_connected = self._was_connected, True
        self._cloud.identity_connected(self._who, again=again)

    def disconnected(self) -> None:
        self._cloud.identity_lost(self._who)

    def refused(self, problem: Refused) -> None:
        self._cloud.identity_refused(self._who)

    def desired(self, patch: JsonObject) -> None:
        self._cloud.local_hub().desired(self._who, patch)

    async def method(self, name: str, payload: bytes) -> tuple[int, bytes]:
        return await self._cloud.local_hub().method(self._who, name, payload)

    async def command(self, bag: str, body: bytes) -> None:
        await self._cloud.local_hub().command(self._who, bag, body)
