"""What the token endpoint gives, and to whom: an application with its secret, a person with a code, a refresh token.

Authorization codes (a browser that comes back), passwords, certificates, federated credentials and on-behalf-of are not
emulated and are refused with Entra's errors and the way out.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

import msgspec

from windtunnel_emulators.identity import audiences, errors, jws
from windtunnel_emulators.identity.tokens import LIFETIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.identity.device import DeviceCodes
    from windtunnel_emulators.identity.directory import Directory, Principal
    from windtunnel_emulators.identity.refresh import RefreshTokens
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.jsontypes import JsonObject

_DEVICE_CODE: Final = ("urn:ietf:params:oauth:grant-type:device_code", "device_code")
ANY_TENANT: Final = ("common", "organizations")
"""What a person may sign in at without saying which tenant is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A request for tokens, taken apart."""

    tenant: str
    """As in the path: an id, a domain, ``common``, ``organizations`` or ``adfs``."""
    v1: bool
    """Sent to the v1.0 endpoint, which names a resource where v2.0 names scopes."""
    form: Mapping[str, str]
    authorization: str | None
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What tokens are asked for: the audience, and the scopes as they are echoed."""

    resource: str
    scope: str


class Grants:
    """The token endpoint of one tenant."""

    def __init__(
        self, *, directory: Directory, tokens: Tokens, refresh: RefreshTokens, devices: DeviceCodes, clock: Clock
    ) -> None:
        """Everything is made elsewhere."""
        self._directory = directory
        self._tokens = tokens
        self._refresh = refresh
        self._devices = devices
        self._clock = clock

    def redeem(self, request: TokenRequest) -> JsonObject:
        """The tokens that are asked for. Raises ``TokenError``."""
        grant = _required(request.form, "grant_type")
        if grant == "client_credentials":
            return self._for_application(request)
        if grant in _DEVICE_CODE:
            return self._for_device(request)
        if grant == "refresh_token":
            return self._for_refresh_token(request)
        raise errors.unsupported_grant(grant)

    def begin_device(self, request: TokenRequest) -> JsonObject:
        """A device code, for a program that will poll with it. Raises ``TokenError``."""
        client_id = self._known_client(_required(request.form, "client_id"))
        self._target(request)
        code = self._devices.issue(
            client_id=client_id,
            scope=request.form.get("scope", ""),
            resource=request.form.get("resource", ""),
        )
        page = f"{request.base_url}/common/oauth2/deviceauth"
        return {
            "user_code": code.user_code,
            "device_code": code.device_code,
            # v1.0 calls it a URL, v2.0 a URI.
            "verification_url" if request.v1 else "verification_uri": page,
            "expires_in": "900" if request.v1 else 900,
            "interval": str(code.interval) if request.v1 else code.interval,
            "message": f"To sign in, use a web browser to open the page {page} and enter the code {code.user_code}"
            " to authenticate.",
        }

    def _for_application(self, request: TokenRequest) -> JsonObject:
        if request.tenant.lower() in ANY_TENANT:
            raise errors.no_tenant()
        client_id, secret = _credentials(request)
        if client_id.lower() != self._directory.application.client_id.lower():
            raise errors.unknown_client(client_id, self._directory.name)
        if "client_assertion" in request.form:
            raise errors.no_certificate(client_id)
        if not secret:
            raise errors.no_secret()
        if not self._directory.has_secret(secret):
            raise errors.wrong_secret(client_id)
        target = self._target(request, whole=True)
        return self._access(request, self._directory.application, target)

    def _for_device(self, request: TokenRequest) -> JsonObject:
        client_id = self._checked_client(request)
        code = request.form.get("device_code") or _required(request.form, "code" if request.v1 else "device_code")
        approval = self._devices.redeem(code, client_id)
        asked = TokenRequest(
            tenant=request.tenant,
            v1=request.v1,
            form={"scope": approval.scope, "resource": approval.resource},
            authorization=None,
            base_url=request.base_url,
        )
        refresh = self._refresh.issue(self._directory.person.object_id, approval.client_id)
        return self._for_person(request, approval.client_id, self._target(asked), refresh)

    def _for_refresh_token(self, request: TokenRequest) -> JsonObject:
        client_id = self._checked_client(request)
        target = self._target(request)
        _, refresh = self._refresh.redeem(_required(request.form, "refresh_token"), client_id)
        return self._for_person(request, client_id, target, refresh)

    def _for_person(self, request: TokenRequest, client_id: str, target: _Target, refresh: str) -> JsonObject:
        person, tenant = self._directory.person, self._directory.tenant
        answer = self._access(request, person, target, application=client_id)
        now = int(self._clock.now().timestamp())
        answer |= {
            "scope": target.scope,
            "refresh_token": refresh,
            "id_token": self._tokens.sign(
                {
                    "aud": client_id,
                    "iss": self._tokens.issuer if request.v1 else f"{request.base_url}/{tenant}/v2.0",
                    "iat": now,
                    "nbf": now,
                    "exp": now + LIFETIME,
                    "name": "Developer",
                    "oid": person.object_id,
                    "preferred_username": person.name,
                    "upn": person.name,
                    "sub": person.object_id,
                    "tid": tenant,
                    "uti": uuid.uuid4().hex,
                    "ver": "1.0" if request.v1 else "2.0",
                }
            ),
            # What MSAL tells accounts apart by.
            "client_info": jws.encode(msgspec.json.encode({"uid": person.object_id, "utid": tenant})),
        }
        return answer

    def _access(
        self, request: TokenRequest, principal: Principal, target: _Target, *, application: str = ""
    ) -> JsonObject:
        token = self._tokens.issue(principal, target.resource, application=application)
        if not request.v1:
            return {
                "token_type": "Bearer",
                "expires_in": LIFETIME,
                "ext_expires_in": LIFETIME,
                "access_token": token,
            }
        now = int(self._clock.now().timestamp())
        return {
            "token_type": "Bearer",
            "expires_in": str(LIFETIME),
            "ext_expires_in": str(LIFETIME),
            "expires_on": str(now + LIFETIME),
            "not_before": str(now),
            "resource": target.resource,
            "access_token": token,
        }

    def _target(self, request: TokenRequest, *, whole: bool = False) -> _Target:
        """What is asked for; ``whole`` when only all of a resource will do. Raises ``TokenError``."""
        scope = request.form.get("scope", "")
        resource = request.form.get("resource", "")
        if resource and not request.v1:
            raise errors.resource_not_supported()
        if resource:
            target = _Target(resource=resource, scope="user_impersonation")
        elif whole and not scope.strip():
            raise errors.missing("resource" if request.v1 else "scope")
        else:
            try:
                resource, all_of_it = audiences.requested(scope)
            except audiences.ScopeError as error:
                raise (errors.several_resources(scope) if error.several else errors.bad_scope(scope)) from error
            if whole and not (all_of_it and len(scope.split()) == 1):
                raise errors.not_default(scope)
            granted = [f"{resource}/user_impersonation", f"{resource}/.default"]
            target = _Target(resource=resource, scope=" ".join(dict.fromkeys(granted + scope.split())))
        if not audiences.is_known(target.resource, request.base_url):
            raise errors.unknown_resource(target.resource, self._directory.name)
        return target

    def _checked_client(self, request: TokenRequest) -> str:
        """The client of a person's grant: it needs no secret, but one that it shows must be right."""
        client_id, secret = _credentials(request)
        self._known_client(client_id)
        if "client_assertion" in request.form:
            raise errors.no_certificate(client_id)
        if secret and not (
            client_id.lower() == self._directory.application.client_id.lower() and self._directory.has_secret(secret)
        ):
            raise errors.wrong_secret(client_id)
        return client_id

    def _known_client(self, client_id: str) -> str:
        if self._directory.client_name(client_id) is None:
            raise errors.unknown_client(client_id, self._directory.name)
        return client_id


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise errors.missing(name)
    return value


def _credentials(request: TokenRequest) -> tuple[str, str]:
    """The client's id and what secret it shows: in the form, or by HTTP Basic (RFC 6749, 2.3.1)."""
    authorization = request.authorization
    if authorization is None or "client_secret" in request.form:
        return _required(request.form, "client_id"), request.form.get("client_secret", "")
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        if not colon:
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise errors.malformed("The Authorization header is not HTTP Basic with a client's id and secret.") from error
    return unquote_plus(client_id), unquote_plus(secret)
