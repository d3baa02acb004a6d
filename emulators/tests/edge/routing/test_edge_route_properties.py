"""Properties of the route language: any text is a route or a ``RouteError``; what is printed is read back; and the
value of an expression is that which its parts, put together one by one, make.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.edge.interface import Kind, Message
from windtunnel_emulators.edge.routing import RouteError, RouteTable
from windtunnel_emulators.edge.routing.compiling import compile_condition
from windtunnel_emulators.edge.routing.facts import Facts
from windtunnel_emulators.edge.routing.lexer import Word, cut
from windtunnel_emulators.edge.routing.parser import parse_condition, parse_route
from windtunnel_emulators.edge.routing.tree import Binary, Call, Literal, Node, Property, Statement, System, Unary, show
from windtunnel_emulators.edge.routing.values import UNDEFINED, Undefined, Value
from windtunnel_emulators.iot.hub import bags
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json

WORDS = (
    *("FROM", "WHERE", "INTO", "SELECT", "*", "/", "/*", "*/", "messages", "$upstream", "BrokeredEndpoint", "(", ")"),
    *('"/modules/m/inputs/i"', "'", '"', "\\", "\\u0041", "=", "!=", "<>", "<=", "??", "||", "|", "?", "AND", "or"),
    *("not", "-", "+", "%", "5", "1e9", "e5", "0x1F", ".5", "true", "null", "undefined", "a", "$body.a[0].b", "[0]"),
    *("$contentType", "{", "}", "{$a}", ",", "length", "as_number", "twin_change_includes", "concat", "@", ";", "\n"),
)
anything = st.text() | st.lists(st.sampled_from(WORDS) | st.text(max_size=3)).map(" ".join)


@given(anything)
def test_any_text_is_a_route_or_an_error(text: str) -> None:
    try:
        table = RouteTable.parse({"r": text})
    except RouteError as problem:
        said = str(problem)
    else:
        said = ""
        assert len(table.endpoints()) == 1
    assert not said or said.startswith("Error parsing route r - character ")


@given(anything)
def test_any_condition_is_one_or_an_error(text: str) -> None:
    try:
        table = RouteTable.parse({"r": f"FROM /* WHERE {text} INTO $upstream"})
    except RouteError:
        return
    table.targets(Message(sender=Who("d"), bag="a=1", body=b"{}", enqueued=0.0))


@given(st.text())
def test_the_words_of_a_text_are_in_it_in_order(text: str) -> None:
    end = 0
    for token in cut(text):
        assert token.position >= end
        end = token.position + len(token.text)
        assert text[token.position : end].lower() == token.text.lower()
    assert end == len(text)


def is_name(text: str) -> bool:
    tokens = cut(text)
    return len(tokens) == 2 and tokens[0].kind is Word.NAME and tokens[0].text == text


names = st.from_regex(r"[a-zA-Z_!'|$*+.-][\w!'|$*+.-]{0,8}", fullmatch=True).filter(is_name)
numbers = st.floats(allow_nan=False).map(float)
literals = st.builds(Literal, numbers | st.text() | st.booleans() | st.none() | st.just(UNDEFINED))
systems = st.builds(
    System,
    st.from_regex(r"\$[a-zA-Z][a-zA-Z.-]{0,8}", fullmatch=True)
    | st.from_regex(r"\$body(\.[a-z]{1,3}(\[[0-9]\])?){1,3}", fullmatch=True),
    st.booleans(),
)
NODES: st.SearchStrategy[Node] = st.recursive(
    literals | st.builds(Property, names) | systems,
    lambda inner: (
        st.builds(Unary, st.sampled_from(("-", "NOT")), inner)
        | st.builds(
            Binary,
            st.sampled_from(("+", "-", "*", "/", "%", "||", "??", "=", "!=", "<", "<=", ">", ">=", "AND", "OR")),
            inner,
            inner,
        )
        | st.builds(Call, names.map(str.lower).filter(is_name), st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=12,
)
statements = st.builds(
    Statement,
    source=st.lists(names | st.just("*"), min_size=1, max_size=4).map(tuple),
    condition=st.none() | NODES,
    endpoint=st.just("$upstream") | st.from_regex(r"[a-zA-Z0-9:.%_#?!(),=@;$'-]{1,8}/[a-z0-9]{1,5}", fullmatch=True),
)


@given(NODES)
def test_what_is_printed_is_read_back(node: Node) -> None:
    assert parse_condition(show(node)) == node


@given(statements)
def test_a_route_that_is_printed_is_read_back(statement: Statement) -> None:
    assert parse_route(str(statement)) == statement


# An oracle: each strategy gives texts together with the value that they must have, put together from their parts by
# rules that are written here once more.

PROPERTIES = {"one": "1", "word": "apple", "empty": "", "yes": "true"}
BODY: Json = {"n": 5, "s": "pear", "t": True, "z": None, "list": [1, "two"]}
MESSAGE = Message(
    sender=Who("edge", "m"),
    bag=bags.encode({**PROPERTIES, "$.ct": "application/json", "$.ce": "utf-8"}),
    body=msgspec.json.encode(BODY),
    enqueued=0.0,
)
Number: TypeAlias = tuple[str, "float | Undefined"]
Text: TypeAlias = tuple[str, "str | Undefined"]
Truth: TypeAlias = tuple[str, "bool | Undefined"]


def whole(value: float) -> float | Undefined:
    return UNDEFINED if math.isnan(value) else value


def divided(left: float, right: float) -> float | Undefined:
    if right:
        return whole(left / right)
    return UNDEFINED if left == 0 else left * math.inf * math.copysign(1, right)


def remainder(left: float, right: float) -> float | Undefined:
    return UNDEFINED if right == 0 or math.isinf(left) else math.fmod(left, right)


ARITHMETIC: dict[str, Callable[[float, float], float | Undefined]] = {
    "+": lambda left, right: whole(left + right),
    "-": lambda left, right: whole(left - right),
    "*": lambda left, right: whole(left * right),
    "/": divided,
    "%": remainder,
}
COMPARING: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<>": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@st.composite
def number_texts(draw: st.DrawFn, depth: int = 3) -> Number:
    form = draw(st.integers(0, 6 if depth else 2))
    if form == 0:
        value = draw(st.integers(-20, 20))
        return str(value), float(value)
    if form == 1:
        name = draw(st.sampled_from((*PROPERTIES, "none")))
        return f"as_number({name})", 1.0 if name == "one" else UNDEFINED
    if form == 2:
        return draw(st.sampled_from((("0.5", 0.5), ("-1e3", -1000.0), ("1e999", math.inf), ("0x10", 16.0))))
    if form == 3:
        text, inner = draw(text_texts(depth - 1))
        return f"length({text})", UNDEFINED if inner is UNDEFINED else float(len(inner))
    left, one = draw(number_texts(depth - 1))
    if form == 4:
        return f"-({left})", UNDEFINED if one is UNDEFINED else -one
    right, other = draw(number_texts(depth - 1))
    if form == 5:
        return f"({left} ?? {right})", other if one is UNDEFINED else one
    sign = draw(st.sampled_from(tuple(ARITHMETIC)))
    if one is UNDEFINED or other is UNDEFINED:
        return f"({left} {sign} {right})", UNDEFINED
    return f"({left} {sign} {right})", ARITHMETIC[sign](one, other)


@st.composite
def text_texts(draw: st.DrawFn, depth: int = 3) -> Text:
    form = draw(st.integers(0, 4 if depth else 1))
    if form == 0:
        value = draw(st.text("abcX ", max_size=4))
        return f"'{value}'", value
    if form == 1:
        name = draw(st.sampled_from((*PROPERTIES, "none")))
        return name, PROPERTIES.get(name, UNDEFINED)
    left, one = draw(text_texts(depth - 1))
    if form == 2:
        return f"upper({left})", UNDEFINED if one is UNDEFINED else one.upper()
    right, other = draw(text_texts(depth - 1))
    if form == 3:
        return f"({left} ?? {right})", other if one is UNDEFINED else one
    return f"({left} || {right})", UNDEFINED if one is UNDEFINED or other is UNDEFINED else one + other


@st.composite
def truth_texts(draw: st.DrawFn, depth: int = 3) -> Truth:
    form = draw(st.integers(0, 6 if depth else 2))
    if form == 0:
        return draw(st.sampled_from((("true", True), ("false", False))))
    if form in (1, 2):
        sign = draw(st.sampled_from(tuple(COMPARING)))
        if form == 1:
            (left, one), (right, other) = draw(number_texts(depth and 2)), draw(number_texts(depth and 2))
            if one is UNDEFINED or other is UNDEFINED:
                return f"({left} {sign} {right})", UNDEFINED
            return f"({left} {sign} {right})", COMPARING[sign](one, other)
        (left, word), (right, second) = draw(text_texts(depth and 2)), draw(text_texts(depth and 2))
        if word is UNDEFINED or second is UNDEFINED:
            return f"({left} {sign} {right})", UNDEFINED
        order = (word > second) - (word < second)
        return f"({left} {sign} {right})", COMPARING[sign](order, 0)
    if form == 3:
        text, value = draw(number_texts(depth - 1))
        return f"is_defined({text})", value is not UNDEFINED
    left, first = draw(truth_texts(depth - 1))
    if form == 4:
        return f"NOT {left}", UNDEFINED if first is UNDEFINED else not first
    right, last = draw(truth_texts(depth - 1))
    both = {first, last}
    if form == 5:
        return f"({left} AND {right})", False if False in both else UNDEFINED if UNDEFINED in both else True
    return f"({left} OR {right})", True if True in both else UNDEFINED if UNDEFINED in both else False


def evaluate(condition: str, message: Message = MESSAGE) -> Value:
    return compile_condition(parse_condition(condition))(Facts(message))


@given(truth_texts())
def test_a_condition_has_the_value_that_its_parts_make(truth: Truth) -> None:
    text, expected = truth
    assert evaluate(text) is expected
    assert bool(RouteTable.parse({"r": f"FROM /* WHERE {text} INTO $upstream"}).targets(MESSAGE)) is (expected is True)


@given(number_texts())
def test_a_number_has_the_value_that_its_parts_make(number: Number) -> None:
    text, expected = number
    if expected is UNDEFINED:
        assert evaluate(f"is_defined({text})") is False
    elif math.isinf(expected):
        assert evaluate(f"{text} = {'-' if expected < 0 else ''}1e999") is True
    else:
        assert evaluate(f"{text} = {expected!r}") is True


CONDITIONS = (
    "$body.a = 1", "$body.a.b[0] > $body.c", "$body.a ?? 1 = 1", "$body.a || 'x' = 'ax'", "NOT $body.a",
    "$body.a AND $body.b", "length($body.a) = 1", "substring($body.a, $body.b, $body.c) = 'x'", "is_null($body.a)",
    "as_number($body.a) + as_number(a) = 2", "upper(a) = 'X'", "$a = $contentType", "power($body.a, $body.b) = 1",
    "exp($body.a) * $body.b / $body.c = 1", "sqrt($body.a) < floor($body.b)", "index_of(a, $body.a) = 0",
)  # fmt: skip
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(CONDITIONS), st.dictionaries(st.sampled_from("abc"), jsons), st.text(), st.sampled_from(Kind))
def test_evaluating_is_never_a_crash(condition: str, body: dict[str, Json], text: str, kind: Kind) -> None:
    bag = bags.encode({"a": text, "$.ct": "application/json", "$.ce": "utf-8"})
    message = Message(sender=Who("d"), kind=kind, bag=bag, body=msgspec.json.encode(body), enqueued=0.0)
    assert evaluate(condition, message) in (True, False, UNDEFINED)
