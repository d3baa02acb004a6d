"""Objects of an API by their kind: the verbs, with what each answer means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import (
    APPLY_PATCH,
    MERGE_PATCH,
    Client,
    Kind,
    StatusError,
)
from windtunnel_emulators.kubernetes.client.meta import entries, name_of, namespace_of, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

_PAGE = "500"


def not_found(failure: StatusError) -> bool:
    return failure.code == 404


def conflict(failure: StatusError) -> bool:
    """A stale write, as opposed to a name that is taken."""
    return failure.code == 409 and failure.reason == "Conflict"


def already_exists(failure: StatusError) -> bool:
    return failure.code == 409 and failure.reason == "AlreadyExists"


class Objects:
    """The verbs on ``client``. All raise ``StatusError`` and ``Unreachable``."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def get(self, kind: Kind, namespace: str | None, name: str) -> JsonObject:
        return await self.client.request("GET", kind.path(namespace, name))

    async def find(self, kind: Kind, namespace: str | None, name: str) -> JsonObject | None:
        """The object, or None where there is none of that name."""
        try:
            return await self.get(kind, namespace, name)
        except StatusError as failure:
            if not_found(failure):
                return None
            raise

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> list[JsonObject]:
        """All objects of the kind, fetched in pages; each says its own kind and apiVersion."""
        query = {"limit": _PAGE}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        found: list[JsonObject] = []
        while True:
            page = await self.client.request("GET", kind.path(namespace), query=query)
            found += [typed(each, kind) for each in entries(page, "items")]
            following = text(page, "metadata", "continue")
            if not following:
                return found
            query["continue"] = following

    async def create(self, kind: Kind, obj: JsonObject, namespace: str | None = None) -> JsonObject:
        return await self.client.request(
            "POST", kind.path(namespace or namespace_of(obj) or None), body=typed(obj, kind)
        )

    async def create_subresource(
        self, kind: Kind, namespace: str | None, name: str, subresource: str, obj: JsonObject
    ) -> JsonObject:
        """POST to ``binding``, ``eviction``, ``token``."""
        return await self.client.request("POST", kind.path(namespace, name, subresource), body=obj)

    async def update(self, kind: Kind, obj: JsonObject, subresource: str | None = None) -> JsonObject:
        """Put it in place of the version it was read as: a later one is a conflict."""
        path = kind.path(namespace_of(obj) or None, name_of(obj), subresource)
        return await self.client.request("PUT", path, body=typed(obj, kind))

    async def update_status(self, kind: Kind, obj: JsonObject) -> JsonObject:
        return await self.update(kind, obj, "status")

    async def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Json,
        *,
        content_type: str = MERGE_PATCH,
        subresource: str | None = None,
    ) -> JsonObject:
        path = kind.path(namespace, name, subresource)
        return await self.client.request("PATCH", path, body=body, content_type=content_type)

    async def apply(
        self, kind: Kind, obj: JsonObject, *, manager: str, force: bool = False, subresource: str | None = None
    ) -> JsonObject:
        """Server-side apply as ``manager``."""
        query = {"fieldManager": manager, **({"force": "true"} if force else {})}
        path = kind.path(namespace_of(obj) or None, name_of(obj), subresource)
        # JSON is YAML, which is what the media type promises.
        return await self.client.request("PATCH", path, query=query, body=typed(obj, kind), content_type=APPLY_PATCH)

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_s: int | None = None,
        propagation: str | None = None,
    ) -> JsonObject | None:
        """Ask for its deletion. The answer is the object or a Status; None where there was none."""
        options: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1"}
        preconditions: JsonObject = {}
        if uid is not None:
            preconditions["uid"] = uid
        if resource_version is not None:
            preconditions["resourceVersion"] = resource_version
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation is not None:
            options["propagationPolicy"] = propagation
        try:
            return await self.client.request("DELETE", kind.path(namespace, name), body=options)
        except StatusError as failure:
            if not_found(failure):
                return None
            raise

    async def delete_collection(
        self, kind: Kind, namespace: str | None, *, query: Mapping[str, str] | None = None
    ) -> None:
        await self.client.request("DELETE", kind.path(namespace), query=query)


def typed(obj: JsonObject, kind: Kind) -> JsonObject:
    """The object saying its kind: real servers leave that out of the items of a list."""
    if "kind" in obj and "apiVersion" in obj:
        return obj
    return {"apiVersion": kind.api_version, "kind": kind.name, **obj}
