"""``POST /devices/query``: a query, page by page.

What continues a query is the place behind the last row that was answered, not a position in a list: devices that come
and go between two pages neither hide others nor show them twice. Groups are counted instead.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.hub.errors import argument_invalid
from windtunnel_emulators.iot.query.query import Collection, Query
from windtunnel_emulators.iot.service import collections, jobs
from windtunnel_emulators.iot.service.requests import Answer
from windtunnel_emulators.iot.service.routes import READ_OR_SERVICE, Route

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.requests import Request
    from windtunnel_emulators.jsontypes import Json, JsonObject

LARGEST_PAGE = 1000
CONTINUATION, ITEM_TYPE = "x-ms-continuation", "x-ms-item-type"


class Token(msgspec.Struct, frozen=True, array_like=True):
    """Where the next page of a query begins."""

    query: str
    answered: int
    after: tuple[str, ...] = ()


async def run(hub: Hub, request: Request) -> Answer:
    text = request.object().get("query")
    if not isinstance(text, str) or not text.strip():
        raise argument_invalid("The body of the request must be an object with a 'query'.")
    query = collections.read_query(text)
    token = read_token(request, text)
    most = request.page_size(LARGEST_PAGE)
    if query.top is not None:
        most = min(most, query.top - token.answered)
    rows = _grouped(hub, query, token) if query.is_grouped else _single(hub, query, token)
    page = list(itertools.islice(rows, most + 1))
    answered = token.answered + min(len(page), most)
    is_more = len(page) > most and (query.top is None or answered < query.top)
    headers = {ITEM_TYPE: _item_type(query)}
    if is_more:
        headers[CONTINUATION] = write_token(Token(_mark(text), answered, page[most - 1][0]))
    body: Json = [row for _, row in page[:most]]
    return Answer(body=body, headers=headers)


def read_token(request: Request, text: str) -> Token:
    """Where this page begins. Raises ``HubError`` 400 for what is no token, or one of another query."""
    given = request.headers.get(CONTINUATION, "")
    if not given:
        return Token(_mark(text), 0)
    try:
        found = msgspec.json.decode(base64.b64decode(given, validate=True), type=Token)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise argument_invalid(f"'{CONTINUATION}' is none that this hub has given.") from None
    if found.query != _mark(text) or found.answered < 0:
        raise argument_invalid(f"'{CONTINUATION}' is of another query.")
    return found


def write_token(token: Token) -> str:
    return base64.b64encode(msgspec.json.encode(token)).decode()


def _mark(text: str) -> str:
    """What tells one query from another."""
    return f"{binascii.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def _single(hub: Hub, query: Query, token: Token) -> Iterator[tuple[tuple[str, ...], JsonObject]]:
    """Rows of single documents, each with its key."""
    for key, document in _documents(hub, query.source):
        if key > token.after and query.takes(document):
            yield key, query.row(document)


def _grouped(hub: Hub, query: Query, token: Token) -> Iterator[tuple[tuple[str, ...], JsonObject]]:
    taken = (document for _, document in _documents(hub, query.source) if query.takes(document))
    for row in itertools.islice(query.grouped(taken), token.answered, None):
        yield (), row


def _documents(hub: Hub, source: Collection) -> Iterator[tuple[tuple[str, ...], JsonObject]]:
    if source is Collection.JOBS:
        yield from jobs.each_document(hub)
    else:
        yield from collections.each_twin(hub, source)


def _item_type(query: Query) -> str:
    if query.columns:
        return "raw"
    return "deviceJob" if query.source is Collection.JOBS else "twin"


ROUTES: Sequence[Route] = (Route(method="POST", path="devices/query", act=run, needs=READ_OR_SERVICE),)
