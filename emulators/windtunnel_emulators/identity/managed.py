"""The managed-identity endpoints, over plain HTTP as Azure has them: instance metadata (IMDS), and App Service's.

There is one identity, ``Directory.managed_identity``; whatever the user of the emulators (or root) runs on this machine
may have its tokens, as on a virtual machine of Azure. Other users' programs may not, where the system tells whose they
are: who has a token starts containers, which are processes of the emulators' user. Pages of the web cannot: browsers
send the required headers only where a server invites them to, and a Host that is anybody's name is refused.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Final, TypeAlias

from windtunnel_emulators.browsers import is_ours
from windtunnel_emulators.identity import audiences, errors, peers
from windtunnel_emulators.identity.wire import Answer, BadRequest, Request, json_answer, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.jsontypes import Json, JsonObject

LIFETIME: Final = 86399
"""Seconds: Azure's managed identities get tokens for a day."""

Owner: TypeAlias = Callable[[tuple[str, int] | None, tuple[str, int] | None], int | None]

APP_SERVICE_PATH: Final = "/msi/token"
_VERSIONS: Final = ("2018-02-01", "2019-08-01", "2021-02-01", "2023-07-01")
_FIRST: Final = date(2017, 4, 2)


class ManagedIdentity:
    """The ASGI application of the plain port. ``identity_header`` is App Service's ``IDENTITY_HEADER``."""

    def __init__(
        self,
        *,
        directory: Directory,
        tokens: Tokens,
        clock: Clock,
        subscription: str,
        front_door: Callable[[], str],
        owner: Owner = peers.owner,
    ) -> None:
        """``front_door`` says what the front door is called now, which is a resource that tokens are issued for;
        ``owner`` whose the client's end of a connection is."""
        self.identity_header = secrets.token_urlsafe(24)
        self._directory = directory
        self._tokens = tokens
        self._clock = clock
        self._subscription = subscription
        self._front_door = front_door
        self._owner = owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = await read(scope, receive)
            self._refuse_other_users(scope)
            answer = self._answer(request)
        except BadRequest as problem:
            answer = _refusal(problem.status, "invalid_request", problem.message)
        except _Refused as refused:
            answer = refused.answer
        await answer.send(send)

    def _answer(self, request: Request) -> Answer:
        if not is_ours(request.headers["host"]):
            raise _Refused(403, "invalid_request", "The Host header is neither an address nor localhost.")
        path = tuple(part.lower() for part in request.path)
        if "/" + "/".join(path) == APP_SERVICE_PATH:
            return self._app_service(request)
        if path[:1] != ("metadata",):
            raise _Refused(404, "not_found", "Not found")
        # Asked for by every client of the real service, so that no forwarding proxy gives tokens away.
        if request.headers.get("metadata", "").lower() != "true":
            raise _Refused(400, "bad_request_102", "Required metadata header not specified")
        if "x-forwarded-for" in request.headers:
            raise _Refused(400, "invalid_request", "Requests that were forwarded (X-Forwarded-For) are not answered")
        if request.method != "GET":
            raise _Refused(405, "invalid_request", f"Only GET is answered, not {request.method}", allow="GET")
        if path == ("metadata", "versions"):
            return json_answer(200, {"apiVersions": list(_VERSIONS)})
        _check_version(request)
        if path == ("metadata", "identity", "oauth2", "token"):
            return json_answer(200, self._token(request.query))
        if path[:2] == ("metadata", "instance"):
            return self._instance(request, path[2:])
        raise _Refused(404, "not_found", "Not found")

    def _refuse_other_users(self, scope: Scope) -> None:
        user = self._owner(scope.get("client"), scope.get("server"))
        if user not in (None, 0, os.geteuid()):
            raise _Refused(
                403,
                "access_denied",
                f"The request comes from a program of user {user}; only those of user {os.geteuid()}, who runs the"
                " emulators, get tokens here.",
            )

    def _app_service(self, request: Request) -> Answer:
        shown = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), self.identity_header.encode()):
            raise _Refused(401, "invalid_client", "X-IDENTITY-HEADER is missing or is not this app's IDENTITY_HEADER")
        if request.method != "GET":
            raise _Refused(405, "invalid_request", f"Only GET is answered, not {request.method}", allow="GET")
        if request.query.get("api-version") != "2019-08-01":
            raise _Refused(400, "invalid_request", "The api-version must be 2019-08-01")
        return json_answer(200, self._token(request.query))

    def _token(self, query: Mapping[str, str]) -> JsonObject:
        identity = self._directory.managed_identity
        for names, value in (
            (("client_id",), identity.client_id),
            (("object_id", "principal_id"), identity.object_id),
            (("msi_res_id", "mi_res_id"), identity.resource_id),
        ):
            for name in names:
                if name in query and query[name].lower() != value.lower():
                    raise _Refused(400, "invalid_request", "Identity not found")
        resource = query.get("resource", "")
        if not resource:
            raise _Refused(400, "invalid_request", "Required query variable 'resource' is missing")
        if not audiences.is_known(resource, self._front_door()):
            problem = errors.unknown_resource(resource, self._directory.name)
            raise _Refused(400, "invalid_resource", f"AADSTS{problem.number}: {problem.message}")
        now = int(self._clock.now().timestamp())
        return {
            "access_token": self._tokens.issue(identity, resource, lifetime=LIFETIME),
            "client_id": identity.client_id,
            "expires_in": str(LIFETIME),
            "expires_on": str(now + LIFETIME),
            "ext_expires_in": str(LIFETIME),
            "not_before": str(now),
            "resource": resource,
            "token_type": "Bearer",
        }

    def _instance(self, request: Request, path: tuple[str, ...]) -> Answer:
        """What is known of this "virtual machine", whole or below a path, as JSON or (one value) as text."""
        found: Json = {
            "compute": {
                "azEnvironment": "Windtunnel",
                "location": "local",
                "name": "windtunnel",
                "provider": "Windtunnel",
                "resourceGroupName": "windtunnel",
                "subscriptionId": self._subscription,
                "tags": "",
                "tagsList": [],
                "vmId": self._directory.managed_identity.object_id,
            },
            "network": {"interface": []},
        }
        for part in path:
            names = {name.lower(): name for name in found} if isinstance(found, dict) else {}
            if part not in names or not isinstance(found, dict):
                raise _Refused(404, "not_found", "Not found")
            found = found[names[part]]
        if isinstance(found, dict):
            return json_answer(200, found)
        if request.query.get("format", "").lower() == "text" and isinstance(found, str):
            return Answer(status=200, body=found.encode(), content_type=b"text/plain; charset=utf-8")
        raise _Refused(400, "invalid_request", "A single value is given as text only: add format=text")


class _Refused(Exception):
    """A refusal in the shape of the managed-identity endpoints."""

    def __init__(self, status: int, error: str, description: str, *, allow: str = "") -> None:
        super().__init__(description)
        self.answer = _refusal(status, error, description, allow=allow)


def _refusal(status: int, error: str, description: str, *, allow: str = "") -> Answer:
    headers = {"Allow": allow} if allow else {}
    # ``message`` and ``statusCode`` are what App Service's clients read.
    body: JsonObject = {
        "error": error,
        "error_description": description,
        "statusCode": status,
        "message": description,
    }
    return json_answer(status, body, headers=headers)


def _check_version(request: Request) -> None:
    version = request.query.get("api-version", "")
    try:
        known = date.fromisoformat(version) >= _FIRST
    except ValueError:
        known = False
    if not known:
        what = "is not a published one" if version else "was not specified in the request"
        raise _Refused(400, "invalid_request", f"Bad request. api-version {what}. Newest: {', '.join(_VERSIONS)}")
