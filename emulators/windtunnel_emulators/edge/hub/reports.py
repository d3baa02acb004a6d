"""Reported properties on their way to the cloud: kept first, then sent as one patch that does what all have done.

Online a patch goes at once. What has gathered while the cloud was away goes as one, and however often the connection
comes and goes, at most every five seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.edge.hub.merging import collapsed
from windtunnel_emulators.edge.hub.twin_cache import EMPTY
from windtunnel_emulators.edge.interface import EdgeProblem, Refused
from windtunnel_emulators.iot.hub import twin_rules
from windtunnel_emulators.iot.hub.twins import merged

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.hub.tasks import Tasks
    from windtunnel_emulators.edge.hub.twin_cache import TwinCache
    from windtunnel_emulators.edge.interface import Cloud
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import JsonObject

BETWEEN_S = 5.0
"""Between two patches of what has gathered, and before what was not taken is sent again."""
_THROTTLED = 429
_SERVER = 500
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sending:
    """A patch on its way to the cloud."""

    patch: JsonObject
    since: JsonObject | None = None
    """What was reported after it."""


class Reports:
    """The reported properties of everybody behind one edge device."""

    def __init__(self, cache: TwinCache, cloud: Cloud, clock: Clock, tasks: Tasks) -> None:
        self._cache = cache
        self._cloud = cloud
        self._clock = clock
        self._tasks = tasks
        self._sending: dict[Who, _Sending] = {}
        self._gathered: set[Who] = set()
        """Whose pending patch has waited for the cloud."""
        self._last: dict[Who, float] = {}
        """When such a one was sent last."""

    def add(self, who: Who, patch: JsonObject) -> int:
        """Keep a patch, and send it when that is possible; returns the version. Raises ``HubError``."""
        twin_rules.check(patch, "properties.reported")
        twin = self._cache.get(who) or EMPTY
        local = merged(twin.local, patch)
        twin_rules.check_size(local, "properties.reported", twin_rules.LARGEST_PROPERTIES)
        pending = collapsed(twin.pending or {}, patch, twin.reported)
        version = twin.reported_version + 1
        self._cache.save(who, msgspec.structs.replace(twin, pending=pending, reported_version=version))
        sending = self._sending.get(who)
        if sending is not None:
            sending.since = collapsed(sending.since or {}, patch, merged(twin.reported, sending.patch))
        elif self._cloud.is_reachable:
            self.send(who)
        else:
            self._gathered.add(who)
        return version

    def send(self, who: Who) -> None:
        """Send what is pending, if anything is and the cloud is there."""
        if who not in self._sending and self._cloud.is_reachable:
            self._sending[who] = _Sending({})
            self._tasks.start(self._send(who), f"reported properties of {who}")

    def send_all(self) -> None:
        """The cloud is there again."""
        for who, twin in self._cache.each():
            if twin.pending is not None:
                self._gathered.add(who)
                self.send(who)

    def waiting(self) -> int:
        """Whose reports the cloud does not have."""
        return sum(twin.pending is not None for _, twin in self._cache.each())

    async def _send(self, who: Who) -> None:
        try:
            while await self._send_one(who):
                pass
        finally:
            self._sending.pop(who, None)

    async def _send_one(self, who: Who) -> bool:
        """Send the pending patch; whether to go on."""
        if who in self._gathered:
            wait = self._last.get(who, -BETWEEN_S) + BETWEEN_S - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            self._last[who] = self._clock.monotonic()
        twin = self._cache.get(who)
        if twin is None or twin.pending is None or not self._cloud.is_reachable:
            return False
        sending = self._sending[who] = _Sending(twin.pending)
        try:
            version = await self._cloud.report(who, twin.pending)
        except Refused as problem:
            if problem.status == _THROTTLED or problem.status >= _SERVER:
                self._gathered.add(who)
                return True
            _log.error("reported properties of '%s' are lost, as the cloud refuses them: %s", who, problem)
            self._sent(who, _Sending({}, sending.since), None)
        except EdgeProblem:
            self._gathered.add(who)
            return True  # the cloud may have been reachable all the time, and only this connection was not
        else:
            self._sent(who, sending, version)
        self._gathered.discard(who)
        return True

    def _sent(self, who: Who, sending: _Sending, version: int | None) -> None:
        """The cloud has a patch; what came since is pending."""
        twin = self._cache.get(who)
        if twin is None:
            return
        reported = merged(twin.reported, sending.patch)
        shown = twin.reported_version if sending.since is not None or version is None else version
        changed = msgspec.structs.replace(twin, reported=reported, reported_version=shown, pending=sending.since)
        self._cache.save(who, changed)
