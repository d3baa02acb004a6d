"""Queries and conditions, read from their text. The grammar is that of "IoT Hub query language for device twins".

query      SELECT [TOP n] (* | column {, column}) FROM source [WHERE or] [GROUP BY path {, path}]
column     (or | COUNT() | AVG(path) | SUM(path) | MIN(path) | MAX(path)) [AS name]
or         and {OR and}          and   not {AND not}          not   NOT not | comparison
comparison sum [(= != <> < <= > >=) sum | [NOT] IN array]
sum        product {(+ -) product}    product  unary {(* / %) unary}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.iot.query.errors import QueryError
from windtunnel_emulators.iot.query.expressions import (
    FUNCTIONS,
    Array,
    Call,
    Chain,
    Constant,
    Membership,
    Negation,
    Path,
)
from windtunnel_emulators.iot.query.query import Aggregate, Collection, Column, Query
from windtunnel_emulators.iot.query.tokens import Kind, tokens
from windtunnel_emulators.iot.query.values import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.iot.query.expressions import Expression
    from windtunnel_emulators.iot.query.tokens import Token

_AGGREGATES = ("COUNT", "AVG", "SUM", "MIN", "MAX")
_WORDS = ("SELECT", "TOP", "FROM", "WHERE", "GROUP", "ORDER", "BY", "AS", "AND", "OR", "NOT", "IN")
_CONSTANTS: dict[str, Expression] = {
    "TRUE": Constant(True),
    "FALSE": Constant(False),
    "NULL": Constant(None),
    "UNDEFINED": Constant(UNDEFINED),
}
_COMPARISONS = ("=", "!=", "<>", "<", "<=", ">", ">=")
_DEEPEST = 50


def parse(query: str) -> Query:
    """Raises ``QueryError``."""
    return _Parser(query).query()


def parse_condition(condition: str, source: Collection) -> Query:
    """The query for all that fulfil a condition: what stands behind WHERE. Raises ``QueryError``."""
    return _Parser(condition).only_condition(source)


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokens(text))
        self._at = 0
        self._depth = 0
        self._prefixes: tuple[tuple[str, ...], ...] = ()

    def query(self) -> Query:
        self._expect_word("SELECT")
        top = self._top() if self._take_word("TOP") else None
        # What is selected can be read only when the names of the source are known: what stands before FROM is kept.
        selected_at = self._at
        self._skip_to_from()
        source, source_at = self._source()
        after = self._at
        self._at = selected_at
        columns = self._columns()
        self._expect_word("FROM")
        self._at = after
        condition = self._or() if self._take_word("WHERE") else None
        groups = self._groups() if self._take_word("GROUP") else ()
        self._expect_end()
        if source is Collection.JOBS and (columns or groups):
            raise QueryError("Of devices.jobs only * can be selected", source_at)
        found = Query(source=source, columns=columns, top=top, condition=condition, groups=groups)
        _check_groups(found, self._tokens[selected_at])
        return found

    def only_condition(self, source: Collection) -> Query:
        self._prefixes = _prefixes(source)
        condition = self._or()
        self._expect_end()
        return Query(source=source, condition=condition)

    # Clauses.

    def _top(self) -> int:
        token = self._next()
        if token.kind is not Kind.NUMBER or token.number != int(token.number) or not 1 <= token.number < 2**31:
            raise QueryError(f"TOP needs a whole number from 1, not {token.shown}", token.position)
        return int(token.number)

    def _skip_to_from(self) -> None:
        while not self._peek().is_keyword("FROM"):
            token = self._next()
            if token.kind is Kind.END:
                raise QueryError("FROM is missing", token.position)
            if self._is_after_dot():
                self._next()
        self._next()

    def _is_after_dot(self) -> bool:
        """A property may be called 'from'."""
        return self._tokens[self._at - 1].is_sign(".") and self._peek().kind is Kind.NAME

    def _source(self) -> tuple[Collection, int]:
        first = self._next()
        text = first.text
        if first.kind is Kind.NAME and self._peek().is_sign("."):
            self._next()
            text += f".{self._next().text}"
        try:
            found = Collection(text.lower())
        except ValueError:
            known = ", ".join(one.value for one in Collection)
            raise QueryError(f"'{text[:100]}' is nothing to select from; there are {known}", first.position) from None
        self._prefixes = _prefixes(found)
        self._alias()
        return found, first.position

    def _alias(self) -> None:
        """``FROM devices d``, ``FROM devices AS d``."""
        is_named = self._take_word("AS")
        token = self._peek()
        if token.kind is Kind.NAME and not token.is_keyword(*_WORDS):
            self._prefixes = (*self._prefixes, (self._next().text.lower(),))
        elif is_named:
            raise QueryError(f"AS needs a name, not {token.shown}", token.position)

    def _columns(self) -> tuple[Column, ...]:
        if self._take_sign("*"):
            return ()
        found = [self._column(1)]
        while self._take_sign(","):
            found.append(self._column(len(found) + 1))
        return tuple(found)

    def _column(self, number: int) -> Column:
        of: Expression | Aggregate = self._aggregate() or self._or()
        if self._take_word("AS"):
            token = self._next()
            if token.kind not in (Kind.NAME, Kind.QUOTED):
                raise QueryError(f"AS needs a name, not {token.shown}", token.position)
            return Column(name=token.text, of=of)
        return Column(name=of.names[-1] if isinstance(of, Path) else f"${number}", of=of)

    def _aggregate(self) -> Aggregate | None:
        token = self._peek()
        if not token.is_keyword(*_AGGREGATES) or not self._tokens[self._at + 1].is_sign("("):
            return None
        self._at += 2
        name = token.text.upper()
        path = None if name == "COUNT" else self._path(self._next())
        self._expect_sign(")")
        return Aggregate(name=name, of=path)

    def _groups(self) -> tuple[Path, ...]:
        self._expect_word("BY")
        found = [self._path(self._next())]
        while self._take_sign(","):
            found.append(self._path(self._next()))
        return tuple(found)

    # Expressions, the loosest first.

    def _or(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(f"The query is nested deeper than {_DEEPEST} levels", self._peek().position)
        found = self._chain(self._and, self._words("OR"))
        self._depth -= 1
        return found

    def _and(self) -> Expression:
        return self._chain(self._not, self._words("AND"))

    def _not(self) -> Expression:
        negations = 0
        while self._take_word("NOT"):
            negations += 1
        found = self._comparison()
        return found if negations == 0 else Negation(found) if negations % 2 else Negation(Negation(found))

    def _comparison(self) -> Expression:
        left = self._sum()
        token = self._peek()
        if token.is_sign(*_COMPARISONS):
            self._next()
            return Chain(left, (("!=" if token.text == "<>" else token.text, self._sum()),))
        if self._take_word("IN"):
            return Membership(left, self._array())
        if token.is_keyword("NOT") and self._tokens[self._at + 1].is_keyword("IN"):
            self._at += 2
            return Negation(Membership(left, self._array()))
        return left

    def _sum(self) -> Expression:
        return self._chain(self._product, self._signs("+", "-"))

    def _product(self) -> Expression:
        return self._chain(self._unary, self._signs("*", "/", "%"))

    def _chain(self, part: Callable[[], Expression], between: Callable[[], str | None]) -> Expression:
        first = part()
        rest: list[tuple[str, Expression]] = []
        while (sign := between()) is not None:
            rest.append((sign, part()))
        return Chain(first, tuple(rest)) if rest else first

    def _words(self, word: str) -> Callable[[], str | None]:
        return lambda: word if self._take_word(word) else None

    def _signs(self, *signs: str) -> Callable[[], str | None]:
        return lambda: self._next().text if self._peek().is_sign(*signs) else None

    def _unary(self) -> Expression:
        is_negative = False
        while (token := self._peek()).is_sign("+", "-"):
            self._next()
            is_negative ^= token.text == "-"
        found = self._primary()
        if not is_negative:
            return found
        if isinstance(found, Constant) and isinstance(found.of, int | float) and not isinstance(found.of, bool):
            return Constant(-found.of)
        return Chain(Constant(0), (("-", found),))

    def _primary(self) -> Expression:
        token = self._next()
        if token.kind is Kind.NUMBER:
            return Constant(token.number)
        if token.kind is Kind.TEXT:
            return Constant(token.text)
        if token.is_sign("("):
            found = self._or()
            self._expect_sign(")")
            return found
        if token.is_sign("["):
            self._at -= 1
            return self._array()
        if token.kind is Kind.NAME and not self._peek().is_sign("."):
            if self._peek().is_sign("("):
                return self._call(token)
            constant = _CONSTANTS.get(token.text.upper())
            if constant is not None:
                return constant
        return self._path(token)

    def _array(self) -> Expression:
        token = self._next()
        if not token.is_sign("["):
            raise QueryError(f"IN needs an array in [ ], not {token.shown}", token.position)
        found: list[Expression] = []
        while not self._peek().is_sign("]") or found:
            found.append(self._or())
            if not self._take_sign(","):
                break
        self._expect_sign("]")
        return Array(tuple(found))

    def _call(self, token: Token) -> Expression:
        name = token.text.upper()
        if name not in FUNCTIONS:
            raise QueryError(_unknown_function(name), token.position)
        self._expect_sign("(")
        arguments = [self._or()] if not self._peek().is_sign(")") else []
        while self._take_sign(","):
            arguments.append(self._or())
        self._expect_sign(")")
        expected = FUNCTIONS[name][0]
        if len(arguments) != expected:
            raise QueryError(f"{name} takes {expected} arguments, not {len(arguments)}", token.position)
        return Call(name, tuple(arguments))

    def _path(self, first: Token) -> Path:
        """Names with dots between them; the name of the source before them is left out."""
        if first.kind not in (Kind.NAME, Kind.QUOTED) or first.is_keyword(*_WORDS):
            raise QueryError(f"A value is expected, not {first.shown}", first.position)
        names = [first.text]
        while self._take_sign("."):
            token = self._next()
            if token.kind not in (Kind.NAME, Kind.QUOTED):
                raise QueryError(f"A name is expected after '.', not {token.shown}", token.position)
            names.append(token.text)
        for prefix in self._prefixes:
            if len(names) > len(prefix) and tuple(one.lower() for one in names[: len(prefix)]) == prefix:
                return Path(tuple(names[len(prefix) :]))
        return Path(tuple(names))

    # Words.

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _take_word(self, word: str) -> bool:
        return self._take(is_taken=self._peek().is_keyword(word))

    def _take_sign(self, sign: str) -> bool:
        return self._take(is_taken=self._peek().is_sign(sign))

    def _take(self, *, is_taken: bool) -> bool:
        self._at += is_taken
        return is_taken

    def _expect_word(self, word: str) -> None:
        if not self._take_word(word):
            raise QueryError(f"{word} is expected, not {self._peek().shown}", self._peek().position)

    def _expect_sign(self, sign: str) -> None:
        if not self._take_sign(sign):
            raise QueryError(f"'{sign}' is expected, not {self._peek().shown}", self._peek().position)

    def _expect_end(self) -> None:
        token = self._peek()
        if token.is_keyword("ORDER"):
            raise QueryError("ORDER BY is not supported: IoT Hub does not sort", token.position)
        if token.kind is not Kind.END:
            raise QueryError(f"The end of the query is expected, not {token.shown}", token.position)


def _prefixes(source: Collection) -> tuple[tuple[str, ...], ...]:
    """What may stand before a property: ``devices.jobs.`` and so on."""
    return (tuple(source.value.split(".")), ("devices",))


def _check_groups(query: Query, first: Token) -> None:
    """What is selected beside an aggregate is what is grouped by."""
    if not query.is_grouped:
        return
    if not query.columns:
        raise QueryError("* cannot be selected of groups", first.position)
    for column in query.columns:
        if not isinstance(column.of, Aggregate | Constant) and column.of not in query.groups:
            raise QueryError(f"'{column.name}' is selected, and not in GROUP BY", first.position)


def _unknown_function(name: str) -> str:
    meant = name.replace("_", "")
    hint = f"; it is called {meant} here" if meant in FUNCTIONS else ""
    return f"There is no function {name[:100]} in queries on twins{hint}"
