"""The registry's token service: Azure's tokens against the registry's own, and those against what a client needs.

POST /oauth2/exchange   an access token of Azure (or a refresh token of Azure) -> the registry's refresh token
POST /oauth2/token      refresh_token or password -> an access token for scopes
GET  /oauth2/token      HTTP Basic -> an access token for scopes (what Docker sends)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_str
from windtunnel_emulators.registry.access import REFRESH, Grants, Scope, parse_scopes
from windtunnel_emulators.registry.acr_routes import not_allowed
from windtunnel_emulators.registry.errors import RegistryError
from windtunnel_emulators.registry.exchange import Answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.registry.access import Access
    from windtunnel_emulators.registry.exchange import Request
    from windtunnel_emulators.registry.registries import Registry

EXCHANGE, TOKEN = "/oauth2/exchange", "/oauth2/token"
_KNOWN_TYPES = ("repository", "registry")


class OAuthRoutes:
    """The handlers of ``/oauth2``."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def answer(self, registry: Registry, request: Request) -> Answer:
        """Refusals are ``RegistryError``, in the shape of the registry's other errors, as Azure's are."""
        if request.method == "POST":
            form = await request.form()
            _check_service(registry, form.get("service"))
            return self._exchange(registry, form) if request.path == EXCHANGE else self._grant(registry, form)
        if request.method != "GET" or request.path != TOKEN:
            raise not_allowed(request, "POST" if request.path == EXCHANGE else "GET, POST")
        _check_service(registry, request.parameter("service"))
        grants = self._access.by_header(registry, request.headers.get("authorization"))
        if grants is None:
            raise _unauthorized("authentication failed: user name and password fit nobody who may use this registry")
        return self._token(registry, grants, request.query.get("scope", []))

    def _exchange(self, registry: Registry, form: Mapping[str, str]) -> Answer:
        kind = form.get("grant_type", "")
        if kind not in ("access_token", "access_token_refresh_token"):
            raise _bad(
                f"grant_type {kind[:60]!r} cannot be exchanged; supported: access_token, access_token_refresh_token"
            )
        tenant = form.get("tenant", "")
        if tenant and "-" in tenant and tenant.lower() != registry.tenant.lower():
            raise _unauthorized(f"tenant {tenant[:60]} is not the registry's")
        caller = self._access.by_azure_token(registry, form.get("access_token", ""))
        if caller is None:
            raise _unauthorized("validating the access token failed: it is damaged, expired, or for something else")
        return json_answer(200, {"refresh_token": self._access.issue_refresh(registry, caller.object_id)})

    def _grant(self, registry: Registry, form: Mapping[str, str]) -> Answer:
        kind = form.get("grant_type", "")
        if kind == "refresh_token":
            claims = self._access.read(registry, form.get("refresh_token", ""), REFRESH)
            grants = None if claims is None else Grants(user=as_str(claims.get("sub")), everything=True)
        elif kind == "password":
            user, password = form.get("username", ""), form.get("password", "")
            grants = self._access.by_password(registry, user, password) if user or password else None
            grants = grants or (None if user or password else self._access.anonymous(registry))
        else:
            raise _bad(f"grant_type {kind[:60]!r} is not supported; supported: refresh_token, password")
        if grants is None:
            raise _unauthorized("authentication failed: the credentials are damaged, expired, or fit nobody")
        answer = self._token(registry, grants, [form.get("scope", "")])
        if kind == "password" and form.get("access_type") == "offline" and grants.everything:
            # Docker asks for one when it logs in, and then sends it in place of the password.
            body: JsonObject = {
                "access_token": self._issue(registry, grants, [form.get("scope", "")]),
                "refresh_token": self._access.issue_refresh(registry, grants.user),
            }
            return json_answer(200, body)
        return answer

    def _token(self, registry: Registry, grants: Grants, scopes: list[str]) -> Answer:
        return json_answer(200, {"access_token": self._issue(registry, grants, scopes)})

    def _issue(self, registry: Registry, grants: Grants, texts: list[str]) -> str:
        try:
            wanted = parse_scopes(texts)
        except ValueError as error:
            raise _bad(str(error)) from error
        return self._access.issue_access(registry, grants, [s for s in (_part(grants, s) for s in wanted) if s])


def _part(grants: Grants, wanted: Scope) -> Scope | None:
    """What of a scope the caller may have: a token service gives less than asked for, it does not refuse."""
    if wanted.type not in _KNOWN_TYPES:
        return None
    actions = frozenset(a for a in wanted.actions if grants.allows(wanted.type, wanted.name, a))
    return Scope(type=wanted.type, name=wanted.name, actions=actions) if actions else None


def _check_service(registry: Registry, service: str | None) -> None:
    if service and service.lower() != registry.login_server.lower():
        raise _bad(f"service {service[:100]!r} is not this registry, {registry.login_server}")


def _unauthorized(why: str) -> RegistryError:
    return RegistryError(401, "UNAUTHORIZED", f"{why}, visit https://aka.ms/acr/authorization for more information.")


def _bad(why: str) -> RegistryError:
    return RegistryError(400, "UNSUPPORTED", why)
