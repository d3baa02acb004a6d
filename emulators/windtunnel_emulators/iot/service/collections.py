"""What can be looked through in a hub: twins of devices and modules, as services see them, and jobs of devices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import HubError, argument_invalid
from windtunnel_emulators.iot.query.errors import QueryError
from windtunnel_emulators.iot.query.expressions import Constant
from windtunnel_emulators.iot.query.parsing import parse, parse_condition
from windtunnel_emulators.iot.query.query import Collection, Query
from windtunnel_emulators.iot.service import twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.hub.identity import Who
    from windtunnel_emulators.jsontypes import JsonObject

_OF_MODULES = re.compile(r"\s*FROM\s+devices\.modules\b\s*(?:WHERE\b\s*(?P<condition>.*))?", re.IGNORECASE | re.DOTALL)


def each_twin(hub: Hub, collection: Collection) -> Iterator[tuple[Who, JsonObject]]:
    """Every device, or every module, with its twin; by id."""
    for who, twin in hub.twins.each(modules=collection is Collection.MODULES):
        yield who, twins.shown(hub, who, twin)


def found(hub: Hub, query: Query) -> Iterator[tuple[Who, JsonObject]]:
    """The twins that fulfil the condition of a query."""
    for who, document in each_twin(hub, query.source):
        if query.takes(document):
            yield who, document


def read_query(text: str) -> Query:
    """Raises ``HubError`` 400 with the position of what is wrong."""
    try:
        return parse(text)
    except QueryError as problem:
        raise refused(problem) from problem


def read_target(condition: str) -> Query:
    """The query behind a target condition, or the condition of a job.

    It is what stands behind WHERE; ``*`` is everything, nothing at all is nothing. For modules it begins with
    ``FROM devices.modules WHERE``. Raises ``QueryError``.
    """
    source, text = Collection.DEVICES, condition
    of_modules = _OF_MODULES.fullmatch(condition)
    if of_modules is not None:
        source, text = Collection.MODULES, of_modules["condition"] or "*"
    text = text.strip()
    if text in ("", "*"):
        return Query(source=source, condition=Constant(text == "*"))
    return parse_condition(text, source)


def condition_text(condition: str) -> str:
    """What stands behind WHERE, of a condition for devices or for modules."""
    of_modules = _OF_MODULES.fullmatch(condition)
    return condition.strip() if of_modules is None else (of_modules["condition"] or "*").strip()


def refused(problem: QueryError, what: str = "The query") -> HubError:
    return argument_invalid(f"{what} is invalid: {problem}.")
