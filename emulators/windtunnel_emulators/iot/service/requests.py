"""One request to the service API, read and taken apart; and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import msgspec

from windtunnel_emulators.asgi import chunks
from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_emulators.asgi import Receive, Scope
    from windtunnel_emulators.iot.service.access import Caller
    from windtunnel_emulators.jsontypes import Json, JsonObject

_LARGEST_BODY = 2 * 1024 * 1024
ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose caller is known. Names in the path are plain."""

    method: str
    segments: tuple[str, ...]
    parameters: Mapping[str, str]
    """What the ``{placeholders}`` of the route stood for."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    caller: Caller

    @property
    def etag(self) -> str | None:
        """The etag of ``If-Match``: clients quote it or do not (wire-iot, trap 24). ``*`` for any; None without."""
        value = self.headers.get("if-match", "").strip().removeprefix("W/").strip('"')
        return value or None

    def json(self) -> Json:
        """Raises ``HubError`` 400 for a body that is no JSON."""
        try:
            found: Json = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise argument_invalid(f"The body of the request is no JSON: {problem}.") from problem
        return found

    def object(self) -> JsonObject:
        """Raises ``HubError`` 400 for a body that is no JSON object."""
        found = self.json()
        if not isinstance(found, dict):
            raise argument_invalid("The body of the request must be a JSON object.")
        return found

    def top(self, most: int) -> int:
        """How many are asked for: any number outside of 1 to ``most`` is ``most``. Raises ``HubError`` 400."""
        return _within(self.query.get("top"), "top", most)

    def page_size(self, most: int) -> int:
        """How many a page may have; as ``top``."""
        return _within(self.headers.get("x-ms-max-item-count"), "x-ms-max-item-count", most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request is answered; a body of None is no body."""

    status: int = 200
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def _within(text: str | None, name: str, most: int) -> int:
    if text is None or not text.strip():
        return most
    try:
        number = int(text[:20])
    except ValueError:
        raise argument_invalid(f"'{name}' is '{text[:40]}', and no number.") from None
    return number if 1 <= number <= most else most


def path_segments(scope: Scope) -> tuple[str, ...]:
    """The path, taken apart before it is decoded. Raises ``HubError`` 400."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    try:
        return tuple(
            unquote(part, errors="strict") for part in raw.partition(b"?")[0].decode("ascii").split("/") if part
        )
    except UnicodeDecodeError:
        raise argument_invalid("The path of the request is not UTF-8.") from None


def query_of(scope: Scope) -> dict[str, str]:
    """The query; names in lower case, the first of a repeated one."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        found.setdefault(name.lower(), value)
    return found


def headers_of(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive) -> bytes:
    """Raises ``HubError`` 413, and ``ClientGone``."""
    body = bytearray()
    async for chunk in chunks(receive):
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise HubError(413, "RequestEntityTooLarge", f"The body is longer than {_LARGEST_BODY} bytes.")
    return bytes(body)


def check_etag(request: Request, etag: str, what: str) -> None:
    """Raises ``HubError`` 412 when the request is for another state than the present one."""
    from windtunnel_emulators.iot.hub.errors import precondition_failed

    asked = request.etag
    if asked is not None and asked not in (ANY, etag):
        raise precondition_failed(what)
