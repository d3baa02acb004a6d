"""What the hub sends to one identity: desired properties, calls of methods, messages to the device."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.iot.hub import topics
from windtunnel_emulators.iot.mqtt.errors import ProtocolViolation
from windtunnel_emulators.iot.mqtt.packets import PubAck, Publish

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from windtunnel_emulators.edge.upstream.client import ClientListener
    from windtunnel_emulators.edge.upstream.wire import Wire
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import JsonObject

_decode = msgspec.json.Decoder(dict[str, object]).decode
_log = logging.getLogger(__name__)


class Arrivals:
    """Hands on what comes; methods run side by side, messages to the device one after the other."""

    def __init__(self, who: Who, listener: ClientListener) -> None:
        self._who = who
        self._listener = listener
        self._commands_topic = "" if who.module else topics.commands_of(who.device)
        self._commands: deque[tuple[Publish, Wire]] = deque()
        self._giving = False
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, packet: Publish, wire: Wire) -> None:
        """A message of the hub's, other than an answer. Raises ``ProtocolViolation``."""
        topic = packet.topic
        if self._commands_topic and topic.startswith(self._commands_topic):
            self._commands.append((packet, wire))
            if not self._giving:
                self._giving = True
                self._start(self._give())
            return
        if topic.startswith(topics.METHOD_CALL):
            self._start(self._call(topics.request(topic, topics.METHOD_CALL), packet.payload, wire))
        elif topic.startswith(topics.DESIRED_PATCH):
            self._desired(packet.payload)
        else:
            raise ProtocolViolation(f"a message to {topic[:200]!r}, which is no topic of '{self._who}'")
        if packet.qos:
            wire.send(PubAck(packet.packet_id))

    def forget(self) -> None:
        """The connection is lost: the hub will send its messages to the device again."""
        self._commands.clear()

    def stop(self) -> None:
        """End what is being handed on."""
        self._commands.clear()
        for task in list(self._tasks):
            task.cancel()

    def _desired(self, payload: bytes) -> None:
        try:
            patch: JsonObject = _decode(payload)  # type: ignore[assignment]  # an object of JSON, of any values
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise ProtocolViolation(f"desired properties that are no JSON object: {problem}") from problem
        self._listener.desired(patch)

    async def _call(self, request: topics.Request, payload: bytes, wire: Wire) -> None:
        name = unquote(request.name)
        try:
            status, answer = await self._listener.method(name, payload)
        except EdgeProblem as problem:
            _log.warning("the method %.100r of '%s' has no answer: %s", name, self._who, problem)
            return
        wire.send(Publish(f"{topics.METHOD_RESULT}{status}/?$rid={request.id}", answer))

    async def _give(self) -> None:
        try:
            while self._commands:
                packet, wire = self._commands.popleft()
                try:
                    await self._listener.command(packet.topic[len(self._commands_topic) :], packet.payload)
                except EdgeProblem as problem:
                    _log.warning("a message to '%s' stays in the hub: %s", self._who, problem)
                    continue
                if packet.qos:
                    wire.send(PubAck(packet.packet_id))
        finally:
            self._giving = False

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"from the cloud for {self._who}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("what came from the cloud for '%s' was not handled", self._who, exc_info=task.exception())
