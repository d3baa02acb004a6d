"""Conditions made into closures, once. Kinds are checked here, so that what can never hold is refused with its route.

Three values: AND is false if one side is, OR is true if one side is, else an undefined side makes it undefined. Values
of the body are of no kind beforehand: an operator that gets the wrong one is undefined. Quirks of edge-hub that change
what is matched are kept (Azure/iotedge, ``ConditionVisitor.cs``): a place that the body does not have is null, and not
undefined; AND and OR take a value of the body on the right only if one is on the left too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from windtunnel_emulators.edge.routing.errors import Fault
from windtunnel_emulators.edge.routing.functions import FUNCTIONS, concat, modulo, quotient
from windtunnel_emulators.edge.routing.tree import Binary, Call, Literal, Property, System, Unary
from windtunnel_emulators.edge.routing.values import UNDEFINED, Kind, comparison, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windtunnel_emulators.edge.routing.facts import Facts
    from windtunnel_emulators.edge.routing.functions import Overload
    from windtunnel_emulators.edge.routing.tree import Node
    from windtunnel_emulators.edge.routing.values import Value

Evaluate: TypeAlias = "Callable[[Facts], Value]"

_BODY = "$body."
_STEP = re.compile(r"""([^()<>@,;:\\"/\[\]?={}.\s]+)(?:\[([0-9]{1,9})\])?""")
_TWIN_PLACES = ("properties.reported.", "properties.desired.", "tags.")
_LOGICAL = (Kind.BOOL, Kind.NULL, Kind.UNDEFINED, Kind.BODY)
_ARITHMETIC: Final[dict[str, Callable[[float, float], Value]]] = {
    "+": lambda left, right: number(left + right),
    "-": lambda left, right: number(left - right),
    "*": lambda left, right: number(left * right),
    "/": quotient,
    "%": modulo,
}


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression that can be evaluated."""

    kind: Kind
    evaluate: Evaluate


def compile_condition(node: Node, *, of_twins: bool = False) -> Evaluate:
    """What tells True, False or undefined of a message; only True matches.

    ``of_twins``: the source is that of changes of twins, which alone may be asked what they include. Raises ``Fault``.
    """
    compiled = _Compiler(of_twins=of_twins).expression(node)
    if compiled.kind is Kind.BOOL:
        return compiled.evaluate
    if compiled.kind is Kind.NULL:
        return lambda facts: False
    evaluate = compiled.evaluate

    def only_bool(facts: Facts) -> Value:
        value = evaluate(facts)
        return value if isinstance(value, bool) else UNDEFINED

    return only_bool


class _Compiler:
    def __init__(self, *, of_twins: bool) -> None:
        self._of_twins = of_twins

    def expression(self, node: Node) -> Compiled:
        match node:
            case Literal():
                return _constant(node.value)
            case Property():
                name = node.name.lower()
                return Compiled(Kind.STRING, lambda facts: facts.application(name))
            case System():
                return _system(node)
            case Unary():
                return self._negation(node) if node.operator == "NOT" else self._minus(node)
            case Binary():
                return self._binary(node)
            case Call():
                return self._call(node)

    def _negation(self, node: Unary) -> Compiled:
        compiled = self.expression(node.operand)
        kind, operand = compiled.kind, compiled.evaluate
        if kind is Kind.NULL:
            return _constant(value=True)
        if kind not in (Kind.BOOL, Kind.BODY):
            raise _operand("NOT", node.position, kind, "a bool")

        def negate(facts: Facts) -> Value:
            value = operand(facts)
            return (not value) if isinstance(value, bool) else UNDEFINED

        return Compiled(Kind.BOOL, negate)

    def _minus(self, node: Unary) -> Compiled:
        compiled = self.expression(node.operand)
        kind, operand = compiled.kind, compiled.evaluate
        if kind is Kind.BODY:
            raise Fault(node.position, "operator - has no value of the body behind it; write 0 - value")
        if kind is not Kind.NUMBER:
            raise _operand("-", node.position, kind, "a number")

        def minus(facts: Facts) -> Value:
            value = operand(facts)
            return -value if isinstance(value, float) else UNDEFINED

        return Compiled(Kind.NUMBER, minus)

    def _binary(self, node: Binary) -> Compiled:
        left, right = self.expression(node.left), self.expression(node.right)
        sign = node.operator
        if sign in ("AND", "OR"):
            return _logical(node, left, right)
        if sign in _ARITHMETIC:
            _check(node, left, right, Kind.NUMBER)
            body = Kind.BODY in (left.kind, right.kind)
            if body and sign == "%":
                raise Fault(node.position, "operator % takes no value of the body; write as_number(value)")
            return Compiled(Kind.BODY if body else Kind.NUMBER, _of_numbers(_ARITHMETIC[sign], left, right))
        if sign == "||":
            _check(node, left, right, Kind.STRING)
            return Compiled(Kind.STRING, _of_kind(concat, (left, right), (str, str)))
        _check(node, left, right, left.kind)
        if sign == "??":
            return _coalesce(left, right)
        return Compiled(Kind.BOOL, _comparison(comparison(sign), left, right))

    def _call(self, node: Call) -> Compiled:
        name = node.function
        if name == "twin_change_includes":
            return self._includes(node)
        arguments = [self.expression(argument) for argument in node.arguments]
        if name in _QUESTIONS:
            if len(arguments) != 1:
                raise _arguments(node, arguments)
            return Compiled(Kind.BOOL, _question(name, arguments[0]))
        overloads = FUNCTIONS.get(name)
        if overloads is None:
            raise Fault(node.position, f"there is no function '{name}'")
        kinds = tuple(argument.kind for argument in arguments)
        fitting = [overload for overload in overloads if overload.takes(kinds)]
        if not fitting:
            raise _arguments(node, arguments)
        return Compiled(fitting[0].result, _either(fitting, arguments))

    def _includes(self, node: Call) -> Compiled:
        if not self._of_twins:
            raise Fault(
                node.position,
                "there is no function 'twin_change_includes' but of messages FROM /twinChangeNotifications",
            )
        argument = node.arguments[0] if len(node.arguments) == 1 else None
        if not isinstance(argument, Property):
            raise Fault(node.position, "twin_change_includes takes one place, such as properties.reported.temperature")
        text = argument.name
        if not text.lower().startswith(_TWIN_PLACES) or not all(text.split(".")):
            raise Fault(
                argument.position, f"'{text}' is no place of a twin; it begins with one of: {', '.join(_TWIN_PLACES)}"
            )
        path = tuple(text.split("."))
        return Compiled(Kind.BOOL, lambda facts: facts.includes(path))


def _constant(value: Value) -> Compiled:
    kinds: dict[type, Kind] = {bool: Kind.BOOL, float: Kind.NUMBER, str: Kind.STRING, type(None): Kind.NULL}
    return Compiled(kinds.get(type(value), Kind.UNDEFINED), lambda facts: value)


def _system(node: System) -> Compiled:
    """A property of the system, or a place of the body; an application's property of this name goes first."""
    name = node.name
    if name.lower().startswith(_BODY):
        path = _path(name[len(_BODY) :], node.position)
        if node.braces or "[" in name:
            return Compiled(Kind.BODY, lambda facts: facts.body(path))
        whole = name.lower()

        def conflicting(facts: Facts) -> Value:
            value = facts.application(whole)
            return facts.body(path) if value is UNDEFINED else value

        return Compiled(Kind.BODY, conflicting)
    if "[" in name or "]" in name:
        return _constant(UNDEFINED)
    own, plain = name.lower(), name[1:].lower()
    if node.braces:
        return Compiled(Kind.STRING, lambda facts: facts.system(plain))

    def either(facts: Facts) -> Value:
        value = facts.application(own)
        return facts.system(plain) if value is UNDEFINED else value

    return Compiled(Kind.STRING, either)


def _path(text: str, position: int) -> tuple[str | int, ...]:
    steps: list[str | int] = []
    for piece in text.split("."):
        match = _STEP.fullmatch(piece)
        if match is None:
            raise Fault(
                position, f"'$body.{text}' is no place of a body: names with dots between, an index such as [0] behind"
            )
        steps.append(match.group(1))
        if match.group(2):
            steps.append(int(match.group(2)))
    return tuple(steps)


def _logical(node: Binary, left: Compiled, right: Compiled) -> Compiled:
    sign = node.operator
    if left.kind not in _LOGICAL or (right.kind not in _LOGICAL and left.kind is not Kind.BODY):
        raise _operands(node, left, right, "bools")
    if right.kind is Kind.BODY and left.kind is not Kind.BODY:
        raise Fault(node.position, f"operator {sign} takes no value of the body on its right here; write value = true")
    one, other = left.evaluate, right.evaluate
    if left.kind is Kind.BODY:
        if right.kind is Kind.NULL:
            raise _operands(node, left, right, "bools")

        def of_bodies(facts: Facts) -> Value:
            first, second = one(facts), other(facts)
            if isinstance(first, bool) and isinstance(second, bool):
                return (first and second) if sign == "AND" else (first or second)
            return UNDEFINED

        return Compiled(Kind.BOOL, of_bodies)
    nulls = (left.kind is Kind.NULL) + (right.kind is Kind.NULL)
    if nulls == 2 or (nulls and sign == "AND"):
        return _constant(None)
    decisive = sign == "OR"

    def logical(facts: Facts) -> Value:
        first = one(facts) or False  # null counts as false
        if first is decisive:
            return decisive
        second = other(facts) or False
        if second is decisive:
            return decisive
        return UNDEFINED if UNDEFINED in (first, second) else not decisive

    return Compiled(Kind.BOOL, logical)


def _check(node: Binary, left: Compiled, right: Compiled, wanted: Kind) -> None:
    """Both sides are of the kind, or one of them is a value of the body, and the other no constant ``undefined``."""
    for side in (left, right):
        fits = side.kind is wanted or (
            side.kind is not Kind.UNDEFINED and wanted is not Kind.UNDEFINED and Kind.BODY in (side.kind, wanted)
        )
        if not fits:
            raise _operands(node, left, right, f"two values of the kind {wanted.value}")


def _coalesce(left: Compiled, right: Compiled) -> Compiled:
    one, other = left.evaluate, right.evaluate

    def coalesce(facts: Facts) -> Value:
        value = one(facts)
        return other(facts) if value is UNDEFINED else value

    return Compiled(Kind.BODY if Kind.BODY in (left.kind, right.kind) else left.kind, coalesce)


def _comparison(compare: Callable[[Value, Value], Value], left: Compiled, right: Compiled) -> Evaluate:
    one, other = left.evaluate, right.evaluate
    return lambda facts: compare(one(facts), other(facts))


def _of_numbers(compute: Callable[[float, float], Value], left: Compiled, right: Compiled) -> Evaluate:
    one, other = left.evaluate, right.evaluate

    def calculate(facts: Facts) -> Value:
        first, second = one(facts), other(facts)
        return compute(first, second) if isinstance(first, float) and isinstance(second, float) else UNDEFINED

    return calculate


_TYPES: Final[dict[Kind, type]] = {Kind.NUMBER: float, Kind.STRING: str}


def _either(overloads: Sequence[Overload], arguments: Sequence[Compiled]) -> Evaluate:
    """The overloads in turn: of a value of the body it shows late which one fits."""
    ways: list[Evaluate] = []
    for overload in overloads:
        types = tuple(_TYPES[kind] for kind in overload.parameters)
        types += types[-1:] * (len(arguments) - len(types))
        ways.append(_of_kind(overload.compute, arguments, types))
    if len(ways) == 1:
        return ways[0]

    def first(facts: Facts) -> Value:
        return next((value for way in ways if (value := way(facts)) is not UNDEFINED), UNDEFINED)

    return first


def _of_kind(compute: Callable[..., Value], arguments: Sequence[Compiled], types: Sequence[type]) -> Evaluate:
    asked = [(argument.evaluate, wanted) for argument, wanted in zip(arguments, types, strict=True)]

    def call(facts: Facts) -> Value:
        values: list[Value] = []
        for evaluate, wanted in asked:
            value = evaluate(facts)
            if type(value) is not wanted:
                return UNDEFINED
            values.append(value)
        return compute(*values)

    return call


def _finite(value: Value) -> bool:
    return isinstance(value, float) and abs(value) != float("inf")


_QUESTIONS: Final[dict[str, Callable[[Value], bool]]] = {
    "is_bool": lambda value: isinstance(value, bool),
    "is_defined": lambda value: value is not UNDEFINED,
    "is_null": lambda value: value is None,
    "is_number": _finite,
    "is_string": lambda value: isinstance(value, str),
}


def _question(name: str, argument: Compiled) -> Evaluate:
    ask, evaluate = _QUESTIONS[name], argument.evaluate
    if name == "is_null" and argument.kind is Kind.BODY:

        def null(facts: Facts) -> Value:
            value = evaluate(facts)
            return UNDEFINED if value is UNDEFINED else value is None

        return null
    return lambda facts: ask(evaluate(facts))


def _operand(sign: str, position: int, kind: Kind, wanted: str) -> Fault:
    return Fault(position, f"operator {sign} takes {wanted}, and has a {kind.value}")


def _operands(node: Binary, left: Compiled, right: Compiled, wanted: str) -> Fault:
    have = f"a {left.kind.value} and a {right.kind.value}"
    return Fault(node.position, f"operator {node.operator} takes {wanted}, and has {have}")


def _arguments(node: Call, arguments: Sequence[Compiled]) -> Fault:
    have = ", ".join(argument.kind.value for argument in arguments)
    overloads = FUNCTIONS.get(node.function)
    forms = (
        " or ".join(
            f"{node.function}({', '.join(kind.value for kind in way.parameters)}{', ...' if way.more else ''})"
            for way in overloads
        )
        if overloads
        else f"{node.function}(anything)"
    )
    return Fault(node.position, f"{node.function}({have}) is not possible; possible is {forms}")
