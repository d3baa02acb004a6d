"""``View``: a container group as ARM describes it, and the service state that this means.

provisioning not over yet                         Transitioning
provisioning failed                               Failed
the endpoint answers GET /                        Healthy
scoring server ended, and not by our wish         Failed (again Healthy if a restart brings it back)
stopped, or an image that cannot be pulled        Unhealthy
running, but the endpoint does not answer         Transitioning at first, Unhealthy once it has answered before
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Self

from windtunnel.adapters.aci_desired import (
    FRONTEND,
    PRIMARY_KEY,
    SCORING,
    TAG,
    TAG_CNAME,
    TAG_DIGEST,
    TAG_MODEL,
    TAG_OWNER,
    TAG_TARGET,
    TLS_CERT,
    expiry_of,
)
from windtunnel.interface import Deployment, ServiceState
from windtunnel.jsontypes import Json, JsonObject, as_list, as_object, as_str
from windtunnel.spec import RESERVED_ENVIRONMENT, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTING_S = 120.0
"""How long a container that runs may take to answer before it counts as unhealthy."""
_ENDED_FROM_OUTSIDE = (137, 143)
"""128 + SIGKILL, 128 + SIGTERM."""
_TERMINAL = frozenset({"succeeded", "failed", "canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """One container."""

    name: str
    image: str
    state: str = ""
    """``Waiting``, ``Running``, ``Terminated``, or nothing yet."""
    detail: str = ""
    past_detail: str = ""
    """Of the last time that it ended."""
    exit_code: int | None = None
    """Of now, or of the last time that it ended."""
    started: datetime | None = None
    restarts: int = 0
    cpu: float | None = None
    memory_gb: float | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    """None for a secure value, which ARM never tells."""
    warnings: tuple[str, ...] = ()
    """Messages of its events of type Warning, oldest first."""

    @classmethod
    def parse(cls, content: Json) -> ContainerView:
        """From one entry of ``properties.containers``."""
        container = as_object(content)
        properties = as_object(container.get("properties"))
        view = as_object(properties.get("instanceView"))
        current, previous = as_object(view.get("currentState")), as_object(view.get("previousState"))
        requests = as_object(as_object(properties.get("resources")).get("requests"))
        events = [as_object(e) for e in as_list(view.get("events"))]
        exit_code = current.get("exitCode", previous.get("exitCode"))
        return cls(
            name=as_str(container.get("name")),
            image=as_str(properties.get("image")),
            state=as_str(current.get("state")),
            detail=as_str(current.get("detailStatus")),
            past_detail=as_str(previous.get("detailStatus")),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            started=_time(current.get("startTime")),
            restarts=int(_number(view.get("restartCount")) or 0),
            cpu=_number(requests.get("cpu")),
            memory_gb=_number(requests.get("memoryInGB")),
            environment={
                as_str(v.get("name")): as_str(v["value"]) if isinstance(v.get("value"), str) else None
                for v in map(as_object, as_list(properties.get("environmentVariables")))
            },
            warnings=tuple(as_str(e.get("message")) for e in events if e.get("type") == "Warning"),
        )

    @property
    def crashed(self) -> bool:
        """Whether it ended in an error and has not come back, as far as the platform knows."""
        if "CrashLoopBackOff" in self.detail:
            return True
        if self.exit_code in _ENDED_FROM_OUTSIDE and "OOMKilled" not in (self.detail, self.past_detail):
            return False  # the platform moved or restarted it: it comes back
        # An exit code of the past counts only when the platform restarted the container because of it.
        return self.exit_code not in (None, 0) and (self.state == "Terminated" or self.restarts > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One container group."""

    id: str
    name: str
    location: str
    provisioning: str
    state: str
    """The group's own, as in ``Running``."""
    ip: str | None
    fqdn: str | None
    port: int | None
    dns_name_label: str | None
    tags: Mapping[str, str]
    containers: Mapping[str, ContainerView]
    created: datetime | None

    @classmethod
    def parse(cls, group: JsonObject) -> Self:
        """From the answer of ``GET .../containerGroups/{name}``."""
        properties = as_object(group.get("properties"))
        address = as_object(properties.get("ipAddress"))
        ports = [as_object(p).get("port") for p in as_list(address.get("ports"))]
        containers = [ContainerView.parse(c) for c in as_list(properties.get("containers"))]
        return cls(
            id=as_str(group.get("id")),
            name=as_str(group.get("name")),
            location=as_str(group.get("location")),
            provisioning=as_str(properties.get("provisioningState")),
            state=as_str(as_object(properties.get("instanceView")).get("state")),
            ip=as_str(address.get("ip")) or None,
            fqdn=as_str(address.get("fqdn")) or None,
            port=next((p for p in ports if isinstance(p, int)), None),
            dns_name_label=as_str(address.get("dnsNameLabel")) or None,
            tags={k: as_str(v) for k, v in as_object(group.get("tags")).items()},
            containers={c.name: c for c in containers},
            created=_time(as_object(group.get("systemData")).get("createdAt"))
            or min((c.started for c in containers if c.started is not None), default=None),
        )

    target: ClassVar[Target] = Target.ACI

    @property
    def ours(self) -> bool:
        """Whether Windtunnel made it, for this target."""
        return self.tags.get(TAG_TARGET) == self.target and SCORING in self.containers

    @property
    def scoring(self) -> ContainerView:
        """The scoring server's container."""
        return self.containers[SCORING]

    @property
    def cpu(self) -> float:
        """Cores of the group."""
        return round(sum(c.cpu or 0.0 for c in self.containers.values()), 3)

    @property
    def memory_gb(self) -> float:
        """Memory of the group."""
        return round(sum(c.memory_gb or 0.0 for c in self.containers.values()), 3)

    @property
    def auth_enabled(self) -> bool:
        """Whether the front end asks for a key."""
        return FRONTEND in self.containers and PRIMARY_KEY in self.containers[FRONTEND].environment

    @property
    def tls_enabled(self) -> bool:
        """Whether the front end serves TLS."""
        return FRONTEND in self.containers and TLS_CERT in self.containers[FRONTEND].environment

    @property
    def user_environment(self) -> dict[str, str]:
        """The variables that the user gave."""
        return {
            name: value or "" for name, value in self.scoring.environment.items() if name not in RESERVED_ENVIRONMENT
        }

    @property
    def user_tags(self) -> dict[str, str]:
        """The tags that are not Windtunnel's own."""
        return {name: value for name, value in self.tags.items() if not name.startswith(TAG)}

    @property
    def base_uri(self) -> str | None:
        """``http[s]://host[:port]``; None as long as the group has no address."""
        host = self.tags.get(TAG_CNAME) if self.tls_enabled else None
        host = host or self.fqdn or self.ip
        if host is None or self.port is None:
            return None
        scheme, usual = ("https", 443) if self.tls_enabled else ("http", 80)
        return f"{scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    @property
    def replicas(self) -> int:
        """A container group has one of everything."""
        return 1

    @property
    def scoring_uri(self) -> str | None:
        """Where predictions are asked for; None as long as the group has no address."""
        return f"{self.base_uri}/score" if self.base_uri else None

    @property
    def swagger_uri(self) -> str | None:
        """Where the service describes itself."""
        return f"{self.base_uri}/swagger.json" if self.base_uri else None

    def deployment(self, *, answers: bool, now: datetime) -> Deployment:
        """The service; ``answers`` says whether the scoring server answers."""
        state, error = self._state(answers=answers, now=now)
        return Deployment(
            name=self.name,
            target=self.target,
            id=self.id,
            state=state,
            error=error,
            scoring_uri=self.scoring_uri,
            swagger_uri=self.swagger_uri,
            auth_enabled=self.auth_enabled,
            tls_enabled=self.tls_enabled,
            tags=self.user_tags,
            owner=self.tags.get(TAG_OWNER),
            created=self.created,
            expires=expiry_of(self.tags),
            model_name=self.tags.get(TAG_MODEL),
            model_digest=self.tags.get(TAG_DIGEST),
            image=self.scoring.image,
            location=self.location,
            cpu=self.cpu,
            memory_gb=self.memory_gb,
            restarts=self.scoring.restarts,
            replicas=self.replicas,
        )

    def _state(self, *, answers: bool, now: datetime) -> tuple[ServiceState, str | None]:
        if self.provisioning.lower() not in _TERMINAL:
            return ServiceState.TRANSITIONING, None
        if self.provisioning.lower() != "succeeded":
            return ServiceState.FAILED, self._warning() or f"provisioning ended as {self.provisioning}"
        if self.state == "Stopped":
            return ServiceState.UNHEALTHY, "the container group is stopped"
        if answers:
            return ServiceState.HEALTHY, None
        for container in self.containers.values():
            if container.crashed:
                return ServiceState.FAILED, _crash(container)
        if self.scoring.state == "Terminated":
            return ServiceState.FAILED, "the scoring server ended by itself"
        if (warning := self._warning()) is not None and self.scoring.state == "Waiting":
            return ServiceState.UNHEALTHY, warning
        started = self.scoring.started
        if started is not None and (now - started).total_seconds() > STARTING_S:
            return ServiceState.UNHEALTHY, "the containers run, but the endpoint does not answer"
        return ServiceState.TRANSITIONING, None

    def _warning(self) -> str | None:
        return next((c.warnings[-1] for c in self.containers.values() if c.warnings), None)


def _crash(container: ContainerView) -> str:
    what = f"container {container.name!r} has crashed"
    code = f" with exit code {container.exit_code}" if container.exit_code is not None else ""
    why = container.detail or container.past_detail
    detail = f" ({why})" if why not in ("", "Error") else ""
    hint = " Did your init method fail?" if container.name == SCORING and container.exit_code == 3 else ""
    return f"Error: {what}{code}{detail}.{hint}"


def _time(value: Json) -> datetime | None:
    try:
        time = datetime.fromisoformat(as_str(value))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
