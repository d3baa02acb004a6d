"""What a resource provider is: a frozen value that a folder exports as ``PROVIDER``.

ARM's division of labour: the front door authenticates, parses the id, checks the api-version and the resource group,
keeps the resource and its operation in one transaction, and runs the long-running protocol. The provider says what a
body must look like (``put``), what an answer looks like (``view``) and what creating one does (``works``).

``S`` is the provider's service: one object per emulator process that ``service(world)`` makes, which owns what is not
in the store (child processes, sockets). It is rebuilt from the store at each start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.arm.errors import ArmError
    from windtunnel_emulators.arm.ids import ResourceId
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, from a checked token."""

    tenant: str
    object_id: str
    app_id: str
    name: str
    kind: str
    """``User``, ``Application`` or ``ManagedIdentity``: what ``systemData`` calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, as a provider sees it: the id is parsed, the caller known, the body JSON."""

    method: str
    subscription: str
    group: str | None
    id: ResourceId | None
    """The resource asked for; for an action, the resource it acts on; None for a call on a subscription."""
    parameters: Mapping[str, str]
    """What the ``{placeholders}`` of an action's path stood for."""
    api_version: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Json
    caller: Caller
    base_url: str
    """Scheme, host and port that the client used, without a slash at the end: every link starts with it."""
    now: datetime
    group_location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as the store keeps it. The JSON is never changed in place."""

    id: ResourceId
    location: str | None
    tags: Mapping[str, str] | None
    properties: JsonObject
    """As ``put`` made it; what may not be answered belongs in ``secrets``."""
    envelope: JsonObject = field(default_factory=dict[str, "Json"])
    """Further top-level fields: ``sku``, ``identity``, ``zones``, ``kind``, ``systemData`` ..."""
    secrets: JsonObject = field(default_factory=dict[str, "Json"])
    """What is kept and never answered: secure values, keys."""
    state: JsonObject = field(default_factory=dict[str, "Json"])
    """What the provider's service found out and wants back after a restart."""
    etag: str = ""
    busy: str | None = None
    """The verb that is at work on it now."""


class View(Enum):
    """Which answer a resource is shown in; Azure's differ."""

    GET = "get"
    PUT = "put"
    """The answer to PUT or PATCH."""
    LIST = "list"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a PUT or PATCH makes: the new resource, the status, and the work that it starts."""

    resource: Resource
    status: int
    work: str | None = None
    """A verb of ``ResourceType.works``; None when nothing is left to do."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent with the answer, besides ARM's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a DELETE makes."""

    status: int
    show: bool = False
    """Answer with the resource as it was (``View.DELETE``)."""
    work: str | None = None
    """A verb of ``works`` that frees what the resource held."""
    at_once: bool = True
    """The resource is gone with the answer, and the work runs behind it; else it is there until the work is done."""
    announce: bool = False
    """Whether the answer carries the links of long-running work."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Sent with the answer, besides ARM's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an action answers."""

    status: int
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    resource: Resource | None = None
    """The resource that the action acted on, changed, or a new one that it made; None leaves the store alone."""
    work: str | None = None
    """A verb of ``works`` to run on ``resource`` (or, without one, on the resource that the action acts on)."""
    announce: bool = False
    """Whether the answer carries the links of the work whatever its status; without it, answers of 201 and 202 do."""


class Operation(Protocol):
    """A stored piece of long-running work, as a provider sees it."""

    @property
    def id(self) -> str: ...
    @property
    def target_id(self) -> str:
        """The id of the resource it works on, as it is printed; the resource may be gone."""
        ...

    @property
    def verb(self) -> str: ...
    @property
    def status(self) -> str:
        """``InProgress``, ``Succeeded``, ``Failed`` or ``Canceled``."""
        ...

    @property
    def started(self) -> datetime: ...
    @property
    def ended(self) -> datetime | None: ...
    @property
    def error(self) -> JsonObject | None: ...


