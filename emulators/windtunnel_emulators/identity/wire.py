"""One request read whole and one answer: all the HTTP that the token service and the metadata services need."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

from windtunnel_emulators.asgi import chunks, respond
from windtunnel_emulators.browsers import from_this_site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.asgi import Receive, Scope, Send
    from windtunnel_emulators.jsontypes import JsonObject

_HOST = re.compile(r"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)
_LARGEST = 64 * 1024
_MOST_FIELDS = 100

JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"


class BadRequest(Exception):
    """A request that is not even well-formed HTTP for these services; the message says what is wrong with it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, whole. Names of headers are in lower case; of a parameter given twice, the first counts."""

    method: str
    path: tuple[str, ...]
    """The parts between slashes; runs of slashes count as one."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    """Scheme, host and port as the client wrote them, without a slash at the end."""

    def form(self) -> dict[str, str]:
        """The body's fields. Raises ``BadRequest`` for a field given twice (RFC 6749, 3.2) or far too many."""
        fields: dict[str, str] = {}
        try:
            pairs = parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise BadRequest(400, f"The form has more than {_MOST_FIELDS} fields.") from error
        for name, value in pairs:
            if name in fields:
                raise BadRequest(400, f"The field '{name}' is given twice.")
            fields[name] = value
        return fields

    @property
    def from_this_site(self) -> bool:
        """Whether a browser, if that is what sends it, says that one of our own pages does."""
        return from_this_site(self.headers, self.base_url.partition(":")[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    async def send(self, send: Send) -> None:
        """Put it on the wire; nothing here may be kept by caches."""
        raw = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in self.headers.items()]
        if "cache-control" not in {name.lower() for name in self.headers}:
            raw += [(b"cache-control", b"no-store, no-cache"), (b"pragma", b"no-cache")]
        raw.append((b"x-content-type-options", b"nosniff"))
        await respond(send, self.status, self.body, content_type=self.content_type, headers=raw)


def json_answer(status: int, value: JsonObject, *, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer of JSON."""
    return Answer(status=status, body=msgspec.json.encode(value), headers=headers or {})


async def read(scope: Scope, receive: Receive) -> Request:
    """The request. Raises ``BadRequest`` when its host is no host or its body is too large, ``ClientGone``."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise BadRequest(400, "The Host header is missing or names no host.")
    body = b""
    async for chunk in chunks(receive):
        body += chunk
        if len(body) > _LARGEST:
            raise BadRequest(413, f"The body is larger than {_LARGEST // 1024} KiB.")
    query: dict[str, str] = {}
    for name, value in parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True):
        query.setdefault(name.lower(), value)
    return Request(
        method=scope["method"],
        path=tuple(part for part in scope["path"].split("/") if part),
        query=query,
        headers=headers,
        body=body,
        base_url=f"{scope.get('scheme', 'https')}://{host.lower()}",
    )
