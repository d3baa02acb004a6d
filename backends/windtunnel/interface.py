"""The interface: what can be deployed where (values), and ``Backend``, which third parties implement.

Methods block and need no event loop; what takes long returns an ``Operation``. Errors: ``windtunnel.errors``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar
from typing import Protocol as TypingProtocol

from windtunnel.errors import Unsupported
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from windtunnel.profiles import Profile
    from windtunnel.spec import Change, Spec

T_co = TypeVar("T_co", covariant=True)


class Capability(StrEnum):
    """What a backend may offer on a target."""

    PREDICT = "predict"
    """Answers predictions at a scoring URI."""
    HTTP = "http"
    """Over HTTP, with Azure ML's paths, statuses and headers, and a description (swagger.json)."""
    SCRIPT = "script"
    """Runs a user's ``score.py`` and its requirements."""
    KEYS = "keys"
    """Key authentication: two keys, either valid, regenerated one at a time."""
    TOKENS = "tokens"
    """Authentication by tokens that expire."""
    TLS = "tls"
    """HTTPS with the user's certificate."""
    UPDATE = "update"
    """Changes model, script, environment, tags or authentication of a running service."""
    RESIZE = "resize"
    """Changes cores and memory of a running service."""
    LOGS = "logs"
    """The service's own output."""
    DNS_LABEL = "dns-label"
    """A host name of the user's choice."""
    QUOTA = "quota"
    """Refuses the deployment that would exceed a stated number of services."""
    SCALE = "scale"
    """More than one replica, set by hand."""
    AUTOSCALE = "autoscale"
    """Replicas that follow the load."""
    APP_INSIGHTS = "app-insights"
    """Request telemetry in Application Insights."""
    DATA_COLLECTION = "data-collection"
    """Inputs and predictions kept in blob storage."""
    CLUSTER = "cluster"
    """Services share a cluster that is made once."""
    VERSIONS = "versions"
    """Versions of a service side by side, with a part of the requests each."""
    GRPC = "grpc"
    """Predictions by gRPC, as TensorFlow Serving's."""
    MESSAGES = "messages"
    """Messages to score come in by routes, answers go out as messages, and are read at the hub."""
    OFFLINE = "offline"
    """Goes on while the cloud is out of reach, and delivers later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a backend offers on one target, and why it withholds the rest."""

    can: frozenset[Capability] = frozenset()
    cannot: Mapping[Capability, str] = field(default_factory=lambda: MappingProxyType({}))
    note: str = ""
    """What else one should know before one chooses it."""

    def reason(self, capability: Capability) -> str | None:
        """Why the capability is withheld; None when it is offered."""
        if capability in self.can:
            return None
        return self.cannot.get(capability, "the backend does not say why")

    def why_not(self, needed: Iterable[Capability]) -> str | None:
        """The first needed capability that is withheld, with its reason; None when all are offered."""
        for capability in sorted(needed):
            if (reason := self.reason(capability)) is not None:
                return f"{capability}: {reason}"
        return None


class ServiceState(StrEnum):
    """Azure ML's five states. ``Failed`` is final; ``Healthy`` means that the endpoint answers."""

    TRANSITIONING = "Transitioning"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    UNSCHEDULABLE = "Unschedulable"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A service as it is now."""

    name: str
    target: Target
    state: ServiceState
    id: str | None = None
    """The platform's own id of it: on Azure the resource id."""
    scoring_uri: str | None = None
    swagger_uri: str | None = None
    error: str | None = None
    """Why it is not healthy, in the platform's words."""
    auth_enabled: bool = False
    tls_enabled: bool = False
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The user's own tags."""
    owner: str | None = None
    created: datetime | None = None
    expires: datetime | None = None
    model_name: str | None = None
    model_digest: str | None = None
    image: str | None = None
    location: str | None = None
    cpu: float | None = None
    memory_gb: float | None = None
    restarts: int = 0
    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Two keys, either valid. Never shown by ``repr``."""

    primary: str = field(repr=False)
    secondary: str = field(repr=False)


class KeyName(StrEnum):
    """Which of the two keys."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token for scoring, and when to ask for the next."""

    value: str = field(repr=False)
    refresh_after: datetime
    expires: datetime


class Protocol(StrEnum):
    """What a scoring URI is spoken to in."""

    HTTP = "http"
    GRPC = "grpc"
    METHOD = "method"
    """A direct method, by the API of an IoT hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How a client reaches a service."""

    scoring_uri: str
    swagger_uri: str
    """Empty where there is none."""
    key: str | None = field(default=None, repr=False)
    """Of ``METHOD``: the hub's token."""
    address: str | None = None
    """Connect here rather than to what the host of the URI resolves to: a new name takes minutes to spread."""
    certificate: str | None = field(default=None, repr=False)
    """PEM to trust besides the public authorities: what the service was given to serve with."""
    protocol: Protocol = Protocol.HTTP
    service: str | None = None
    """The service's name, where its clients send it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One line about work that takes long: what is being done, or a line of somebody's log."""

    step: str
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One message that has arrived at an IoT hub."""

    device: str
    module: str
    """Empty for a message of the device itself."""
    body: bytes
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The sender's own."""
    system: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The hub's and the standard ones: ``correlation-id``, ``content-type`` ..."""
    enqueued: datetime
    partition: str
    sequence: int


class EventReading(TypingProtocol):
    """Events as they come, in order per partition."""

    def events(self, *, limit_s: float | None = None, idle_s: float | None = None) -> Iterator[Event]:
        """Until so much time has passed, or so much without a message. Raises ``ServiceError``."""
        ...


