"""A registry's HTTP server: the OCI distribution API 1.1, Azure's own API and the token service, as ASGI.

Every registry has a port of its own, so the application knows which registry it is; what it may do and whether it is
there is read anew for each request.
"""

from __future__ import annotations

import errno
import logging
import re
from typing import TYPE_CHECKING

from windtunnel_emulators.asgi import ClientGone
from windtunnel_emulators.registry import blob_routes, manifest_routes
from windtunnel_emulators.registry.access import Grants, Scope, challenge
from windtunnel_emulators.registry.acr_routes import AcrRoutes, catalog, not_allowed
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.exchange import Answer, FileAnswer, Request, json_answer, send_answer
from windtunnel_emulators.registry.names import check_repository
from windtunnel_emulators.registry.oauth_routes import OAuthRoutes

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI, Receive, Send
    from windtunnel_emulators.asgi import Scope as AsgiScope
    from windtunnel_emulators.registry.access import Access
    from windtunnel_emulators.registry.content import Content
    from windtunnel_emulators.registry.inventory import Inventory
    from windtunnel_emulators.registry.registries import Registries, Registry
    from windtunnel_emulators.registry.uploads import Uploads

_log = logging.getLogger(__name__)

_PATH = re.compile(
    r"/v2/(?P<name>.+)/"
    r"(?:tags/(?P<tags>list)|manifests/(?P<manifest>[^/]+)|blobs/uploads/?(?P<upload>[^/]*)"
    r"|blobs/(?P<blob>[^/]+)|referrers/(?P<referrers>[^/]+))/?"
)
# The scopes that a challenge asks for: whoever pushes also reads what is there.
_ACTIONS = {"pull": ("pull",), "push": ("pull", "push"), "delete": ("delete",)}
_BY_METHOD = {"GET": "pull", "HEAD": "pull", "POST": "push", "PATCH": "push", "PUT": "push", "DELETE": "delete"}


class RegistryServer:
    """Makes the applications of all registries."""

    def __init__(
        self, *, registries: Registries, content: Content, inventory: Inventory, uploads: Uploads, access: Access
    ) -> None:
        self._registries = registries
        self._content = content
        self._inventory = inventory
        self._uploads = uploads
        self._access = access
        self._acr = AcrRoutes(content, inventory)
        self._oauth = OAuthRoutes(access)

    def app(self, key: str) -> ASGI:
        """The application of one registry, by its ARM id in lower case."""

        async def serve(scope: AsgiScope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                raise RuntimeError(f"a registry does not serve {scope['type']}")
            request = Request(scope, receive)
            try:
                answer = await self._answered(key, request)
            except ClientGone:
                return
            await send_answer(send, answer, head=request.method == "HEAD")

        return serve

    async def _answered(self, key: str, request: Request) -> Answer | FileAnswer:
        try:
            registry = self._registries.get(key)
            if registry is None:
                raise RegistryError(404, "NAME_UNKNOWN", "the registry is not there any more")
            if not registry.reachable:
                raise RegistryError(
                    403,
                    "DENIED",
                    "client with IP '127.0.0.1' is not allowed access."
                    " Refer https://aka.ms/acr/firewall to grant access.",
                )
            return await self._route(registry, request)
        except RegistryError as error:
            return json_answer(error.status, error.body(), headers=error.headers)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            _log.exception("registry %s: the disk is full", key)
            full = RegistryError(
                507, "SIZE_INVALID", "there is no space left on the disk of the emulators' state folder"
            )
            return json_answer(full.status, full.body())

    async def _route(self, registry: Registry, request: Request) -> Answer | FileAnswer:
        path = request.path
        if path.startswith("/oauth2/"):
            return await self._oauth.answer(registry, request)
        grants = self._access.by_header(registry, request.headers.get("authorization"))

        def allow(type_: str, name: str, action: str) -> Grants:
            if grants is not None and grants.allows(type_, name, action):
                return grants
            wanted = Scope(type=type_, name=name, actions=frozenset(_ACTIONS.get(action, (action,))))
            raise challenge(registry, wanted, error=None if grants is None else "insufficient_scope")

        if path in ("/v2", "/v2/"):
            if grants is None or not grants.user:
                raise challenge(registry, None)
            return json_answer(200, {})
        if path.startswith("/acr/v1/"):
            return await self._acr.answer(registry, request, allow)
        if path.rstrip("/") == "/v2/_catalog":
            if request.method != "GET":
                raise not_allowed(request, "GET")
            allow("registry", "catalog", "*")
            return catalog(self._inventory, registry, request, "/v2/_catalog")
        found = _PATH.fullmatch(path)
        if found is None:
            raise RegistryError(404, "NAME_UNKNOWN", f"nothing is at {path[:200]!r}")
        name = check_repository(found["name"])
        # Whoever may push may also give an upload up.
        action = "push" if found["upload"] is not None else _BY_METHOD.get(request.method, "pull")
        granted = allow("repository", name, action)
        return await self._repository(registry, name, found, request, granted)

    async def _repository(
        self, registry: Registry, name: str, found: re.Match[str], request: Request, grants: Grants
    ) -> Answer | FileAnswer:
        method = request.method
        if found["manifest"] is not None:
            return await self._manifest(registry, name, found["manifest"], request)
        if found["blob"] is not None:
            if method in ("GET", "HEAD"):
                return blob_routes.get_blob(self._content, registry, name, found["blob"], request)
            if method == "DELETE":
                return blob_routes.delete_blob(self._content, registry, name, found["blob"])
            raise not_allowed(request, "GET, HEAD, DELETE")
        if found["upload"] is not None:
            return await self._upload(registry, name, found["upload"], request, grants)
        if method != "GET":
            raise not_allowed(request, "GET")
        if found["tags"] is not None:
            return manifest_routes.list_tags(self._content, self._inventory, registry, name, request)
        return manifest_routes.list_referrers(self._content, registry, name, found["referrers"], request)

    async def _manifest(self, registry: Registry, name: str, reference: str, request: Request) -> Answer:
        if request.method in ("GET", "HEAD"):
            return manifest_routes.get_manifest(self._content, registry, name, reference, request)
        if request.method == "PUT":
            return await manifest_routes.put_manifest(self._content, registry, name, reference, request)
        if request.method == "DELETE":
            return manifest_routes.delete_manifest(self._content, registry, name, reference)
        raise not_allowed(request, "GET, HEAD, PUT, DELETE")

    async def _upload(self, registry: Registry, name: str, id: str, request: Request, grants: Grants) -> Answer:
        uploads = self._uploads
        if not id:
            if request.method != "POST":
                raise not_allowed(request, "POST")
            return await blob_routes.start_upload(self._content, uploads, registry, name, request, grants)
        if request.method == "PATCH":
            return await blob_routes.patch_upload(uploads, registry, name, id, request)
        if request.method == "PUT":
            return await blob_routes.put_upload(uploads, registry, name, id, request)
        if request.method == "GET":
            return blob_routes.get_upload(uploads, registry, name, id)
        if request.method == "DELETE":
            return blob_routes.cancel_upload(uploads, registry, name, id)
        raise not_allowed(request, "GET, PATCH, PUT, DELETE")
