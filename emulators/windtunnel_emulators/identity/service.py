"""The token service as an ASGI application: discovery documents, keys, tokens, device codes, cloud metadata.

Paths begin with a tenant: its id, its domain, ``common``, ``organizations`` or ``adfs``. Every link starts with the
scheme and host that the client used.
"""

from __future__ import annotations

import logging
import re
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.identity import discovery, errors, metadata, pages
from windtunnel_emulators.identity.device import DeviceCodes
from windtunnel_emulators.identity.grants import ANY_TENANT, Grants, TokenRequest
from windtunnel_emulators.identity.refresh import RefreshTokens
from windtunnel_emulators.identity.wire import Answer, BadRequest, Request, json_answer, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.store import Store

_log = logging.getLogger(__name__)

_OWN: Final = re.compile(
    r"/(?:metadata/endpoints|(?:v1\.0|beta)/.+|(?!subscriptions/|providers/|tenants/|v2/|_)[^/]+/"
    r"(?:oauth2|discovery|userrealm|\.well-known|v2\.0/\.well-known)/.+)",
    re.IGNORECASE,
)
_SLASHES: Final = re.compile(r"/{2,}")
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")

_GRAPH: Final = ("v1.0", "beta")

_METHODS: Final = {
    ".well-known/openid-configuration": ("GET", "HEAD"),
    "discovery/keys": ("GET", "HEAD"),
    "discovery/instance": ("GET", "HEAD"),
    "oauth2/token": ("POST",),
    "oauth2/devicecode": ("POST",),
    "oauth2/authorize": ("GET", "HEAD"),
    "oauth2/deviceauth": ("GET", "HEAD", "POST"),
}
"""What is below a tenant; ``v2.0/`` may stand in each."""


def owns(path: str) -> bool:
    """Whether a path of the front door is the token service's. Runs of slashes count as one."""
    return _OWN.fullmatch(_SLASHES.sub("/", path).rstrip("/")) is not None


