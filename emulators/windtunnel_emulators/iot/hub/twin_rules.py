"""What a twin may hold: depth, sizes, names and values ("Understand and use device twins", and the edge's own check).

A size is that of names and values, without the metadata: strings by their UTF-8 bytes, numbers 8, booleans 4, null 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.hub.errors import HubError

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

LARGEST_PROPERTIES = 32 * 1024
"""Bytes of the desired properties, and of the reported ones."""
LARGEST_TAGS = 8 * 1024
_DEEPEST = 10
_LONGEST_NAME = 1024
_LONGEST_VALUE = 4096
_LARGEST_NUMBER = 2**52
_BAD_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f .$]")


def check(properties: JsonObject, place: str) -> None:
    """Raises ``HubError`` 400 for names and values that no twin may have; ``place`` as in ``properties.desired``."""
    _check_object(properties, place, 1)


def check_size(properties: JsonObject, place: str, most: int) -> None:
    """Raises ``HubError`` 413 for what a section holds in all."""
    found = size(properties)
    if found > most:
        raise HubError(413, "RequestEntityTooLarge", f"{place} takes {found} bytes; at most {most} are kept.")


def size(value: Json) -> int:
    """Bytes as IoT Hub counts them."""
    if isinstance(value, dict):
        return sum(len(name.encode()) + size(one) for name, one in value.items())
    if isinstance(value, list):
        return sum(map(size, value))
    if isinstance(value, str):
        return len(value.encode())
    return 1 if value is None else 4 if isinstance(value, bool) else 8


def _check_object(value: JsonObject, place: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise _bad(f"{place} is nested deeper than {_DEEPEST} levels")
    for name, one in value.items():
        if not name or _BAD_NAME.search(name):
            raise _bad(f"{place} has the name {name[:100]!r}: no control characters, '.', '$' or spaces may be in one")
        if len(name.encode()) > _LONGEST_NAME:
            raise _bad(f"{place} has a name of more than {_LONGEST_NAME} bytes, {name[:40]!r}...")
        _check_value(one, f"{place}.{name}", depth + 1)


def _check_value(value: Json, place: str, depth: int) -> None:
    if isinstance(value, dict):
        _check_object(value, place, depth)
    elif isinstance(value, list):
        if depth > _DEEPEST:
            raise _bad(f"{place[:200]} is nested deeper than {_DEEPEST} levels")
        for at, one in enumerate(value):
            _check_value(one, f"{place}[{at}]", depth + 1)
    elif isinstance(value, str):
        if len(value.encode()) > _LONGEST_VALUE:
            raise _bad(f"{place[:200]} is a string of more than {_LONGEST_VALUE} bytes")
    elif isinstance(value, int) and not isinstance(value, bool) and not -_LARGEST_NUMBER <= value < _LARGEST_NUMBER:
        raise _bad(f"{place[:200]} is {value}; whole numbers are between -4503599627370496 and 4503599627370495")


def _bad(message: str) -> HubError:
    return HubError(400, "ArgumentInvalid", f"{message[:1000]}.")
