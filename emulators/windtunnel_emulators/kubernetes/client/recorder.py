"""``Recorder``: events about objects, as ``kubectl describe`` shows them; the same one again only counts up."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem, StatusError
from windtunnel_emulators.kubernetes.client.kinds import EVENT
from windtunnel_emulators.kubernetes.client.objects import Objects
from windtunnel_emulators.kubernetes.client.reading import name_of, namespace_of, text, uid_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client, Kind

_MOST_REMEMBERED = 4096
_MOST_WAITING = 1000
_log = logging.getLogger(__name__)


class Recorder:
    """Never makes its caller wait, and never fails: events are the API's best effort too."""

    def __init__(self, client: Client, clock: Clock, component: str, *, host: str = "") -> None:
        self._objects = Objects(client)
        self._clock = clock
        self._source: JsonObject = {"component": component, **({"host": host} if host else {})}
        self._component = component
        self._seen: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._waiting: asyncio.Queue[tuple[str, JsonObject]] = asyncio.Queue(_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None

    def event(
        self,
        about: Mapping[str, Json],
        kind: Kind,
        reason: str,
        message: str,
        *,
        warning: bool = False,
        field_path: str = "",
    ) -> None:
        """Say something about an object: ``reason`` is a word, ``message`` a sentence."""
        reference: JsonObject = {
            "kind": kind.name,
            "apiVersion": kind.api_version,
            "name": name_of(about),
            "uid": uid_of(about),
        }
        if namespace_of(about):
            reference["namespace"] = namespace_of(about)
        version = text(about.get("metadata"), "resourceVersion")
        if version:
            reference["resourceVersion"] = version
        if field_path:
            reference["fieldPath"] = field_path
        now = _time(self._clock.now())
        body: JsonObject = {
            "involvedObject": reference,
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:1024],
            "source": self._source,
            "reportingComponent": self._component,
            "reportingInstance": text(self._source, "host"),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        same = f"{reference['kind']}|{uid_of(about)}|{reason}|{message}|{field_path}"
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"events of {self._component}")
        try:
            self._waiting.put_nowait((hashlib.sha256(same.encode()).hexdigest()[:16], body))
        except asyncio.QueueFull:
            _log.warning("an event was dropped, too many wait: %s", message)

    async def stop(self) -> None:
        """Send nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            key, body = await self._waiting.get()
            try:
                await self._send(key, body)
            except KubernetesProblem as problem:
                _log.debug("an event was not taken: %s", problem)
            except Exception:
                _log.exception("an event could not be sent")

    async def _send(self, key: str, body: JsonObject) -> None:
        reference = body["involvedObject"]
        namespace = text(reference, "namespace", default="default")
        known = self._seen.get(key)
        if known is not None:
            name, count = known
            patch: JsonObject = {"count": count + 1, "lastTimestamp": body["lastTimestamp"]}
            try:
                await self._objects.patch(EVENT, name, patch, namespace)
            except StatusError as refused:
                if refused.code != 404:
                    raise
            else:
                self._seen[key] = (name, count + 1)
                self._seen.move_to_end(key)
                return
        stamp = int(self._clock.now().timestamp() * 1_000_000_000)
        name = f"{text(reference, 'name')}.{stamp:x}"
        await self._objects.create(EVENT, {"metadata": {"name": name, "namespace": namespace}, **body})
        self._seen[key] = (name, 1)
        while len(self._seen) > _MOST_REMEMBERED:
            self._seen.popitem(last=False)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
