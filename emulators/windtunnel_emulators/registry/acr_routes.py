"""Azure's own registry API, ``/acr/v1``: repositories, tags and manifests with times, sizes and attributes.

GET            /acr/v1/_catalog
GET PATCH DEL  /acr/v1/{repository}
GET            /acr/v1/{repository}/_tags           GET PATCH DEL  /acr/v1/{repository}/_tags/{tag}
GET            /acr/v1/{repository}/_manifests      GET PATCH DEL  /acr/v1/{repository}/_manifests/{digest}
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.registry.digests import check_digest
from windtunnel_emulators.registry.errors import RegistryError, name_unknown, size_invalid
from windtunnel_emulators.registry.exchange import Answer, json_answer
from windtunnel_emulators.registry.manifest_routes import next_page
from windtunnel_emulators.registry.names import check_repository, check_tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.registry.exchange import Request
    from windtunnel_emulators.registry.inventory import Inventory
    from windtunnel_emulators.registry.registries import Registry

_PATH = re.compile(r"/acr/v1/(?P<name>.+?)(?:/_(?P<kind>tags|manifests)(?:/(?P<item>[^/]+))?)?/?")
_PAGE = 100
_LARGEST_CHANGE = 16 * 1024


class AcrRoutes:
    """The handlers of ``/acr/v1``."""

    def __init__(self, content: Content, inventory: Inventory) -> None:
        self._content = content
        self._inventory = inventory

    async def answer(self, registry: Registry, request: Request, allow: Callable[[str, str, str], object]) -> Answer:
        """Refusals are ``RegistryError``."""
        if request.path.rstrip("/") == "/acr/v1/_catalog":
            _only(request, "GET")
            allow("registry", "catalog", "*")
            return catalog(self._inventory, registry, request, "/acr/v1/_catalog")
        found = _PATH.fullmatch(request.path)
        if found is None:
            raise RegistryError(404, "NAME_UNKNOWN", f"nothing is at {request.path[:200]!r}")
        name = check_repository(found["name"])
        action = {"GET": "metadata_read", "PATCH": "metadata_write", "DELETE": "delete"}.get(request.method)
        if action is None:
            raise not_allowed(request, "GET, PATCH, DELETE")
        allow("repository", name, action)
        if found["kind"] is None:
            return await self._repository(registry, name, request)
        if found["item"] is None:
            _only(request, "GET")
            return self._list(registry, name, found["kind"], request)
        one = self._tag if found["kind"] == "tags" else self._manifest
        return await one(registry, name, found["item"], request)

    async def _repository(self, registry: Registry, name: str, request: Request) -> Answer:
        if request.method == "DELETE":
            digests, tags = self._content.delete_repository(registry.key, name)
            return json_answer(202, {"manifestsDeleted": [*digests], "tagsDeleted": [*tags]})
        if request.method == "PATCH":
            self._inventory.change_repository(registry.key, name, await _wanted(request))
        found = self._inventory.repository(registry.key, name)
        if found is None:
            raise name_unknown(name)
        return json_answer(200, {"registry": registry.login_server, **found})

    def _list(self, registry: Registry, name: str, kind: str, request: Request) -> Answer:
        if self._inventory.repository(registry.key, name) is None:
            raise name_unknown(name)
        count = request.count() or _PAGE
        order = request.parameter("orderby") or ""
        last = request.parameter("last") or ""
        if kind == "tags":
            digest = request.parameter("digest") or ""
            key, found = (
                "name",
                self._inventory.tags(registry.key, name, digest=digest, last=last, limit=count + 1, order=order),
            )
        else:
            key, found = (
                "digest",
                self._inventory.manifests(registry.key, name, last=last, limit=count + 1, order=order),
            )
        headers: dict[str, str] = {}
        if len(found) > count:
            found = found[:count]
            more = {"orderby": order} if order else {}
            headers = next_page(request.path, last=str(found[-1][key]), n=str(count), **more)
        listed: list[Json] = [*found]
        return json_answer(200, {**_about(registry, name), kind: listed}, headers=headers)

    async def _tag(self, registry: Registry, name: str, tag: str, request: Request) -> Answer:
        check_tag(tag)
        if request.method == "DELETE":
            self._inventory.tag(registry.key, name, tag)
            self._content.delete_tag(registry.key, name, tag)
            return Answer(status=202)
        if request.method == "PATCH":
            self._inventory.change_tag(registry.key, name, tag, await _wanted(request))
        return json_answer(200, {**_about(registry, name), "tag": self._inventory.tag(registry.key, name, tag)})

    async def _manifest(self, registry: Registry, name: str, reference: str, request: Request) -> Answer:
        check_digest(reference) if ":" in reference else check_tag(reference)
        found = self._inventory.manifest(registry.key, name, reference)
        digest = str(found["digest"])
        if request.method == "DELETE":
            self._content.delete_manifest(registry.key, name, digest)
            return Answer(status=202)
        if request.method == "PATCH":
            self._inventory.change_manifest(registry.key, name, digest, await _wanted(request))
            found = self._inventory.manifest(registry.key, name, digest)
        return json_answer(200, {**_about(registry, name), "manifest": found})


def catalog(inventory: Inventory, registry: Registry, request: Request, path: str) -> Answer:
    """Names of repositories, a page at a time."""
    count = request.count()
    limit = _PAGE if count is None else count
    found = inventory.repositories(registry.key, last=request.parameter("last") or "", limit=limit + 1)
    headers: dict[str, str] = {}
    if len(found) > limit:
        found = found[:limit]
        if found:
            headers = next_page(path, last=found[-1], n=str(limit))
    body: JsonObject = {"repositories": [*found]}
    return json_answer(200, body, headers=headers)


def not_allowed(request: Request, allowed: str) -> RegistryError:
    """405, for a method that a path does not know."""
    return RegistryError(
        405, "UNSUPPORTED", f"the operation is unsupported: {request.method} here", headers={"Allow": allowed}
    )


def _only(request: Request, method: str) -> None:
    if request.method != method:
        raise not_allowed(request, method)


def _about(registry: Registry, name: str) -> JsonObject:
    return {"registry": registry.login_server, "imageName": name}


async def _wanted(request: Request) -> Json:
    body = await request.body(_LARGEST_CHANGE, size_invalid("the attributes are too large"))
    try:
        wanted: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(400, "UNSUPPORTED", f"the body is not JSON: {error}") from error
    return wanted
