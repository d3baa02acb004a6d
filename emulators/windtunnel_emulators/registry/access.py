"""Who may do what in a registry: passwords, Azure's tokens, and the registry's own, checked on every request.

The registry's tokens are signed JSON Web Tokens as Azure's are: a refresh token stands for a caller, an access token
for what that caller may do. They hold for one registry only, since their audience is its login server.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.identity.tokens import InvalidToken
from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from windtunnel_emulators.arm.provider import Caller
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.registry.registries import Registry

NULL_USER = "00000000-0000-0000-0000-000000000000"
"""The user name that goes with a refresh token in place of a password (Azure's documentation, ``az acr login``)."""

ISSUER = "Azure Container Registry"
ACCESS, REFRESH = "access_token", "refresh_token"
ACCESS_LIFETIME_S = 75 * 60
REFRESH_LIFETIME_S = 3 * 3600

_REMEMBERED = 1024


class TokenSigner(Protocol):
    """What is needed of ``identity.tokens.Tokens``."""

    def sign(self, claims: JsonObject) -> str: ...
    def read(self, token: str) -> JsonObject:
        """Raises ``InvalidToken`` for one that was not signed here or does not hold now."""
        ...


class CallerCheck(Protocol):
    """Checks what Azure itself issued: an access token, or an application's secret."""

    def caller(self, token: str, *, arm: bool) -> Caller | None: ...
    def application(self, client_id: str, secret: str) -> Caller | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """``repository:hello:pull,push``: what is asked for, or granted."""

    type: str
    name: str
    actions: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What a caller may do."""

    user: str
    everything: bool = False
    scopes: tuple[Scope, ...] = ()
    mounts_all: bool = False
    """Whether the caller behind a narrow token may do everything: enough to mount from any repository."""

    def may_mount(self, repository: str) -> bool:
        """Whether blobs of a repository may be linked into another one."""
        return self.mounts_all or self.allows("repository", repository, "pull")

    def allows(self, type_: str, name: str, action: str) -> bool:
        """Whether one action on one repository (or on the registry's catalog) is granted."""
        return self.everything or any(
            scope.type == type_ and scope.name in (name, "*") and ({action, "*"} & scope.actions)
            for scope in self.scopes
        )


_PULL = Scope(type="repository", name="*", actions=frozenset({"pull", "metadata_read"}))


def parse_scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    """Scopes of a token request; several may stand in one text. Raises ``ValueError`` with a sentence."""
    found: list[Scope] = []
    for text in " ".join(texts).split():
        type_, _, rest = text.partition(":")
        # A name may have colons of its own (a host's port), an action never has.
        name, colon, actions = rest.rpartition(":")
        if not type_ or not colon or not name or not actions:
            raise ValueError(f"scope {text[:200]!r} has not the form type:name:actions")
        found.append(Scope(type=type_, name=name, actions=frozenset(filter(None, actions.split(",")))))
    return tuple(found)


class Access:
    """Checks credentials of registries."""

    def __init__(self, signer: TokenSigner, callers: CallerCheck, clock: Clock) -> None:
        self._signer = signer
        self._callers = callers
        self._clock = clock
        self._checked: dict[bytes, JsonObject] = {}

    def anonymous(self, registry: Registry) -> Grants | None:
        """What anybody may do."""
        return Grants(user="", scopes=(_PULL,)) if registry.anonymous_pull else None

    def by_header(self, registry: Registry, authorization: str | None) -> Grants | None:
        """What an ``Authorization`` header grants; None when it grants nothing. Without one: what anybody may do."""
        if not authorization:
            return self.anonymous(registry)
        scheme, _, value = authorization.partition(" ")
        value = value.strip()
        if scheme.lower() == "basic":
            pair = basic_credentials(value)
            return self.by_password(registry, *pair) if pair else None
        if scheme.lower() == "bearer":
            claims = self.read(registry, value, ACCESS)
            return None if claims is None else _granted(claims)
        return None

    def by_password(self, registry: Registry, user: str, password: str) -> Grants | None:
        """The admin user with one of his passwords, the null user with a refresh token, or an application."""
        if user == NULL_USER:
            claims = self.read(registry, password, REFRESH)
            return None if claims is None else Grants(user=as_str(claims.get("sub")), everything=True)
        if user.lower() == registry.name.lower():
            # Both are compared, whatever the first gave: the time tells nothing about the passwords.
            matches = [hmac.compare_digest(_bytes(password), _bytes(known)) for known in registry.admin_passwords]
            return Grants(user=registry.name, everything=True) if any(matches) else None
        caller = self._callers.application(user, password)
        return None if caller is None else Grants(user=caller.object_id, everything=True)

    def by_azure_token(self, registry: Registry, token: str) -> Caller | None:
        """Who an access token of Azure stands for; None when it does not hold or is for something else."""
        return self._callers.caller(token, arm=registry.arm_tokens)

    def issue_refresh(self, registry: Registry, user: str, lifetime: int = REFRESH_LIFETIME_S) -> str:
        """A refresh token for a caller that has shown who he is."""
        return self._sign(registry, user, REFRESH, lifetime, {"tenant": registry.tenant})

    def issue_access(self, registry: Registry, grants: Grants, scopes: Iterable[Scope]) -> str:
        """An access token of somebody for some scopes, which are within what is granted."""
        access: list[Json] = [
            {"Type": scope.type, "Name": scope.name, "Actions": [*sorted(scope.actions)]} for scope in scopes
        ]
        more: JsonObject = {"access": access, "mounts_all": grants.everything}
        return self._sign(registry, grants.user, ACCESS, ACCESS_LIFETIME_S, more)

    def read(self, registry: Registry, token: str, kind: str) -> JsonObject | None:
        """The claims of one of this registry's tokens that holds now; None for anything else."""
        mark = hashlib.sha256(_bytes(token)).digest()
        claims = self._checked.get(mark)
        if claims is None:
            try:
                claims = self._signer.read(token)
            except InvalidToken:
                return None
            if len(self._checked) >= _REMEMBERED:
                self._checked.pop(next(iter(self._checked)))
            self._checked[mark] = claims
        expires = claims.get("exp")
        fits = (
            claims.get("iss") == ISSUER
            and claims.get("aud") == registry.login_server
            and claims.get("grant_type") == kind
            and isinstance(expires, int)
            and expires > self._clock.now().timestamp()
        )
        return claims if fits else None

    def _sign(self, registry: Registry, user: str, kind: str, lifetime: int, more: JsonObject) -> str:
        now = int(self._clock.now().timestamp())
        claims: JsonObject = {
            "jti": str(uuid.uuid4()),
            "sub": user,
            "nbf": now - 15 * 60,
            "exp": now + lifetime,
            "iat": now - 15 * 60,
            "iss": ISSUER,
            "aud": registry.login_server,
            "version": "1.0",
            "grant_type": kind,
            **more,
        }
        return self._signer.sign(claims)


def challenge(registry: Registry, scope: Scope | None, *, error: str | None = None) -> RegistryError:
    """401 with the way to a token (distribution specification, "Token Authentication"), in Azure's words."""
    server = registry.login_server
    header = f'Bearer realm="https://{server}/oauth2/token",service="{server}"'
    detail: list[Json] = []
    if scope is not None:
        actions = ",".join(sorted(scope.actions))
        header += f',scope="{scope.type}:{scope.name}:{actions}"'
        detail = [{"Type": scope.type, "Name": scope.name, "Action": action} for action in sorted(scope.actions)]
    if error is not None:
        header += f',error="{error}"'
    return RegistryError(
        401,
        "UNAUTHORIZED",
        "authentication required, visit https://aka.ms/acr/authorization for more information.",
        detail=detail or None,
        headers={"WWW-Authenticate": header},
    )


def basic_credentials(encoded: str) -> tuple[str, str] | None:
    """User and password of an HTTP Basic header; None when it is malformed."""
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _granted(claims: Mapping[str, Json]) -> Grants:
    scopes = [as_object(entry) for entry in as_list(claims.get("access"))]
    return Grants(
        user=as_str(claims.get("sub")),
        mounts_all=claims.get("mounts_all") is True,
        scopes=tuple(
            Scope(
                type=as_str(scope.get("Type")),
                name=as_str(scope.get("Name")),
                actions=frozenset(as_str(action) for action in as_list(scope.get("Actions"))),
            )
            for scope in scopes
        ),
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
