"""``EdgeView``: a service as the twins of its device describe it, and the service state that this means.

the device's agent is not connected                       Unhealthy, with what it reported last
the agent has not taken the deployment in yet             Transitioning
the agent refuses the deployment (400, 412, 417)          Failed, with its words
the module runs and is connected                          Healthy
the module runs and is not connected                      Transitioning at first, Unhealthy later
... runs again after it has ended, and never connected    Failed: its agent only goes on trying
the module ended (backoff, failed, dead)                  Failed, with its exit code
a command failed (500), and the module does not run       Failed, with the agent's words
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel.adapters.iotedge_deployment import INFO, Info
from windtunnel.adapters.times import read_time
from windtunnel.interface import Deployment, ServiceState
from windtunnel.jsontypes import as_object, as_str
from windtunnel.spec import Target

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel.jsontypes import Json, JsonObject

STARTING_S = 120.0
_REFUSED = (400, 412, 417)
_ENDED = ("backoff", "failed", "dead", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeView:
    """One service on one device."""

    name: str
    device: str
    hub_id: str
    host: str
    location: str
    module: JsonObject
    """As it is desired."""
    info: Info
    agent: JsonObject
    """The twin of ``$edgeAgent``."""
    twin: JsonObject
    """The module's own; empty as long as it has none."""

    @property
    def online(self) -> bool:
        """Whether the device's agent is connected."""
        return is_online(self.agent)

    @property
    def image(self) -> str:
        """Of the module."""
        return as_str(as_object(self.module.get("settings")).get("image"))

    @property
    def environment(self) -> dict[str, str]:
        """The user's own variables."""
        pairs = as_object(self.module.get("env"))
        return {name: as_str(as_object(value).get("value")) for name, value in pairs.items() if name != INFO}

    @property
    def scoring_uri(self) -> str:
        """Where its direct methods are called."""
        return f"https://{self.host}/twins/{self.device}/modules/{self.name}/methods"

    @property
    def _reported(self) -> JsonObject:
        return as_object(as_object(as_object(self.agent.get("properties")).get("reported")))

    @property
    def _module_reported(self) -> JsonObject:
        return as_object(as_object(self._reported.get("modules")).get(self.name))

    def deployment(self, now: datetime) -> Deployment:
        """The service as it is."""
        state, error = self.state(now)
        restarts = self._module_reported.get("restartCount")
        return Deployment(
            name=self.name,
            target=Target.IOT_EDGE,
            id=f"{self.hub_id}/devices/{self.device}/modules/{self.name}",
            state=state,
            error=error,
            scoring_uri=self.scoring_uri,
            auth_enabled=True,
            tls_enabled=True,
            tags=self.info.tags,
            owner=self.info.owner or None,
            created=read_time(self.info.created),
            expires=read_time(self.info.expires),
            model_name=self.info.model or None,
            model_digest=self.info.model_digest or None,
            image=self.image or None,
            location=self.location,
            restarts=restarts if isinstance(restarts, int) else 0,
        )

    def state(self, now: datetime) -> tuple[ServiceState, str | None]:
        """And why, unless it is healthy."""
        status = as_str(self._module_reported.get("runtimeStatus"))
        if not self.online:
            last = f"; the module was last reported as {status}" if status else ""
            return ServiceState.UNHEALTHY, f"IoT Edge device {self.device!r} is not connected to its hub{last}"
        desired = as_object(as_object(self.agent.get("properties")).get("desired"))
        if self._reported.get("lastDesiredVersion") != desired.get("$version"):
            return ServiceState.TRANSITIONING, "the device's agent has not taken the deployment in yet"
        last_status = as_object(self._reported.get("lastDesiredStatus"))
        code, said = last_status.get("code"), as_str(last_status.get("description"))
        if code in _REFUSED:
            return ServiceState.FAILED, f"the device's agent refuses the deployment ({code}): {said}"
        if not self._is_current():
            return self._not_there(code, said)
        if status == "running":
            lost = self._lost()
            if code == 500 and lost:
                return (
                    ServiceState.FAILED,
                    f"Error: no module {', '.join(lost)}: the device's agent could not do it: {said}",
                )
            return self._running(now)
        if status == "unhealthy":
            return ServiceState.UNHEALTHY, as_str(self._module_reported.get("statusDescription")) or status
        if status in _ENDED:
            return ServiceState.FAILED, self._ending(status)
        return self._not_there(code, said)

    def _lost(self) -> list[str]:
        """The modules that came with the service and never started; one that has ended did."""
        modules = as_object(self._reported.get("modules"))
        started = {
            name: read_time(as_str(as_object(modules.get(name)).get("lastStartTimeUtc"))) for name in self.info.modules
        }
        # An agent writes the year 1 for never.
        return [repr(name) for name, time in started.items() if time is None or time.year == 1]

    def _is_current(self) -> bool:
        """Whether what is reported is the image that is desired, and not the one before it."""
        image = as_str(as_object(self._module_reported.get("settings")).get("image"))
        return image in ("", self.image)

    def _not_there(self, code: Json, said: str) -> tuple[ServiceState, str | None]:
        if code == 500:
            return ServiceState.FAILED, f"Error: the device's agent could not do it: {said}"
        return ServiceState.TRANSITIONING, said or None

    def _running(self, now: datetime) -> tuple[ServiceState, str | None]:
        if as_str(self.twin.get("connectionState")) == "Connected":
            return ServiceState.HEALTHY, None
        restarts, active = (
            self._module_reported.get("restartCount"),
            read_time(as_str(self.twin.get("lastActivityTime"))),
        )
        made = read_time(self.info.created)
        if isinstance(restarts, int) and restarts > 0 and (active is None or (made is not None and active < made)):
            return (
                ServiceState.FAILED,
                f"Error: module {self.name!r} has ended {restarts} times. Did your init method fail?",
            )
        started = read_time(as_str(self._module_reported.get("lastStartTimeUtc")))
        why = "the module runs, and is not connected to the edge's hub"
        if started is not None and (now - started).total_seconds() > STARTING_S:
            return ServiceState.UNHEALTHY, why
        return ServiceState.TRANSITIONING, why

    def _ending(self, status: str) -> str:
        code = self._module_reported.get("exitCode")
        hint = " Did your init method fail?" if code == 3 else ""
        return f"Error: module {self.name!r} has ended with exit code {code} ({status}).{hint}"


def is_online(agent: JsonObject) -> bool:
    """Whether the twin of an edge agent says that it is connected."""
    return as_str(agent.get("connectionState")) == "Connected"
