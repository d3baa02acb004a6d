"""What a group of containers is asked to be: the frozen plan that the supervisor carries out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.runtime.interface import Credentials, Mount


class RestartPolicy(StrEnum):
    """When a container that ended is started again."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class PullPolicy(StrEnum):
    """When an image is pulled that has been pulled before."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecAction:
    """Healthy when the command ends with 0 in the container."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAction:
    """Healthy when a GET answers 200 to 399."""

    port: int
    path: str = "/"
    scheme: str = "http"
    """``http`` or ``https`` (the certificate is not checked, as no kubelet does)."""
    headers: tuple[tuple[str, str], ...] = ()
    host: str | None = None
    """Where to ask; None for the group itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAction:
    """Healthy when the port takes a connection."""

    port: int
    host: str | None = None
    """Where to ask; None for the group itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcAction:
    """Healthy when the gRPC health service (grpc.health.v1) says SERVING."""

    port: int
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepAction:
    """Only time passes: for the hooks of a container's life."""

    seconds: float


ProbeAction: TypeAlias = "ExecAction | HttpAction | TcpAction | GrpcAction | SleepAction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A repeated question to a container; the defaults are those of ACI and Kubernetes."""

    action: ProbeAction
    initial_delay_s: float = 0
    period_s: float = 10
    timeout_s: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    grace_s: float | None = None
    """Between SIGTERM and SIGKILL when it has the container ended; None for the group's."""
    eager: bool = False
    """Asked more often in the first period, until it passes: what fails then is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """One container of a group."""

    name: str
    """Unique in its group, init containers included; a DNS label, as it names a file."""
    image: str
    command: tuple[str, ...] = ()
    """Replaces the image's entry point and command."""
    arguments: tuple[str, ...] = ()
    """Replaces only the image's command."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    working_directory: str | None = None
    ports: tuple[int, ...] = ()
    cpu: float | None = None
    memory_bytes: int | None = None
    mounts: tuple[Mount, ...] = ()
    liveness: Probe | None = None
    readiness: Probe | None = None
    startup: Probe | None = None
    post_start: ProbeAction | None = None
    """Carried out when it has started; it ends if that fails."""
    pre_stop: ProbeAction | None = None
    """Carried out before it is ended, within the grace."""
    pull: PullPolicy = PullPolicy.ALWAYS
    sidecar: bool = False
    """An init container that goes on running: the next begins when it has started, and it ends after the containers."""
    takes_input: bool = False
    terminal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """A group of containers that live and end together at one address."""

    owner: str
    """What the group is, unique in the runtime: it keeps the address, and messages name it."""
    containers: tuple[ContainerPlan, ...]
    init_containers: tuple[ContainerPlan, ...] = ()
    """Run one after the other before the containers; each must end with 0."""
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    credentials: tuple[Credentials, ...] = ()
    pull_attempts: int | None = None
    """How often an image is tried before the group fails for good; None tries for ever, with a growing back-off."""
    grace_s: float = 30.0
    """Between SIGTERM and SIGKILL when a probe has a container killed."""

    hostname: str | None = None
    """What its containers are told that their machine is called; None for names of their own."""

    @property
    def ports(self) -> tuple[int, ...]:
        """All that its containers listen on or are probed at."""
        containers = (*self.init_containers, *self.containers)
        probes = [p for c in containers for p in (c.liveness, c.readiness, c.startup) if p is not None]
        probed = [p.action.port for p in probes if isinstance(p.action, HttpAction | TcpAction | GrpcAction)]
        return tuple(sorted({*probed, *(port for container in containers for port in container.ports)}))
