"""Expressions of a query, and their value for a document."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.iot.query import values
from windtunnel_emulators.iot.query.values import UNDEFINED, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.jsontypes import JsonObject


class Expression(Protocol):
    """Anything that has a value."""

    def value(self, document: JsonObject) -> Value: ...


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, true, false, null or undefined."""

    of: Value

    def value(self, document: JsonObject) -> Value:
        del document
        return self.of


@dataclass(frozen=True, slots=True)
class Path:
    """A property of the document. The first name is one of the hub's own and is found without case."""

    names: tuple[str, ...]

    def value(self, document: JsonObject) -> Value:
        first, *rest = self.names
        found: Value = document[first] if first in document else _without_case(document, first)
        for name in rest:
            if not isinstance(found, dict) or name not in found:
                return UNDEFINED
            found = found[name]
        return found


@dataclass(frozen=True, slots=True)
class Array:
    """``[a, b]``: only to be looked up in."""

    elements: tuple[Expression, ...]

    def value(self, document: JsonObject) -> Value:
        found = (one.value(document) for one in self.elements)
        return [one for one in found if not isinstance(one, values.Undefined)]


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT."""

    of: Expression

    def value(self, document: JsonObject) -> Value:
        return values.negated(self.of.value(document))


@dataclass(frozen=True, slots=True)
class Chain:
    """Values with signs, or words, between them, taken from the left. A long one is as flat as a short one."""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]

    def value(self, document: JsonObject) -> Value:
        found = self.first.value(document)
        for sign, one in self.rest:
            found = _OPERATIONS[sign](found, one.value(document))
        return found


@dataclass(frozen=True, slots=True)
class Membership:
    """``IN``, with the array looked up in."""

    of: Expression
    array: Expression

    def value(self, document: JsonObject) -> Value:
        found, array = self.of.value(document), self.array.value(document)
        if not values.is_primitive(found) or not isinstance(array, list):
            return UNDEFINED
        return any(values.equal(found, one) is True for one in array)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one or two values."""

    name: str
    arguments: tuple[Expression, ...]

    def value(self, document: JsonObject) -> Value:
        return FUNCTIONS[self.name][1](*(one.value(document) for one in self.arguments))


def _without_case(document: JsonObject, name: str) -> Value:
    wanted = name.lower()
    for known, value in document.items():
        if known.lower() == wanted:
            return value
    return UNDEFINED


def _of_texts(test: Callable[[str, str], bool]) -> Callable[..., Value]:
    def call(text: Value, part: Value) -> Value:
        return test(text, part) if isinstance(text, str) and isinstance(part, str) else UNDEFINED

    return call


def _divided(left: float, right: float) -> float:
    return left / right


def _is_defined(value: Value) -> bool:
    return value is not UNDEFINED


def _is(*kinds: type) -> Callable[..., Value]:
    def call(value: Value) -> bool:
        return isinstance(value, kinds)

    return call


def _is_null(value: Value) -> bool:
    return value is None


FUNCTIONS: Mapping[str, tuple[int, Callable[..., Value]]] = {
    "IS_DEFINED": (1, _is_defined),
    "IS_NULL": (1, _is_null),
    "IS_BOOL": (1, _is(bool)),
    "IS_NUMBER": (1, values.is_number),
    "IS_STRING": (1, _is(str)),
    "IS_ARRAY": (1, _is(list)),
    "IS_OBJECT": (1, _is(dict)),
    "IS_PRIMITIVE": (1, values.is_primitive),
    "STARTSWITH": (2, _of_texts(str.startswith)),
    "ENDSWITH": (2, _of_texts(str.endswith)),
    "CONTAINS": (2, _of_texts(operator.contains)),
}
"""By name: how many arguments, and what it does. Twins have STARTSWITH where routes have STARTS_WITH."""
_OPERATIONS: Mapping[str, Callable[[Value, Value], Value]] = {
    "AND": values.both,
    "OR": values.either,
    "=": values.equal,
    "!=": values.unequal,
    "<": values.ordered(lambda found: found < 0),
    "<=": values.ordered(lambda found: found <= 0),
    ">": values.ordered(lambda found: found > 0),
    ">=": values.ordered(lambda found: found >= 0),
    "+": values.calculated(operator.add),
    "-": values.calculated(operator.sub),
    "*": values.calculated(operator.mul),
    "/": values.calculated(_divided),
    "%": values.calculated(math.fmod),
}
