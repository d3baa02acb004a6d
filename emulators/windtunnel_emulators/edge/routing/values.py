"""Values of conditions, their kinds, and how they compare. Numbers are doubles; what is not a number is undefined."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable


class Undefined(Enum):
    """The third truth value, and what every property is that is not there."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED
Value: TypeAlias = "float | str | bool | Undefined | None"


class Kind(Enum):
    """What an expression is known to be before there is a message. Undefined values are of every kind."""

    NUMBER = "number"
    STRING = "string"
    BOOL = "bool"
    NULL = "null"
    UNDEFINED = "undefined"
    BODY = "value of the body"
    """Anything: known when the message is."""


_RANKS: Final[dict[type, int]] = {bool: 0, float: 1, str: 2, type(None): 3}
_TESTS: Final[dict[str, Callable[[int], bool]]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def number(value: float) -> Value:
    """The number, undefined if it is none."""
    return UNDEFINED if math.isnan(value) else value


def comparison(sign: str) -> Callable[[Value, Value], Value]:
    """The comparison that a sign stands for.

    Values of the body may differ in kind, and are ordered by it: bool, number, string, null. What a body does not have
    is null, and therefore greater than every number (``QueryValue.CompareTo``).
    """
    test = _TESTS[sign]

    def compare(left: Value, right: Value) -> Value:
        if left is UNDEFINED or right is UNDEFINED:
            return UNDEFINED
        return test(_order(left, right))

    return compare


def _order(left: Value, right: Value) -> int:
    if isinstance(left, str) and isinstance(right, str):
        if left.isascii() and right.isascii():
            return (left > right) - (left < right)
        one, other = _utf16(left), _utf16(right)
        return (one > other) - (one < other)
    if type(left) is type(right) and isinstance(left, float | bool) and isinstance(right, float | bool):
        return (left > right) - (left < right)
    return _RANKS[type(left)] - _RANKS[type(right)]


def units(text: str) -> int:
    """How long a text is where characters have 16 bits."""
    return len(text) if text.isascii() else len(_utf16(text)) // 2


def part(text: str, start: int, length: int | None = None) -> str:
    """A part of a text, counted in units of 16 bits."""
    end = None if length is None else start + length
    if text.isascii():
        return text[start:end]
    return _utf16(text)[start * 2 : None if end is None else end * 2].decode("utf-16-be", "surrogatepass")


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")
