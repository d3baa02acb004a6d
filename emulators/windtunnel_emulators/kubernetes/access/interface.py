"""The seam between the embedded API server and what decides for it: who asks, whether they may, what becomes of it.

The server asks in this order: ``authenticate``, ``authorize``, then for writes ``mutate`` (before validation) and
``validate`` (after it; nothing may be awaited between it and the write, so that quotas hold). ``admit`` is both at
once, for deletions. What has a way of its own (``pods/binding``, ``serviceaccounts/token``, access reviews) is found
by ``special``; ``part`` says what an update by a subresource may change (``pods/resize``). A failure is a
``StatusError``; ``api.failures`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.storage import Storage
    from windtunnel_emulators.kubernetes.client.interface import Kind

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = "system:anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """More that is known of them, by key, in order."""

    def json(self) -> JsonObject:
        """As reviews and webhooks have it (``UserInfo``)."""
        found: JsonObject = {"username": self.name}
        if self.uid:
            found["uid"] = self.uid
        if self.groups:
            found["groups"] = list(self.groups)
        if self.extra:
            found["extra"] = {key: list(values) for key, values in self.extra}
        return found


SERVER = User(name="system:apiserver", groups=(MASTERS, AUTHENTICATED))
"""The server itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked, as authorization sees it: a resource, or else a path."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    """The plural; empty for a path that is no resource's."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    selector: str = ""
    """The field selector of a list or watch: a node lists its own pods only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``reason`` follows the message of a refusal after a colon, when there is one."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A write, as admission sees it."""

    kind: Kind
    subresource: str
    namespace: str
    name: str
    operation: str
    """``CREATE``, ``UPDATE``, ``DELETE`` or ``CONNECT``."""
    object: JsonObject | None
    """The next state; None for a deletion."""
    old: JsonObject | None
    user: User
    dry_run: bool = False
    options: JsonObject = field(default_factory=dict[str, "Json"])
    """``CreateOptions`` and the like, for webhooks and policies."""
    warnings: list[str] = field(default_factory=list[str], compare=False)
    """Admission adds what the client is to be warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialRequest:
    """A request that a ``SpecialSubresource`` carries out; it has been authorized."""

    user: User
    verb: str
    group: str
    namespace: str
    name: str
    """Of the object in the path; empty for a collection."""
    body: JsonObject
    """Decoded; of the subresource's own kind."""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list[str], compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialReply:
    """The object to answer with."""

    object: JsonObject
    code: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialSubresource:
    """A resource or subresource that does something instead of keeping what it is sent.

    ``handle`` does its own admission and writing. Raises ``StatusError``.
    """

    group: str
    resource: str
    subresource: str
    """Empty for a resource of its own that is never kept: access reviews, ``bindings``."""
    verbs: frozenset[str]
    handle: Callable[[SpecialRequest], Awaitable[SpecialReply]]


class Access(Protocol):
    """What decides for one cluster."""

    async def start(self, storage: Storage, registry: Registry) -> None:
        """After the server has made its own first objects and before the first request: makes roles and the like.

        The server's own requests before it are ``server()``'s.
        """
        ...

    async def stop(self) -> None:
        """End what runs for it."""
        ...

    def server(self) -> User:
        """The server itself, which may everything."""
        ...

    async def authenticate(self, headers: Mapping[str, str], peer: bytes | None) -> User:
        """Who made a request, by its headers (names in lower case) and the DER of its verified client certificate.

        Impersonation is done here too. Raises ``StatusError`` 401, and 403 for impersonating without permission.
        """
        ...

    def authorize(self, user: User, attributes: Attributes) -> Decision:
        """Whether ``user`` may."""
        ...

    async def mutate(self, admission: Admission) -> JsonObject:
        """The object as mutating admission and allocation leave it. Raises ``StatusError``."""
        ...

    async def validate(self, admission: Admission) -> None:
        """Refuse what validating admission refuses. Raises ``StatusError``."""
        ...

    async def admit(self, admission: Admission) -> JsonObject | None:
        """Both; None for a deletion."""
        ...

    def special(self, group: str, resource: str, subresource: str) -> SpecialSubresource | None:
        """What carries out requests to it; None for what is merely kept."""
        ...

    def part(
        self, group: str, resource: str, subresource: str
    ) -> Callable[[JsonObject, JsonObject], JsonObject] | None:
        """What updates by a subresource change; None where the server knows it itself (``status``, ``scale``)."""
        ...

    def document(self, path: str) -> JsonObject | None:
        """The issuer's documents (``/.well-known/openid-configuration``, ``/openid/v1/jwks``), else None."""
        ...
