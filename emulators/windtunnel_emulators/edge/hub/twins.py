"""Twins at the edge: answered from the cloud where it is there, else as last known; desired ones passed on.

A patch of desired properties that does not follow what is known, and a cloud that was away, mean the same: the whole
twin is read, and the client is sent one patch with what has changed for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.edge.hub.merging import difference
from windtunnel_emulators.edge.hub.reports import BETWEEN_S
from windtunnel_emulators.edge.hub.twin_cache import EMPTY, version_of
from windtunnel_emulators.edge.interface import EdgeProblem, Refused, Unreachable
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.twins import merged, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.edge.hub.tasks import Tasks
    from windtunnel_emulators.edge.hub.twin_cache import TwinCache
    from windtunnel_emulators.edge.interface import Cloud
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import JsonObject

SYNC_PERIOD_S = 120.0
"""A twin that was read later than this is not read again after a reconnection (``MinTwinSyncPeriodSecs``)."""
_log = logging.getLogger(__name__)


class Twins:
    """The desired properties of everybody behind one edge device, and whole twins."""

    def __init__(
        self,
        cache: TwinCache,
        cloud: Cloud,
        clock: Clock,
        tasks: Tasks,
        *,
        changed: Callable[[Who, JsonObject], None],
        wanted: Callable[[Who], bool],
    ) -> None:
        """``changed`` is told a patch of desired properties, with its version, that its owner has to hear of.

        ``wanted`` tells whether the owner is there to hear of anything.
        """
        self._cache = cache
        self._cloud = cloud
        self._clock = clock
        self._tasks = tasks
        self._changed = changed
        self._wanted = wanted
        self._pulling: dict[Who, list[JsonObject]] = {}
        """By whose twin is being read: the patches that came meanwhile."""
        self._synced: dict[Who, float] = {}

    async def read(self, who: Who) -> JsonObject:
        """The twin as its owner is answered. Raises ``HubError`` where the cloud refuses."""
        if self._cloud.is_reachable:
            try:
                await self._fetch(who)
            except Unreachable as problem:
                _log.info("the twin of '%s' is answered as last known: %s", who, problem)
            except Refused as problem:
                raise HubError(problem.status, "TwinRefused", str(problem)) from problem
        return (self._cache.get(who) or EMPTY).shown()

    def patched(self, who: Who, patch: JsonObject) -> None:
        """Desired properties were changed in the cloud."""
        held = self._pulling.get(who)
        if held is not None:
            held.append(patch)
            return
        twin, version = self._cache.get(who), version_of(patch)
        if twin is None or version is None or version not in (twin.desired_version, twin.desired_version + 1):
            self.pull(who)
        elif version > twin.desired_version:
            desired = merged(twin.desired, plain(patch))
            self._cache.save(who, msgspec.structs.replace(twin, desired=desired, desired_version=version))
            self._changed(who, patch)

    def pull(self, who: Who) -> None:
        """Read a twin whole, and tell its owner what has changed."""
        if who not in self._pulling:
            self._pulling[who] = []
            self._tasks.start(self._pull(who), f"twin of {who}")

    def resume(self, who: Who) -> None:
        """Somebody whose twin is known is there again, or the cloud is: read it, unless that was just done."""
        last = self._synced.get(who)
        due = last is None or self._clock.monotonic() - last > SYNC_PERIOD_S
        if due and self._cloud.is_reachable and self._cache.get(who) is not None:
            self.pull(who)

    def forget(self, who: Who) -> None:
        """An identity is no more."""
        self._cache.drop(who)
        self._synced.pop(who, None)

    async def _fetch(self, who: Who) -> None:
        """Raises ``EdgeProblem``."""
        twin = await self._cloud.twin(who)
        self._cache.save(who, (self._cache.get(who) or EMPTY).pulled(twin))
        self._synced[who] = self._clock.monotonic()

    async def _pull(self, who: Who) -> None:
        try:
            while self._cloud.is_reachable and self._wanted(who):
                before = self._cache.get(who) or EMPTY
                try:
                    await self._fetch(who)
                except Unreachable:
                    self._synced.pop(who, None)
                    await self._clock.sleep(BETWEEN_S)
                    continue
                except EdgeProblem as problem:
                    _log.warning("the twin of '%s' cannot be read: %s", who, problem)
                    return
                after = self._cache.get(who) or EMPTY
                patch = difference(before.desired, after.desired)
                if patch:
                    self._changed(who, {**patch, "$version": after.desired_version})
                return
        finally:
            for patch in self._pulling.pop(who, ()):
                self.patched(who, patch)
