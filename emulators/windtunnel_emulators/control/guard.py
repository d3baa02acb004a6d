"""Who may use the control API: programs of this machine that know the application's secret, and no page of the web.

Health, the page and its OpenAPI document are open. Everything else wants the tenant's application: its id and secret by
HTTP Basic (``curl -u "$AZURE_CLIENT_ID:$AZURE_CLIENT_SECRET"``), or a bearer token of it for the resource manager.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.asgi import respond_json
from windtunnel_emulators.browsers import from_this_site
from windtunnel_emulators.identity import audiences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.asgi import ASGI, Message, Receive, Scope, Send
    from windtunnel_emulators.identity.directory import Directory
    from windtunnel_emulators.identity.tokens import Tokens
    from windtunnel_emulators.jsontypes import JsonObject

_OPEN: Final = frozenset(("", "/", "/health", "/docs", "/openapi.json"))
_LARGEST: Final = 64 * 1024


class Guard:
    """An ASGI application around another one, which it hands what may pass."""

    def __init__(self, app: ASGI, *, prefix: str, directory: Directory, tokens: Tokens) -> None:
        """``prefix`` is where the application is mounted."""
        self._app = app
        self._prefix = prefix
        self._directory = directory
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(scope, headers)
            body = await _read(receive)
        except ArmError as refusal:
            raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers.items()]
            await respond_json(send, refusal.status, refusal.body(), headers=raw)
            return
        pieces: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pieces.pop() if pieces else await receive()

        await self._app(scope, replay, send)

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        scheme: str = scope.get("scheme", "https")
        if not from_this_site(headers, scheme):
            raise ArmError(
                403,
                "ForeignSite",
                "The request comes from a page of another site, or its Host is not this machine's: not followed.",
            )
        path: str = scope["path"]
        if path.removeprefix(self._prefix) in _OPEN and scope["method"] in ("GET", "HEAD"):
            return
        authorization = headers.get("authorization", "")
        if authorization[:6].lower() == "basic ":
            if not self._is_application(authorization[6:]):
                raise _unauthorized("The id or the secret is not the application's.")
            return
        base_url = f"{scheme}://{headers.get('host', '')}"
        try:
            caller = self._tokens.verify(authorization, audiences=audiences.resource_manager(base_url))
        except ArmError as refusal:
            raise _unauthorized(refusal.message) from refusal
        if caller.kind != "Application":
            raise ArmError(403, "AuthorizationFailed", f"Only the application may do this, and not '{caller.name}'.")

    def _is_application(self, encoded: str) -> bool:
        try:
            client_id, _, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        except (ValueError, binascii.Error):
            return False
        # Both are always looked at, so that the time taken tells nothing of the secret.
        right_secret = self._directory.has_secret(secret)
        return client_id.lower() == self._directory.application.client_id.lower() and right_secret


async def _read(receive: Receive) -> bytes:
    """The body. Raises ``ArmError`` 413 for one that no call of this API has."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body  # the client is gone, and with it whoever would read the answer
        piece: bytes = message.get("body", b"")
        body += piece
        if len(body) > _LARGEST:
            raise ArmError(413, "RequestEntityTooLarge", f"The body is larger than {_LARGEST // 1024} KiB.")
        if not message.get("more_body", False):
            return body


def _unauthorized(why: str) -> ArmError:
    return ArmError(
        401,
        "Unauthorized",
        f"{why} Use the application's id and secret (AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of windtunnel env) by HTTP"
        " Basic, or a bearer token of it.",
        # Basic is not offered: browsers would ask for it, and send it along from then on without being told to.
        headers={"WWW-Authenticate": 'Bearer realm="windtunnel control"'},
    )


def problem(status: int, code: str, message: str) -> JsonObject:
    """The body of any refusal of this API."""
    return ArmError(status, code, message).body()
