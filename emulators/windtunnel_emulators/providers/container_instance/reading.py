"""From JSON to the typed body of a container group; a value of the wrong type is refused with its path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from windtunnel_emulators.arm.errors import ArmError, invalid_request_content

from .fields import canonical

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json

B = TypeVar("B", bound=msgspec.Struct)

_PROBLEM = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<got>[^`]+)`)?")
_PATH = re.compile(r"at `\$(?P<path>[^`]*)`")
_KINDS = {
    "object": "an object",
    "array": "an array",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "null": "null",
}


def read(body: Json, kind: type[B]) -> B:
    """The body as ``kind``. Raises ``ArmError`` 400 ``InvalidRequestContent``, with the path as its target."""
    try:
        return msgspec.convert(canonical(body, kind), kind)
    except msgspec.ValidationError as problem:
        raise _refusal(str(problem)) from problem


def _refusal(problem: str) -> ArmError:
    found_path, found = _PATH.search(problem), _PROBLEM.search(problem)
    path = found_path["path"].removeprefix(".") if found_path else ""
    where = f"the value at '{path}'" if path else "the body"
    if found is None:
        reason = f"{where} is out of range"
    else:
        expected = _KINDS.get(found["expected"].removesuffix(" | null"), f"of type {found['expected']}")
        got = _KINDS.get(found["got"] or "", "something else")
        reason = f"{where} is {got} where {expected} is expected"
    return invalid_request_content(
        f"The request content was invalid and could not be deserialized: {reason}.", target=path or None
    )
