"""Events about objects, as ``kubectl describe`` shows them: repeated ones are counted, a flood is dropped and counted.

The rules are client-go's (tools/record/events_cache.go): the same event again raises its count; from the tenth event
within ten minutes that differs in its message only, one event stands for all; 25 at once and then one in five minutes
is what one source may say of one object.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from windtunnel_emulators.kubernetes.client.interface import Client, KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import EVENT
from windtunnel_emulators.kubernetes.client.meta import name_of, namespace_of, text, timestamp, uid_of
from windtunnel_emulators.kubernetes.client.objects import Objects

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject

_log = logging.getLogger(__name__)

_K = TypeVar("_K")
_V = TypeVar("_V")

NORMAL, WARNING = "Normal", "Warning"
_AGGREGATE_FROM = 10
_AGGREGATE_WITHIN_S = 600.0
_BURST = 25.0
_REFILL_PER_S = 1 / 300
_KEPT = 4096
_WAITING = 1000
_MESSAGE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class _Said:
    """What is known of one event that was written."""

    name: str
    count: int


class Recorder:
    """Writes events of one component. ``event`` never waits; ``dropped`` counts what was not written."""

    def __init__(self, client: Client, clock: Clock, component: str, *, host: str = "") -> None:
        self.dropped = 0
        self._objects = Objects(client)
        self._clock = clock
        self._component = component
        self._host = host
        self._queue: asyncio.Queue[JsonObject] = asyncio.Queue(_WAITING)
        self._said: OrderedDict[tuple[str, ...], _Said] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], tuple[float, set[str]]] = OrderedDict()
        self._allowance: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"events of {self._component}")

    async def stop(self, *, within_s: float = 1.0) -> None:
        """Write what waits, for so long at most, then stop."""
        task, self._task = self._task, None
        if task is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), within_s)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def event(self, about: JsonObject, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Say it of the object (whole, or a reference with apiVersion and kind). ``field_path`` names a part of it, as
        ``spec.containers{model}``."""
        reference: JsonObject = {
            "kind": text(about, "kind"),
            "namespace": namespace_of(about) or text(about, "namespace"),
            "name": name_of(about) or text(about, "name"),
            "uid": uid_of(about) or text(about, "uid"),
            "apiVersion": text(about, "apiVersion"),
            "resourceVersion": text(about, "metadata", "resourceVersion"),
            "fieldPath": field_path,
        }
        event: JsonObject = {
            "involvedObject": {k: v for k, v in reference.items() if v},
            "type": type_,
            "reason": reason,
            "message": message[:_MESSAGE_LIMIT],
        }
        if not self._allowed(event):
            self.dropped += 1
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1

    def _allowed(self, event: JsonObject) -> bool:
        key = (text(event, "involvedObject", "uid"), text(event, "involvedObject", "name"))
        now = self._clock.monotonic()
        tokens, at = self._allowance.get(key, (_BURST, now))
        tokens = min(_BURST, tokens + (now - at) * _REFILL_PER_S)
        allowed = tokens >= 1
        _keep(self._allowance, key, (tokens - 1 if allowed else tokens, now))
        return allowed

    async def _run(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except KubernetesProblem as failure:
                self.dropped += 1
                _log.info("event %s of %s not written: %s", event.get("reason"), self._component, failure)
            finally:
                self._queue.task_done()

    async def _write(self, event: JsonObject) -> None:
        event, key = self._aggregated(event)
        now = timestamp(self._clock.now())
        namespace = text(event, "involvedObject", "namespace") or "default"
        said = self._said.get(key)
        if said is not None:
            count = said.count + 1
            try:
                await self._objects.patch(
                    EVENT,
                    namespace,
                    said.name,
                    {"count": count, "lastTimestamp": now, "message": event["message"]},
                )
            except StatusError as failure:
                if failure.code != 404:
                    raise
            else:
                _keep(self._said, key, _Said(said.name, count))
                return
        name = f"{text(event, 'involvedObject', 'name')[:200]}.{time.time_ns():x}"
        await self._objects.create(
            EVENT,
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                **event,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": self._component, **({"host": self._host} if self._host else {})},
                "reportingComponent": self._component,
                "reportingInstance": self._host,
            },
            namespace,
        )
        _keep(self._said, key, _Said(name, 1))

    def _aggregated(self, event: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
        involved = event["involvedObject"]
        alike = (
            text(involved, "uid"),
            text(involved, "name"),
            text(involved, "fieldPath"),
            text(event, "type"),
            text(event, "reason"),
        )
        message, now = text(event, "message"), self._clock.monotonic()
        at, known = self._similar.get(alike, (now, set[str]()))
        messages = {message} if now - at > _AGGREGATE_WITHIN_S else {*known, message}
        if len(messages) >= _AGGREGATE_FROM:
            _keep(self._similar, alike, (now, set(list(messages)[:_AGGREGATE_FROM])))
            return {**event, "message": f"(combined from similar events): {message}"}, alike
        _keep(self._similar, alike, (now, messages))
        return event, (*alike, message)


def _keep(known: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    """Remember it as the latest, and no more than so many."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > _KEPT:
        known.popitem(last=False)