class Link(TypingProtocol):
    """The link of a device to its cloud. Raises ``EmulatorsFailed`` when the device does not answer."""

    def cut(self) -> object:
        """Take the cloud away from the device."""
        ...

    def restore(self) -> object:
        """Give it back."""
        ...

    def waiting(self) -> int:
        """How many messages for the cloud the device stores."""
        ...


class ClusterView(TypingProtocol):
    """A cluster as it is now."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class ClusterOperations(TypingProtocol):
    """The cluster that a profile's services share."""

    def require(self, name: str | None = None) -> ClusterView:
        """The profile's cluster, or the one of that name. Raises ``NotFound``."""
        ...

    def delete(self, name: str) -> Operation[bool]:
        """With all that runs on it; the result is False when there was none."""
        ...


class Operation(ABC, Generic[T_co]):
    """Work that goes on by itself. All methods may be called from any thread, any number of times."""

    @abstractmethod
    def done(self) -> bool:
        """Whether it ended, well or not."""

    @abstractmethod
    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; False when the time is over first."""

    @abstractmethod
    def result(self, timeout_s: float | None = None) -> T_co:
        """What came of it. Raises what it raised, ``Timeout`` when the time is over first (the work goes on)."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask it to stop at the next safe point; ``result`` then raises ``Cancelled``, unless it was already over."""


class Backend(ABC):
    """A place where models are deployed.

    What a backend withholds it refuses with ``Unsupported`` and the reason of its offer; methods whose capability
    nobody need have (``scale``, ``token``) do so by themselves.
    """

    name: ClassVar[str]
    offers: ClassVar[Mapping[Target, Offer]]
    """Readable without credentials or network."""

    @classmethod
    @abstractmethod
    def connect(cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None) -> Self:
        """Make one from settings. Raises ``NotConfigured``, and ``MissingExtra`` for a package that is not there."""

    @classmethod
    def prepare(cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None) -> None:
        """Make ready what ``connect`` needs on this machine; for most backends that is nothing."""
        return

    @abstractmethod
    def deploy(self, spec: Spec) -> Operation[Deployment]:
        """Ends when the platform has taken the service in; it may still be ``Transitioning``.

        Raises at once ``InvalidSpec``, ``ModelError`` and ``Unsupported``; the operation raises ``AlreadyExists``
        (unless ``spec.overwrite``), ``QuotaExceeded``, ``Conflict``, ``BuildFailed`` and ``ServiceError``.
        """

    @abstractmethod
    def update(self, target: Target, name: str, change: Change) -> Operation[Deployment]:
        """Raises ``NotFound``, ``InvalidSpec`` for an empty change, ``Unsupported`` for what cannot be changed."""

    @abstractmethod
    def get(self, target: Target, name: str) -> Deployment:
        """Raises ``NotFound`` when there is none."""

    @abstractmethod
    def list_services(self, target: Target) -> Sequence[Deployment]:
        """All services of the target that Windtunnel made, by name."""

    @abstractmethod
    def delete(self, target: Target, name: str) -> Operation[bool]:
        """The result is False when there was none."""

    @abstractmethod
    def logs(self, target: Target, name: str, *, tail: int = 5000) -> str:
        """The last lines of the service's output. Raises ``NotFound``."""

    @abstractmethod
    def endpoint(self, target: Target, name: str) -> Endpoint:
        """Raises ``NotFound``, and ``ScoringFailed`` when there is no scoring URI yet."""

    @abstractmethod
    def keys(self, target: Target, name: str) -> Keys:
        """Raises ``NotFound``, and ``InvalidSpec`` when authentication is off."""

    @abstractmethod
    def regenerate_key(self, target: Target, name: str, which: KeyName, value: str | None = None) -> Operation[Keys]:
        """The other key stays valid throughout."""

    def scale(self, target: Target, name: str, replicas: int) -> Operation[Deployment]:
        """Set the number of replicas."""
        raise self.refusal(target, Capability.SCALE)

    def token(self, target: Target, name: str) -> Token:
        """A token for scoring."""
        raise self.refusal(target, Capability.TOKENS)

    def collected(self, target: Target, name: str) -> Mapping[str, bytes]:
        """The inputs and predictions that a service has collected: CSV by path."""
        raise self.refusal(target, Capability.DATA_COLLECTION)

    def events(
        self, target: Target, *, hub: str | None = None, since: datetime | None = None, group: str = "$Default"
    ) -> AbstractContextManager[EventReading]:
        """What devices send to a hub (the profile's, unless one is named): from a time on, or all that it has, and
        what comes while the block lasts, as one consumer group reads it. Raises ``NotFound``."""
        raise self.refusal(target, Capability.MESSAGES)

    def link(self, target: Target, name: str) -> Link:
        """That of the device of a service to its cloud. Raises ``NotFound``."""
        raise self.refusal(target, Capability.OFFLINE)

    @property
    def clusters(self) -> ClusterOperations:
        """The cluster that services share."""
        raise self.refusal(Target.AKS, Capability.CLUSTER)

    @abstractmethod
    def close(self) -> None:
        """Release connections; the services stay."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def offer(self, target: Target) -> Offer:
        """The offer for a target; one of nothing when the backend does not serve it."""
        return self.offers.get(target, Offer(cannot={c: "the backend does not serve this target" for c in Capability}))

    def refusal(self, target: Target, capability: Capability) -> Unsupported:
        """The error to raise for a capability that is withheld."""
        reason = self.offer(target).reason(capability) or "not implemented although it is offered"
        return Unsupported(backend=self.name, target=target, capability=capability, reason=reason)

    def require(self, target: Target, needed: Iterable[Capability]) -> None:
        """Raises ``Unsupported`` for the first needed capability that is withheld."""
        offer = self.offer(target)
        for capability in sorted(needed):
            if offer.reason(capability) is not None:
                raise self.refusal(target, capability)
