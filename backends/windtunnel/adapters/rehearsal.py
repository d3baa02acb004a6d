"""``Rehearsal``: a cloud that sends nothing, and remembers what would have been sent.

It is answered as if nothing existed yet and everything worked, so that the adapters go their whole way. The calls are
those of the real adapters; only the transport below the SDKs is another.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from windtunnel.jsontypes import Json, JsonObject, as_object

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from requests import PreparedRequest, Response

    from windtunnel.clouds import Cloud, Transport

_SECRETS = re.compile(r"secureValue|password|secret|access_token|refresh_token|storageAccountKey", re.IGNORECASE)
MASK = "********"
_FAR_FUTURE = 4_102_444_800


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that would have been made."""

    method: str
    url: str
    body: Json = None
    """Secrets are masked; what is not JSON is described."""


@dataclass(slots=True)
class Rehearsal:
    """The calls so far, in order."""

    calls: list[Call] = field(default_factory=list[Call])
    _made: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])

    def stand_in(self, cloud: Cloud) -> Cloud:
        """The cloud with nothing behind it: no credential is looked for, no connection opened."""
        return replace(cloud, transport=self._transport, credential=_no_credential)

    def _transport(self, _cloud: Cloud) -> Transport:
        import requests  # azure-core's own dependency
        from azure.core.pipeline.transport import RequestsTransport
        from requests.adapters import BaseAdapter

        rehearsal = self

        class Adapter(BaseAdapter):
            def send(self, request: PreparedRequest, *args: object, **kwargs: object) -> Response:
                return rehearsal.answer(request)

            def close(self) -> None:
                pass

        session = requests.Session()
        session.mount("https://", Adapter())
        session.mount("http://", Adapter())
        return cast("Transport", RequestsTransport(session=session, session_owner=False))

    def answer(self, request: PreparedRequest) -> Response:
        """Remember a request, and answer it."""
        import requests

        method, url = request.method or "GET", request.url or ""
        sent = request.body
        content = sent if isinstance(sent, bytes) else sent.encode() if isinstance(sent, str) else b""
        body = _described(content, str(request.headers.get("Content-Type", "")))
        self.calls.append(Call(method=method, url=url, body=_masked(body)))
        status, answer = self.reply(method, urlsplit(url).path, body)
        response = requests.Response()
        response.status_code = status
        response.url = url
        response.request = request
        response.headers["Content-Type"] = "application/json"
        said = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        response.raw = io.BytesIO(said)
        return response

    def reply(self, method: str, path: str, body: Json) -> tuple[int, JsonObject | bytes | None]:
        """Status and body of the answer: as if nothing existed yet and everything worked."""
        key = path.lower()
        last = key.rpartition("/")[2]
        fixed: dict[str, JsonObject] = {
            "listbuildsourceuploadurl": {
                "uploadUrl": "https://upload.invalid/context.tar.gz?signature=...",
                "relativePath": "context.tar.gz",
            },
            "schedulerun": {"properties": {"runId": "run", "status": "Succeeded"}},
            "listlogsasurl": {"logLink": "https://upload.invalid/run.log?signature=..."},
            "listcredentials": {"username": "registry", "passwords": [{"name": "password", "value": MASK}]},
            "token": {"access_token": MASK},
            "exchange": {"refresh_token": MASK},
        }
        if last in fixed:
            return 200, fixed[last]
        if method == "PUT" and key.startswith("/subscriptions/"):
            made = as_object(body)
            properties: JsonObject = {**as_object(made.get("properties")), "provisioningState": "Succeeded"}
            if "/registries/" in key:
                properties["loginServer"] = f"{last}.azurecr.io"
            self._made[key] = {**made, "id": path, "name": path.rpartition("/")[2], "properties": properties}
            return 201, self._made[key]
        if method == "DELETE":
            return (200, None) if self._made.pop(key, None) is not None else (204, None)
        if method == "PUT":
            return 201, None
        if key in self._made:
            return 200, self._made[key]
        return 404, {"error": {"code": "ResourceNotFound", "message": "Nothing exists in a rehearsal."}}


def _described(content: bytes, kind: str) -> Json:
    if not content:
        return None
    if "json" in kind:
        value: Json = json.loads(content)
        return value
    return f"<{len(content)} bytes of {kind.partition(';')[0] or 'data'}>"


def _masked(value: Json, key: str = "") -> Json:
    if isinstance(value, dict):
        return {k: _masked(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_masked(v, key) for v in value]
    return MASK if isinstance(value, str) and _SECRETS.search(key) else value


class _NoToken:
    """A credential that needs nobody."""

    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        from azure.core.credentials import AccessToken

        return AccessToken(MASK, _FAR_FUTURE)


def _no_credential(_cloud: Cloud, _transport: Transport) -> TokenCredential:
    return _NoToken()