class Service(Protocol):
    """What a provider keeps beside the store."""

    async def start(self) -> None:
        """Take up what the store says is there; called once, before the first request."""
        ...

    async def stop(self) -> None:
        """Let go of everything; what the store says stays."""
        ...


S = TypeVar("S")

Put = Callable[[Call, Resource | None, S], Change]
"""Check the body against what is there; raise ``ArmError``. Must not wait."""
Delete = Callable[[Call, Resource, S], Removal]
Act = Callable[[Call, Resource | None, S], Awaitable[Reply]]
Show = Callable[[Resource, S, View], "JsonObject"]
Work = Callable[[Resource, S], Awaitable[Resource]]
"""Bring the world in line with a resource and return it as it is now; safe to run twice.
A raised ``ArmError`` ends the operation as Failed with its code; the resource keeps what ``failed`` makes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(Generic[S]):
    """Something below a resource, a type or a subscription that is no resource: ``stop``, ``containers/{c}/logs``."""

    method: str
    path: str
    """Below the resource (or below ``providers/{namespace}``): segments, ``{name}`` stands for any one of them."""
    act: Act[S]
    needs_resource: bool = True
    """404 when the resource is not there."""
    refuse_busy: bool = False
    """Answer ``ResourceType.busy`` while other work is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """How a type announces long-running work. Azure's providers differ; these are its recorded ways."""

    path: str = "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operations/{operation}"
    """``{resource}`` is the resource's id."""
    api_version: str | None = None
    """What the link asks for; None repeats the caller's."""
    in_progress: str = "InProgress"
    """The word for work that goes on."""
    location: bool = False
    """Whether POST and DELETE answers also carry ``Location`` (``operationResults`` in place of ``operations``)."""
    retry_after_s: int | None = None
    """What Azure tells its clients to wait between polls; None for types that tell them nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType(Generic[S]):
    """One type of a provider."""

    name: str
    """Below the namespace: ``containerGroups``, ``registries/tasks``."""
    api_versions: tuple[str, ...]
    """Every published one, newest last."""
    locations: tuple[str, ...]
    """Display names, as in ``West US 2``; empty for a type without a place."""
    view: Show[S]
    put: Put[S] | None = None
    patch: Put[S] | None = None
    delete: Delete[S] | None = None
    absent_delete_status: int = 204
    """What DELETE answers for a resource that is not there (in a group that is): 204, or 404 ``ResourceNotFound``."""
    works: Mapping[str, Work[S]] = field(default_factory=dict[str, "Work[S]"])
    failed: Callable[[Resource, ArmError], Resource] | None = None
    """The resource after its work failed, as a rule with ``provisioningState`` Failed."""
    actions: tuple[Action[S], ...] = ()
    collection_actions: tuple[Action[S], ...] = ()
    """Actions on the collection, as in ``registries/{r}/listUsages`` without a resource of their own."""
    select: Callable[[Call, Sequence[Resource], S], Sequence[Resource]] | None = None
    """Which resources of a collection a list shows, and in which order, by its query (``$filter``, ``$top``); None
    for all, by id. May raise ``ArmError``."""
    links: Links = field(default_factory=Links)
    operation_view: Callable[[Operation, Resource | None, S], JsonObject] | None = None
    """The body of a poll; None for ARM's own."""
    busy: Callable[[Resource, Call], ArmError | None] | None = None
    """The refusal of a second change while one is going on; None for ARM's own 409. One that returns None for a
    DELETE lets it through: the work in progress is then cancelled."""
    tracked: bool = True
    """Whether it has a location and tags and is listed in ``/resources``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(Generic[S]):
    """A namespace: its types, what it answers under a subscription, and how its service is made."""

    namespace: str
    types: tuple[ResourceType[S], ...]
    service: Callable[[World], S]
    actions: tuple[Action[S], ...] = ()
    """Below ``/subscriptions/{s}/providers/{namespace}`` (``operations``: below ``/providers/{namespace}`` too)."""


# What the front door handles: it passes each provider's own service back to it and never looks inside.
AnyProvider = Provider[Any]
AnyType = ResourceType[Any]
AnyAction = Action[Any]
