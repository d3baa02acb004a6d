"""Values in queries: JSON, or undefined. Only primitives compare; what has no answer is undefined."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json


class Undefined(Enum):
    """What a document does not have."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED
Value: TypeAlias = "Json | Undefined"


def is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_primitive(value: Value) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def equal(left: Value, right: Value) -> bool | Undefined:
    """Primitives of different types are different."""
    if not is_primitive(left) or not is_primitive(right):
        return UNDEFINED
    if is_number(left) and is_number(right):
        return left == right
    return type(left) is type(right) and left == right


def unequal(left: Value, right: Value) -> bool | Undefined:
    return negated(equal(left, right))


def ordered(test: Callable[[float], bool]) -> Callable[[Value, Value], bool | Undefined]:
    """A comparison of two numbers, two texts or two booleans; ``test`` is given their difference."""

    def compare(left: Value, right: Value) -> bool | Undefined:
        if isinstance(left, str) and isinstance(right, str):
            return test((left > right) - (left < right))
        if isinstance(left, bool) != isinstance(right, bool):
            return UNDEFINED
        if isinstance(left, int | float) and isinstance(right, int | float):
            return test((left > right) - (left < right))
        return UNDEFINED

    return compare


def both(left: Value, right: Value) -> bool | Undefined:
    """AND: false when one is, whatever the other."""
    if left is False or right is False:
        return False
    return True if left is True and right is True else UNDEFINED


def either(left: Value, right: Value) -> bool | Undefined:
    """OR: true when one is, whatever the other."""
    if left is True or right is True:
        return True
    return False if left is False and right is False else UNDEFINED


def negated(value: Value) -> bool | Undefined:
    """NOT."""
    return not value if isinstance(value, bool) else UNDEFINED


def calculated(operation: Callable[[float, float], float]) -> Callable[[Value, Value], Value]:
    """Arithmetic: of numbers, and only where the result is one."""

    def calculate(left: Value, right: Value) -> Value:
        if isinstance(left, bool) or isinstance(right, bool):
            return UNDEFINED
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            return UNDEFINED
        try:
            return _finite(operation(left, right))
        except (ZeroDivisionError, OverflowError, ValueError):
            return UNDEFINED

    return calculate


def _finite(found: float) -> Value:
    if isinstance(found, int):
        return found if abs(found) < 2**63 else float(found)
    return found if math.isfinite(found) else UNDEFINED