class TokenService:
    """The ASGI application."""

    def __init__(self, *, directory: Directory, tokens: Tokens, store: Store, clock: Clock, pace: Pace) -> None:
        """Refresh tokens and device codes are kept in the store."""
        self.refresh_tokens = RefreshTokens(store, clock)
        # Entra's interval; at the fast pace a second, which is the least that clients count in.
        self._devices = DeviceCodes(store, clock, interval=5 if pace.factor == 1 else 1)
        self._grants = Grants(
            directory=directory, tokens=tokens, refresh=self.refresh_tokens, devices=self._devices, clock=clock
        )
        self._directory = directory
        self._tokens = tokens
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; refusals are OAuth 2.0's errors as Entra writes them."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            request = await read(scope, receive)
            answer = self._answer(request)
        except BadRequest as problem:
            answer = self._refusal(errors.malformed(problem.message, status=problem.status), headers)
        except errors.TokenError as problem:
            answer = self._refusal(problem, headers)
        except ArmError as problem:
            answer = json_answer(problem.status, problem.body(), headers=problem.headers)
        await answer.send(send)

    def _answer(self, request: Request) -> Answer:
        parts = tuple(part.lower() for part in request.path)
        if parts and parts[0] in _GRAPH:
            return json_answer(501, self._no_graph(request))
        if parts == ("metadata", "endpoints"):
            _check_method(request, ("GET", "HEAD"))
            document = metadata.endpoints(request.query.get("api-version"), request.base_url)
            return Answer(status=200, body=msgspec.json.encode(document))
        if len(parts) == 3 and parts[1] == "userrealm":
            _check_method(request, ("GET", "HEAD"))
            return json_answer(200, discovery.realm(request.base_url, request.path[2]))
        called = "/".join(parts[1:])
        v2, name = "v2.0/" in called, called.replace("v2.0/", "", 1)
        if name not in _METHODS:
            raise errors.malformed(f"The token service has nothing at '/{'/'.join(request.path)}'.", status=404)
        _check_method(request, _METHODS[name])
        if name == "discovery/instance":
            endpoint = request.query.get("authorization_endpoint", "")
            return json_answer(200, discovery.instance(request.base_url, endpoint))
        if name == "oauth2/deviceauth":
            return self._device_page(request)
        tenant = request.path[0]
        self._check_tenant(tenant, document=name.startswith("."))
        match name:
            case ".well-known/openid-configuration":
                return json_answer(200, discovery.configuration(request.base_url, tenant, self._directory, v2=v2))
            case "discovery/keys":
                return json_answer(200, discovery.keys(self._tokens.key))
            case "oauth2/authorize":
                return _no_browser_sign_in(request)
            case _:
                return self._tokens_or_code(request, tenant, v2=v2, begins=name == "oauth2/devicecode")

    def _tokens_or_code(self, request: Request, tenant: str, *, v2: bool, begins: bool) -> Answer:
        form = request.form()
        asked = TokenRequest(
            tenant=tenant,
            # AD FS has one endpoint for both kinds of request.
            v1=not v2 and (tenant.lower() != "adfs" or "resource" in form),
            form=form,
            authorization=request.headers.get("authorization"),
            base_url=request.base_url,
        )
        return json_answer(200, self._grants.begin_device(asked) if begins else self._grants.redeem(asked))

    def _device_page(self, request: Request) -> Answer:
        """The form for a person; posting a code decides, and without a decision means yes."""
        person = self._directory.person.name
        if not request.from_this_site:
            return pages.problem(
                403, "Not from here", "This form was sent by a page of another site, so it was not followed."
            )
        if request.method != "POST":
            return pages.code_form(person, code=request.query.get("user_code", request.query.get("otc", "")))
        form = request.form()
        code = form.get("user_code") or form.get("code") or form.get("otc") or ""
        approved = form.get("decision", "approve") == "approve"
        client_id = self._devices.decide(code, approved=approved)
        if client_id is None:
            return pages.code_form(
                person,
                code=code,
                problem="No program waits for that code. Check it, or start the program's sign-in again: a code holds"
                " for 15 minutes and works once.",
            )
        program = self._directory.client_name(client_id) or client_id
        return pages.signed_in(person, program) if approved else pages.refused(program)

    def _no_graph(self, request: Request) -> JsonObject:
        """Microsoft Graph's error, for the clients that take this authority's Graph to be here too."""
        ids: JsonObject = {"date": f"{self._clock.now():%Y-%m-%dT%H:%M:%S}", "request-id": str(uuid.uuid4())}
        message = (
            "Microsoft Graph is not emulated: the tenant has one application, one managed identity and one user, which"
            " windtunnel env and az account show name."
        )
        if "client-request-id" in request.headers:
            ids["client-request-id"] = request.headers["client-request-id"][:100]
        return {"error": {"code": "NotImplemented", "message": message, "innerError": ids}}

    def _check_tenant(self, tenant: str, *, document: bool) -> None:
        if not self._directory.is_named(tenant) and tenant.lower() not in ANY_TENANT:
            error = "invalid_tenant" if document else "invalid_request"
            raise errors.unknown_tenant(tenant, self._directory.tenant, error=error)

    def _refusal(self, problem: errors.TokenError, headers: Mapping[bytes, str]) -> Answer:
        _log.info("sign-in refused: %s, AADSTS%d", problem.error, problem.number)
        body = problem.body(now=self._clock.now(), correlation=headers.get(b"client-request-id"))
        extra: dict[str, str] = {}
        if problem.status == 405:
            extra["Allow"] = problem.allowed
        if problem.status == 401 and b"authorization" in headers:
            extra["WWW-Authenticate"] = 'Basic realm="token service", charset="UTF-8"'  # RFC 6749, 5.2
        return json_answer(problem.status, body, headers=extra)


def _check_method(request: Request, allowed: tuple[str, ...]) -> None:
    if request.method not in allowed:
        raise errors.wrong_method(", ".join(allowed), request.method)


def _no_browser_sign_in(request: Request) -> Answer:
    """Send the browser back to the program with the refusal, so that it stops waiting; else tell the person."""
    refusal = errors.no_browser_sign_in()
    target = request.query.get("redirect_uri", "")
    if _is_local(target):
        fields = {"error": refusal.error, "error_description": f"AADSTS{refusal.number}: {refusal.message}"}
        if "state" in request.query:
            fields["state"] = request.query["state"]
        location = f"{target}{'&' if '?' in target else '?'}{urlencode(fields)}"
        return Answer(status=302, body=b"", headers={"Location": location})
    return pages.problem(400, "No browser sign-in", refusal.message)


def _is_local(target: str) -> bool:
    """Whether it is a plain address of this machine, as the programs that wait for a browser give it."""
    if not target.isascii() or not target.isprintable() or "#" in target:
        return False
    try:
        url = urlsplit(target)
        return url.scheme == "http" and url.hostname in _LOCAL and url.port is not None
    except ValueError:
        return False
