"""Calls of methods that wait: for a client to connect, and for its answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.iot.hub import methods, topics
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.hub.waiting import within

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.hub.methods import Call, Result


class Callee(Protocol):
    """A connected client, as calls need it."""

    def takes(self, feed: Feed) -> bool: ...
    def send(self, feed: Feed, topic: str, payload: bytes) -> None: ...


class Calls:
    """The calls of one hub."""

    def __init__(self, find: Callable[[Who], Callee | None], clock: Clock) -> None:
        """``find`` tells who is connected."""
        self._find = find
        self._clock = clock
        self._numbers = itertools.count(1)
        self._pending: dict[Who, dict[str, asyncio.Future[Result]]] = {}
        self._expected: dict[Who, list[asyncio.Future[None]]] = {}

    async def invoke(self, who: Who, call: Call) -> Result:
        """Call a method and wait for what it answers. Raises ``HubError``."""
        methods.check(call)
        client = await self._connected(who, call.connect_s)
        request_id = f"{next(self._numbers):x}"
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        pending = self._pending.setdefault(who, {})
        pending[request_id] = answer
        client.send(Feed.METHODS, topics.method_call(call.name, request_id), call.payload)
        try:
            return await within(self._clock, call.response_s, answer)
        except TimeoutError:
            raise methods.no_answer(call.response_s, self._clock.now()) from None
        finally:
            pending.pop(request_id, None)
            if not pending and self._pending.get(who) is pending:
                del self._pending[who]

    def answered(self, who: Who, request_id: str, status: int, payload: bytes) -> None:
        """A client has answered; too late, or twice, is of no effect."""
        answer = self._pending.get(who, {}).get(request_id)
        if answer is not None and not answer.done():
            answer.set_result(methods.Result(status=status, payload=methods.read_payload(payload)))

    def arrived(self, who: Who) -> None:
        """A client has connected, or subscribed."""
        if self._taker(who) is not None:
            for waiting in self._expected.pop(who, ()):
                if not waiting.done():
                    waiting.set_result(None)

    def left(self, who: Who) -> None:
        """A client is gone: nobody will answer its calls."""
        for answer in self._pending.pop(who, {}).values():
            if not answer.done():
                answer.set_exception(methods.gone(self._clock.now()))

    async def _connected(self, who: Who, wait_s: int) -> Callee:
        found = self._taker(who)
        if found is None and wait_s:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            expected = self._expected.setdefault(who, [])
            expected.append(waiting)
            try:
                await within(self._clock, wait_s, waiting)
            except TimeoutError:
                raise methods.not_connected(wait_s, self._clock.now()) from None
            finally:
                if waiting in expected:
                    expected.remove(waiting)
                if not expected and self._expected.get(who) is expected:
                    del self._expected[who]
            found = self._taker(who)
        if found is None:
            raise methods.not_connected(wait_s, self._clock.now())
        return found

    def _taker(self, who: Who) -> Callee | None:
        client = self._find(who)
        return client if client is not None and client.takes(Feed.METHODS) else None
