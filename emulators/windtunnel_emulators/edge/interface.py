"""The seams between the parts of an edge device: routing, queues, the local hub, and the cloud upstream.

EdgeProblem
+-- Unreachable      the cloud cannot be reached now; what failed may be tried again
+-- Refused          the cloud's answer is no, and will stay no
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.iot.hub.topics import Feed
    from windtunnel_emulators.jsontypes import JsonObject

UPSTREAM = "$upstream"
"""The name of the endpoint that is the hub in the cloud; a module's input is ``MODULE/INPUT``."""
DEFAULT_PRIORITY = 2_000_000_000
"""Of a route that names none: behind all others (edge-hub, ``RouteFactory``)."""


class EdgeProblem(Exception):
    """Anything that a part of an edge device could not do; the message is a sentence."""


class Unreachable(EdgeProblem):
    """The cloud cannot be reached: the link is cut, the hub is away, or it does not answer in time."""


class Refused(EdgeProblem):
    """The cloud has answered, and refuses. ``status`` is its HTTP-like status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Kind(Enum):
    """What a message is about."""

    TELEMETRY = "telemetry"
    TWIN_CHANGE = "twinChangeNotification"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message on its way through the edge. Where it came from is part of it for ever."""

    sender: Who
    output: str | None = None
    """Of a module: the output that it was sent to."""
    kind: Kind = Kind.TELEMETRY
    bag: str = ""
    """Its properties as they came, encoded (``iot.hub.bags``), without the output."""
    body: bytes = b""
    enqueued: float
    """Seconds since 1970, when the edge took it: ages are counted from here, by the wall clock."""

    @property
    def source(self) -> str:
        """What routes match: ``/messages/modules/{m}/outputs/{o}``, ``/messages`` of a device ..."""
        if self.kind is Kind.TWIN_CHANGE:
            return "/twinChangeNotifications"
        if not self.sender.module:
            return "/messages"
        base = f"/messages/modules/{self.sender.module}"
        return f"{base}/outputs/{self.output}" if self.output else base


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one copy of a message goes: one per distinct endpoint."""

    endpoint: str
    """``$upstream`` or ``MODULE/INPUT``."""
    priority: int = DEFAULT_PRIORITY
    ttl: float | None = None
    """Seconds from ``Message.enqueued``; None for no limit."""


class Router(Protocol):
    """The routes of the current deployment."""

    def targets(self, message: Message) -> Sequence[Target]:
        """Empty for a message that no route wants."""
        ...


class Outcome(Enum):
    """What became of one message of a batch."""

    DONE = "done"
    RETRY = "retry"
    """It, and all behind it in the batch, are sent again."""
    DROP = "drop"
    """It can never be delivered; the sink has logged why."""


class Sink(Protocol):
    """Where an endpoint's messages end. One per endpoint, called by one pump."""

    @property
    def batch(self) -> int:
        """The most messages that one ``send`` takes."""
        ...

    async def ready(self) -> None:
        """Returns once something can be delivered: a module is connected and has subscribed, the cloud is reachable."""
        ...

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        """One outcome per message, in order. Never raises for a peer that went away: that is ``RETRY``."""
        ...


class Queues(Protocol):
    """Store and forward: durable, in order per endpoint and priority, at least once."""

    def append(self, message: Message, targets: Sequence[Target], taken: Callable[[], None]) -> None:
        """Store a message soon; ``taken`` is called once it is safe on disk, or at once where there is no target."""
        ...

    def attach(self, endpoint: str, sink: Sink) -> None:
        """Begin to deliver what an endpoint has, and will have, to ``sink``; a second call replaces the sink."""
        ...

    def depths(self) -> dict[str, int]:
        """How many messages wait, by endpoint."""
        ...


class CloudListener(Protocol):
    """The local hub, as the cloud tells it things."""

    def reachable(self) -> None:
        """The cloud is there (again)."""
        ...

    def unreachable(self) -> None: ...
    def identities_changed(self) -> None:
        """Devices or modules in the edge's scope were added, changed or removed."""
        ...

    def desired(self, who: Who, patch: JsonObject) -> None:
        """A patch of desired properties, with its ``$version``."""
        ...

    async def method(self, who: Who, name: str, payload: bytes) -> tuple[int, bytes]:
        """Call a local client; returns its status and payload. Raises ``Unreachable`` for one that does not answer."""
        ...

    async def command(self, who: Who, bag: str, body: bytes) -> None:
        """Give a device a message from the cloud; returns once the device has it. Raises ``Unreachable``."""
        ...


class Cloud(Protocol):
    """The hub in the cloud, for all identities behind this edge. Each has a connection of its own upstream."""

    @property
    def is_reachable(self) -> bool: ...
    def listen(self, listener: CloudListener) -> None: ...
    def attend(self, who: Who, feeds: frozenset[Feed]) -> None:
        """A local client is connected and takes these feeds: what the cloud has for it is wanted."""
        ...

    def leave(self, who: Who) -> None:
        """A local client is gone."""
        ...

    async def send(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        """Messages of any senders, in order per sender; returns once the cloud has acknowledged what it took."""
        ...

    async def twin(self, who: Who) -> JsonObject:
        """``{"desired": {..., "$version": n}, "reported": {...}}``. Raises ``Unreachable``, ``Refused``."""
        ...

    async def report(self, who: Who, patch: JsonObject) -> int:
        """Patch reported properties; returns their version. Raises ``Unreachable``, ``Refused``."""
        ...
