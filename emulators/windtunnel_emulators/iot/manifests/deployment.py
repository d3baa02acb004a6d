"""Deployments as values: what a device shall run (``AgentDeployment``), and how messages go (``HubDeployment``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.identity import AGENT, EDGE_HUB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

LAST = 4294967295
"""The ``startupOrder`` of a module that has none: behind all others."""
DEFAULT_TTL_S = 7200.0


class DesiredStatus(Enum):
    """What a module shall do."""

    RUNNING = "running"
    STOPPED = "stopped"


class RestartPolicy(Enum):
    """When a module that has ended is started again."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ON_UNHEALTHY = "on-unhealthy"
    ALWAYS = "always"


class PullPolicy(Enum):
    """When an image is pulled."""

    ON_CREATE = "on-create"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A registry, and who may pull from it. Neither name nor password is ever shown."""

    name: str
    """Its key in the manifest."""
    address: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(name={self.name!r}, address={self.address!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module as it is desired. Two are equal when they run alike; ``written`` does not count."""

    name: str
    """Its key: ``edgeAgent`` and ``edgeHub`` of the system modules have an identity with ``$`` before it."""
    type: str = "docker"
    version: str = ""
    status: DesiredStatus = DesiredStatus.RUNNING
    restart_policy: RestartPolicy = RestartPolicy.ON_UNHEALTHY
    pull_policy: PullPolicy = PullPolicy.ON_CREATE
    startup_order: int = LAST
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    image: str
    """With a tag or a digest."""
    create_options: JsonObject = field(default_factory=dict[str, "Json"])
    """Of Docker's container-create; joined from its chunks."""
    written: JsonObject = field(default_factory=dict[str, "Json"], compare=False, repr=False)
    """As it stands in the desired properties: what the agent reports back."""

    @property
    def identity(self) -> str:
        """The module's id in the registry."""
        return {"edgeAgent": AGENT, "edgeHub": EDGE_HUB}.get(self.name, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What runs the modules."""

    type: str = "docker"
    min_docker_version: str = ""
    logging_options: str = ""
    credentials: tuple[Credentials, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDeployment:
    """The desired properties of ``$edgeAgent``, read."""

    version: int
    """``$version`` of the desired properties."""
    schema_version: str
    runtime: Runtime
    agent: Module | None = None
    hub: Module | None = None
    modules: Mapping[str, Module] = field(default_factory=dict[str, Module])
    """By name, without the system modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDeployment:
    """The desired properties of ``$edgeHub``, read; the routes are still text."""

    version: int
    schema_version: str
    routes: Mapping[str, str | JsonObject] = field(default_factory=dict[str, "str | JsonObject"])
    """By name: the route, or ``{"route", "priority", "timeToLiveSecs"}``."""
    ttl: float | None = DEFAULT_TTL_S
    """Seconds that a message is kept for delivery; None for ever (a negative number in the manifest)."""
    most_bytes: int | None = None
    """``storeLimits.maxSizeBytes``."""
