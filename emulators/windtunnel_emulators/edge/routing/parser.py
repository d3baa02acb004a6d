"""The parser of routes: ``[SELECT *] FROM path [WHERE condition] INTO sink``.

Operators from the tightest: ``-`` and ``NOT``; ``* / %``; ``+ - ||``; ``< <= > >=``; ``= != <>``; ``AND``; ``OR``;
``??``. All group to the left. ``NOT a = b`` is therefore ``(NOT a) = b`` (``Condition.g4``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.edge.interface import UPSTREAM
from windtunnel_emulators.edge.routing.errors import Fault
from windtunnel_emulators.edge.routing.lexer import Token, Word, cut
from windtunnel_emulators.edge.routing.tree import Binary, Call, Literal, Property, Statement, System, Unary
from windtunnel_emulators.edge.routing.values import UNDEFINED, Value

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from windtunnel_emulators.edge.routing.tree import Node

    _Parse: TypeAlias = Callable[[], Node]

_LEVELS: Final = {
    text: level
    for level, texts in enumerate(
        (("??",), ("OR",), ("AND",), ("=", "!=", "<>"), ("<", "<=", ">", ">="), ("+", "-", "||"))
    )
    for text in texts
} | {"*": 6, "/": 6, "%": 6}
_MOST_OPEN = 50
"""Parentheses within parentheses."""
_DEEPEST = 200
"""Levels of an expression; a chain of operators has one for each. Both are far from what Python's stack can do."""
_BY_NUMBER = re.compile(r"\\[Uu]([0-9A-Fa-f]{4})")
_BY_SLASH = re.compile(r"""\\(["'\\])""")


def parse_route(text: str) -> Statement:
    """Raises ``Fault``."""
    return _Parser(text).route()


