"""How many replicas a version is to have: the formula, eager up and slow down.

``want = ceil(load / (target utilisation x requests per replica))`` within the limits of the version, where load is
requests in work and in the queue, averaged over the last period. More are asked for at once; fewer only when fewer
would have done for all of a quiet minute, and then as many as the busiest moment of that minute needed.

The router of a service scales it (see ``peers.py``); only ``spec.replicas`` of its Deployment is written, and only when
``autoScaler.autoscaleEnabled``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Final, Protocol

from windtunnel_scoring.router.api import ApiError, ApiUnreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from windtunnel_scoring.jsontypes import JsonObject
    from windtunnel_scoring.router.definition import VersionDefinition
    from windtunnel_scoring.router.directory import Directory
    from windtunnel_scoring.router.service import Service, Version

logger = logging.getLogger("windtunnel")

QUIET_S: Final = 60.0
_TICK_S: Final = 1.0


def wanted(load: float, definition: VersionDefinition) -> int:
    """The replicas that this load needs."""
    scaler = definition.auto_scaler
    target = scaler.target_utilization / 100 * definition.max_concurrent_requests
    # Rounded first: 7 / (0.7 * 1) is 10, not 10.000000000000002 and so 11.
    need = math.ceil(round(load / target, 9))
    return min(max(need, scaler.min_replicas), scaler.max_replicas)


class Scales(Protocol):
    """What of the Kubernetes API is used."""

    async def patch(self, path: str, body: JsonObject) -> JsonObject: ...


class Decision:
    """The memory of one version: since when fewer replicas would do, and how many at most in that time."""

    def __init__(self) -> None:
        self._quiet_since: float | None = None
        self._most = 0

    def decide(self, now: float, load: float, replicas: int, definition: VersionDefinition) -> int | None:
        """The replicas to ask for; None leaves them."""
        want = wanted(load, definition)
        if want >= replicas:
            self._quiet_since = None
            return want if want > replicas else None
        if replicas > definition.auto_scaler.max_replicas:
            self._quiet_since = None
            return want if want == definition.auto_scaler.max_replicas else definition.auto_scaler.max_replicas
        if self._quiet_since is None:
            self._quiet_since, self._most = now, want
        self._most = max(self._most, want)
        if now - self._quiet_since < QUIET_S:
            return None
        self._quiet_since = None
        return self._most


class Autoscaler:
    """Scales all services that this router is at home for."""

    def __init__(
        self,
        api: Scales,
        directory: Directory,
        is_home: Callable[[str], bool],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._directory = directory
        self._is_home = is_home
        self._monotonic = monotonic
        self._sleep = sleep
        self._decisions: dict[tuple[str, str], Decision] = {}
        self._due: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._sleep(_TICK_S)
            await self.tick()

    async def tick(self) -> None:
        """Look at every version whose period is over."""
        now = self._monotonic()
        present: set[tuple[str, str]] = set()
        for service in list(self._directory.services.values()):
            for version in service.versions.values():
                scaler = version.definition.auto_scaler
                if not (scaler.enabled and self._is_home(service.name)):
                    continue
                key = (service.name, version.name)
                present.add(key)
                if now < self._due.get(key, now):
                    continue
                # A little early is better than a whole tick late.
                self._due[key] = now + scaler.refresh_period_s - _TICK_S / 2
                await self._look(now, service, version)
        for known in (self._decisions, self._due):
            for key in [key for key in known if key not in present]:
                del known[key]

    async def _look(self, now: float, service: Service, version: Version) -> None:
        load, deployment = version.slots.average_load(), version.deployment
        if deployment is None:
            return
        decision = self._decisions.setdefault((service.name, version.name), Decision())
        replicas = decision.decide(now, load, deployment.replicas, version.definition)
        if replicas is None:
            return
        logger.info(
            "service %s version %s: from %d to %d replicas at a load of %.2f",
            *(service.name, version.name, deployment.replicas, replicas, load),
        )
        path = f"/apis/apps/v1/namespaces/{deployment.namespace}/deployments/{deployment.name}/scale"
        try:
            await self._api.patch(path, {"spec": {"replicas": replicas}})
        except (ApiError, ApiUnreachable) as error:
            # The next look tries again; until then there are as many as there are.
            logger.warning("service %s cannot be scaled: %s", service.name, error)
