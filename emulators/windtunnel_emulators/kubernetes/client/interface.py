"""The seam between an API server and its clients: node agent, scheduler, controllers and proxies use this alone.

``HttpClient`` speaks it to any API server over TLS, ``DirectClient`` to the embedded one in this process. Both go
through the same authentication, authorization, admission and validation.

KubernetesProblem
+-- StatusError      the API answered with a failure (its ``Status``)
+-- Unreachable      the API did not answer
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class KubernetesProblem(Exception):
    """Anything that kept a request from being carried out."""


class StatusError(KubernetesProblem):
    """The API refused: ``code`` is the HTTP status, ``reason`` the machine's word for it (``Conflict``, ``Gone``)."""

    def __init__(self, status: JsonObject) -> None:
        super().__init__(str(status.get("message", "")))
        self.status = status
        code, reason = status.get("code"), status.get("reason")
        self.code = code if isinstance(code, int) else 500
        self.reason = reason if isinstance(reason, str) else ""


class Unreachable(KubernetesProblem):
    """No answer: the connection failed or broke off. What was asked may have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Where the objects of one kind are found."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    name: str
    """``Pod``."""
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects say it: ``v1``, ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of a collection (all namespaces when none is given), an object or a subresource of it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}" + "".join(f"/{part}" for part in (name, subresource) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One line of a watch."""

    type: str
    """``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``; an ``ERROR`` is raised as ``StatusError`` instead."""
    object: JsonObject = field(repr=False)


class Client(Protocol):
    """A client of one API server, under one identity. The JSON it returns belongs to the caller's reading only:
    it may be shared with others and is never changed in place."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json = None,
        content_type: str = "application/json",
    ) -> JsonObject:
        """The parsed answer of a 2xx. Raises ``StatusError`` and ``Unreachable``."""
        ...

    def watch(self, path: str, *, query: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        """The events of a collection; ``watch=1`` is added. Ends when the server ends it (as it does by its
        ``timeoutSeconds``); raises ``StatusError`` (410 ``Expired`` for a version that is too old), ``Unreachable``."""
        ...

    async def close(self) -> None: ...


class Component(Protocol):
    """What works behind an API, as a client of it: started once, stopped once, within seconds."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
