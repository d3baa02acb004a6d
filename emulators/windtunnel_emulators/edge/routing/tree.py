"""What a route says, as values; printed, they are a route again that says the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from windtunnel_emulators.edge.interface import UPSTREAM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.edge.routing.values import Value


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; ``UNDEFINED`` too."""

    value: Value
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Property:
    """An application's property, by its name."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class System:
    """A property of the system or a place of the body; an application's property of that name goes first, where the
    name does not stand in braces.
    """

    name: str
    """With its dollar."""
    braces: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A function, by its name in lower case."""

    function: str
    arguments: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``-`` or ``NOT``."""

    operator: str
    operand: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands; ``<>`` is written ``!=`` here."""

    operator: str
    left: Node
    right: Node
    position: int = field(default=0, compare=False)


Node: TypeAlias = "Literal | Property | System | Call | Unary | Binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A whole route."""

    source: tuple[str, ...]
    """The items of its path; each a name or ``*``."""
    condition: Node | None
    endpoint: str
    """``$upstream`` or ``MODULE/INPUT``."""

    def __str__(self) -> str:
        where = "" if self.condition is None else f" WHERE {show(self.condition)}"
        rest = f"{where} INTO {_sink(self.endpoint)}"
        path = "".join(f"/{item}" for item in self.source)
        first = path.find("/*")
        if first >= 0 and "*/" in (path + rest)[first + 2 :]:
            # Without the blank, the lexer would take it for a comment.
            path = "".join(f"/ {item}" for item in self.source)
        return f"FROM {path}{rest}"


def show(node: Node) -> str:
    """An expression as text. Operands that are operations stand in parentheses, whether they need them or not."""
    match node:
        case Literal():
            return _literal(node.value)
        case Property():
            return node.name
        case System():
            return f"{{{node.name}}}" if node.braces else node.name
        case Call():
            return f"{node.function}({_list(node.arguments)})"
        case Unary():
            operand = f"({show(node.operand)})"
            return f"NOT {operand}" if node.operator == "NOT" else f"-{operand}"
        case Binary():
            return f"{_operand(node.left)} {node.operator} {_operand(node.right)}"


def _list(nodes: Sequence[Node]) -> str:
    return ", ".join(show(node) for node in nodes)


def _operand(node: Node) -> str:
    return f"({show(node)})" if isinstance(node, Binary | Unary) else show(node)


def _literal(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case float():
            return repr(value).replace("inf", "1e999")
        case str():
            # Escapes are undone in two passes, those of characters by their number first.
            inner = value.replace("\\", "\\u005c\\u005c").replace("'", "\\'")
            return f"'{inner}'"
        case _:
            return "undefined"


def _sink(endpoint: str) -> str:
    if endpoint == UPSTREAM:
        return endpoint
    module, _, inlet = endpoint.partition("/")
    return f'BrokeredEndpoint("/modules/{module}/inputs/{inlet}")'
