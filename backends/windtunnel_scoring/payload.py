"""What a request carries, before anyone knows what it means: its body as text, its query as values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl

from windtunnel_scoring.errors import Refusal

if TYPE_CHECKING:
    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.jsontypes import Json, JsonObject

_FORMS = frozenset(("application/x-www-form-urlencoded", "multipart/form-data"))


def query_values(query: bytes) -> JsonObject:
    """The query with each value read as JSON where it is JSON; a name that repeats gives a list."""
    values: JsonObject = {}
    repeated: dict[str, list[str]] = {}
    for name, text in parse_qsl(query.decode("utf-8", "replace"), keep_blank_values=True):
        repeated.setdefault(name, []).append(text)
    for name, texts in repeated.items():
        read = [_json_or_text(text) for text in texts]
        values[name] = read[0] if len(read) == 1 else list(read)
    return values


def text_body(request: Request) -> str:
    """The body as text; empty for a form, which Flask reads into fields that no script gets. Raises ``Refusal``."""
    if request.headers.media_type in _FORMS:
        return ""
    try:
        return request.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"Input cannot be decoded as UTF-8: {error}") from error


def _json_or_text(text: str) -> Json:
    try:
        return cast("Json", json.loads(text))
    except (ValueError, RecursionError):
        return text
