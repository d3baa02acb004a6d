"""Twin requests of one identity that the hub has not answered."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from windtunnel_emulators.edge.interface import EdgeProblem, Refused, Unreachable
from windtunnel_emulators.iot.hub import topics
from windtunnel_emulators.iot.hub.waiting import within
from windtunnel_emulators.iot.mqtt.connection import LARGEST_MESSAGE
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation
from windtunnel_emulators.jsontypes import as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject

_BUSY = 429


class Answer(NamedTuple):
    """What the hub has said."""

    status: int
    version: str
    payload: bytes


class Requests:
    """Asks, and waits for what comes back."""

    def __init__(self, clock: Clock, patience: float) -> None:
        """``patience`` is in seconds."""
        self._clock = clock
        self._patience = patience
        self._numbers = itertools.count(1)
        self._pending: dict[str, asyncio.Future[Answer]] = {}

    @property
    def is_empty(self) -> bool:
        return not self._pending

    async def twin(self, send: Callable[[str, bytes], None]) -> JsonObject:
        """The twin. ``send`` is given topic and payload. Raises ``Unreachable``, ``Refused``."""
        answer = await self._ask(send, topics.TWIN_GET, b" ")  # of one space, as Microsoft's clients ask
        found = _json(answer.payload)
        if not isinstance(found, dict):
            raise Refused(502, "The hub answered with a twin that is no JSON object.")
        return found

    async def report(self, send: Callable[[str, bytes], None], patch: JsonObject) -> int:
        """Patch reported properties; returns their version. Raises ``Unreachable``, ``Refused``."""
        payload = msgspec.json.encode(patch)
        if len(payload) > LARGEST_MESSAGE:
            raise Refused(413, f"A patch of {len(payload)} bytes is too large; {LARGEST_MESSAGE} is what a hub takes.")
        answer = await self._ask(send, topics.REPORTED, payload)
        if not answer.version.isdecimal():
            raise Refused(502, "The hub answered to reported properties without their version.")
        return int(answer.version)

    def answered(self, topic: str, payload: bytes) -> None:
        """An answer has come; one that nobody waits for is of no effect. Raises ``ProtocolViolation``."""
        found = topics.request(topic, topics.TWIN_ANSWER)
        if not found.name.isdecimal():
            raise ProtocolViolation(f"an answer with the topic {topic[:100]!r}")
        waiting = self._pending.get(found.id)
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(int(found.name), found.options.get("$version", ""), payload))

    def fail(self, problem: EdgeProblem) -> None:
        """No answer will come."""
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(problem)

    async def _ask(self, send: Callable[[str, bytes], None], topic: str, payload: bytes) -> Answer:
        request_id = f"{next(self._numbers):x}"
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        send(f"{topic}?$rid={request_id}", payload)
        self._pending[request_id] = waiting
        try:
            answer = await within(self._clock, self._patience, waiting)
        except TimeoutError:
            raise Unreachable(f"The hub did not answer within {self._patience:g} s.") from None
        finally:
            del self._pending[request_id]
        if answer.status >= 500 or answer.status == _BUSY:
            raise Unreachable(f"The hub cannot answer now ({answer.status}): {_message(answer)}")
        if answer.status >= 300:
            raise Refused(answer.status, _message(answer))
        return answer


def _json(payload: bytes) -> Json:
    try:
        found: Json = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _message(answer: Answer) -> str:
    said = as_str(as_object(_json(answer.payload)).get("message"))
    return said or f"The hub answered with {answer.status}."