def parse_condition(text: str) -> Node:
    """A condition alone; an empty one is ``undefined``. Raises ``Fault``."""
    parser = _Parser(text)
    if parser.now.kind is Word.END:
        return Literal(UNDEFINED)
    node = parser.expression()
    parser.end("an operator or the end")
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = cut(text)
        self._at = 0
        self._depths: dict[int, int] = {}
        self._open = 0

    @property
    def now(self) -> Token:
        return self._tokens[self._at]

    def route(self) -> Statement:
        if self.now.kind is Word.END:
            raise Fault(0, "the route is empty; expected FROM")
        if self.now.is_keyword("SELECT"):
            self._take()
            self._sign("*", "* after SELECT: nothing else can be selected")
        self._keyword("FROM", "FROM" if self._at else "FROM or SELECT *")
        source = self._path()
        condition = None
        if self.now.is_keyword("WHERE"):
            self._take()
            condition = self.expression()
            self._keyword("INTO", "an operator or INTO")
        else:
            self._keyword("INTO", "WHERE or INTO")
        endpoint = self._sink()
        self.end("the end of the route")
        return Statement(source=source, condition=condition, endpoint=endpoint)

    def end(self, expected: str) -> None:
        if self.now.is_sign(")"):
            raise Fault(self.now.position, "unmatched closing ')'")
        if self.now.kind is not Word.END:
            raise self._unexpected(expected)

    def _path(self) -> tuple[str, ...]:
        items: list[str] = []
        while self.now.is_sign("/"):
            self._take()
            if not self.now.is_sign("*") and self.now.kind is not Word.NAME:
                raise self._unexpected("a name or * in the path")
            items.append(self._take().text)
        if not items:
            raise self._unexpected("a path that begins with '/', such as /messages/*")
        return tuple(items)

    def _sink(self) -> str:
        token = self._take()
        if token.kind is Word.SYSTEM:
            if token.text.lower() != UPSTREAM:
                raise Fault(token.position, f"there is no endpoint '{token.text}', only {UPSTREAM}")
            return UPSTREAM
        if token.kind is not Word.NAME:
            raise self._unexpected(f'{UPSTREAM} or BrokeredEndpoint("/modules/MODULE/inputs/INPUT")', token)
        if token.text.lower() != "brokeredendpoint":
            raise Fault(token.position, f"there is no kind of endpoint '{token.text}', only BrokeredEndpoint")
        self._sign("(", "'(' after BrokeredEndpoint")
        place = self.now
        if place.kind is not Word.STRING:
            raise self._unexpected('a text in quotes, such as "/modules/MODULE/inputs/INPUT"')
        self._take()
        self._sign(")", "')'")
        return self._brokered(place)

    @staticmethod
    def _brokered(place: Token) -> str:
        address = place.text[1:-1]
        parts = address.removeprefix("/").removesuffix("/").split("/")
        if len(parts) != 4 or not all(parts):
            raise Fault(place.position, f"'{address}' is not of the form /modules/MODULE/inputs/INPUT")
        # Only the second and the fourth are ever looked at (edge-hub's EndpointFactory).
        if any(sign in part for part in parts for sign in '"\\'):
            raise Fault(place.position, f"'{address}' has characters that no module and no input can have")
        return f"{parts[1]}/{parts[3]}"

    def expression(self, lowest: int = 0) -> Node:
        left = self._prefixed()
        while True:
            token = self.now
            level = _LEVELS.get(token.text, -1) if token.kind in (Word.SIGN, Word.KEYWORD) else -1
            if level < lowest:
                return left
            self._take()
            right = self.expression(level + 1)
            operator = "!=" if token.text == "<>" else token.text
            left = self._grown(Binary(operator, left, right, token.position), left, right)

    def _prefixed(self) -> Node:
        token = self.now
        if not token.is_sign("-") and not token.is_keyword("NOT"):
            return self._primary()
        self._take()
        with_operand = self._nested(self._prefixed, token)
        return self._grown(Unary(token.text, with_operand, token.position), with_operand)

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case Word.SYSTEM:
                return System(token.text, position=token.position)
            case Word.NAME:
                return self._call(token) if self.now.is_sign("(") else Property(token.text, token.position)
            case Word.SIGN if token.text == "(":
                inner = self._nested(self.expression, token)
                self._close(token)
                return inner
            case Word.SIGN if token.text == "{":
                name = self.now
                if name.kind is not Word.SYSTEM:
                    raise self._unexpected("a system property, such as {$contentType}")
                self._take()
                self._sign("}", "'}'")
                return System(name.text, braces=True, position=token.position)
            case Word.UNTERMINATED:
                raise Fault(token.position, f"the text {token.text[:40]} has no end, or an escape that is none")
            case Word.CONSTANT | Word.STRING | Word.INTEGER | Word.REAL | Word.HEX:
                return Literal(_value(token), token.position)
            case _:
                raise self._unexpected("a value", token)

    def _call(self, name: Token) -> Node:
        paren = self._take()
        arguments: list[Node] = []
        if not self.now.is_sign(")"):
            arguments.append(self._nested(self.expression, paren))
            while self.now.is_sign(","):
                self._take()
                arguments.append(self._nested(self.expression, paren))
        self._close(paren)
        return self._grown(Call(name.text.lower(), tuple(arguments), name.position), *arguments)

    def _close(self, paren: Token) -> None:
        if self.now.kind is Word.END or self.now.is_keyword("INTO"):
            raise Fault(paren.position, "missing closing ')'")
        self._sign(")", "an operator or ')'")

    def _nested(self, parse: _Parse, token: Token) -> Node:
        self._open += 1
        if self._open > _MOST_OPEN:
            raise Fault(token.position, f"parentheses of more than {_MOST_OPEN} levels")
        node = parse()
        self._open -= 1
        return node

    def _grown(self, node: Node, *children: Node) -> Node:
        """The node, unless it is deeper than evaluating may go. Long sums grow deep on their left."""
        depth = 1 + max((self._depths.get(id(child), 0) for child in children), default=0)
        if depth > _DEEPEST:
            raise Fault(node.position, f"an expression of more than {_DEEPEST} levels")
        self._depths[id(node)] = depth
        return node

    def _take(self) -> Token:
        token = self.now
        if token.kind is not Word.END:
            self._at += 1
        return token

    def _sign(self, text: str, expected: str) -> None:
        if not self.now.is_sign(text):
            raise self._unexpected(expected)
        self._take()

    def _keyword(self, text: str, expected: str) -> None:
        if not self.now.is_keyword(text):
            raise self._unexpected(expected)
        self._take()

    def _unexpected(self, expected: str, token: Token | None = None) -> Fault:
        found = token or self.now
        if found.kind is Word.UNKNOWN:
            return Fault(found.position, f"invalid symbol {found}; expected {expected}")
        return Fault(found.position, f"expected {expected}, found {found}")


def _value(token: Token) -> Value:
    match token.kind:
        case Word.CONSTANT:
            constants: dict[str, Value] = {"true": True, "false": False, "null": None}
            return constants.get(token.text, UNDEFINED)
        case Word.HEX:
            number = int(token.text, 16)
            # Sixteen digits are a number of 64 bits with its sign, as .NET reads them; more are none.
            return UNDEFINED if number >= 1 << 64 else float(number - (1 << 64) if number >= 1 << 63 else number)
        case Word.STRING:
            by_number = _BY_NUMBER.sub(lambda match: chr(int(match.group(1), 16)), token.text[1:-1])
            return _BY_SLASH.sub(r"\1", by_number)
        case _:
            try:
                return float(token.text)
            except ValueError:
                # ``e5`` is lexically a number and not one: edge-hub makes it undefined too.
                return UNDEFINED
