"""The words of a query: names, numbers, texts, signs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.query.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_QUERY = 64 * 1024
_WORD = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W0-9]\w*|\$[\w$]+)"
    r"|\[\[(?P<quoted>[^\]]+(?:\](?!\])[^\]]*)*)\]\]"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<sign><=|>=|<>|!=|[-+*/%=<>()\[\],.])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"'": "'", '"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_MOST_DIGITS = 400


class Kind(Enum):
    """What a word is."""

    NAME = "name"
    QUOTED = "quoted"
    """A name in ``[[ ]]``: never a keyword."""
    NUMBER = "number"
    TEXT = "text"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word; ``text`` is its meaning: of a text, without the quotes."""

    kind: Kind
    text: str
    position: int
    number: float = 0

    def is_keyword(self, *words: str) -> bool:
        return self.kind is Kind.NAME and self.text.upper() in words

    def is_sign(self, *signs: str) -> bool:
        return self.kind is Kind.SIGN and self.text in signs

    @property
    def shown(self) -> str:
        return "the end of the query" if self.kind is Kind.END else f"'{self.text[:100]}'"


def tokens(query: str) -> Iterator[Token]:
    """The words, the end last. Raises ``QueryError``."""
    if len(query) > LONGEST_QUERY:
        raise QueryError(f"The query has over {LONGEST_QUERY} characters", LONGEST_QUERY)
    at = 0
    while at < len(query):
        found = _WORD.match(query, at)
        if found is None:
            raise QueryError(_unreadable(query[at]), at + 1)
        name = found.lastgroup
        assert name is not None
        if name != "space":
            yield _token(Kind(name), found[name], at + 1)
        at = found.end()
    yield Token(Kind.END, "", len(query) + 1)


def _token(kind: Kind, text: str, position: int) -> Token:
    if kind is Kind.NUMBER:
        return Token(kind, text, position, _number(text, position))
    if kind is Kind.TEXT:
        return Token(kind, _unescaped(text[1:-1], position), position)
    return Token(kind, text, position)


def _unreadable(character: str) -> str:
    if character in "'\"":
        return f"The text that begins with {character} has no end"
    return f"The character {character!r} has no meaning here"


def _number(text: str, position: int) -> float:
    """Whole numbers stay whole, as long as they are exact. Raises ``QueryError``."""
    if len(text) > _MOST_DIGITS:
        raise QueryError(f"The number has over {_MOST_DIGITS} characters", position)
    if text[:2] in ("0x", "0X"):
        found: float = int(text, 16)
    elif text.isdecimal() and len(text) < 16:
        found = int(text)
    else:
        found = float(text)
    if not math.isfinite(found) or abs(found) > 1e308:
        raise QueryError("The number is too large", position)
    return found


def _unescaped(text: str, position: int) -> str:
    def meant(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[2] not in _ESCAPES:
            raise QueryError(f"The escape '\\{found[2]}' has no meaning in a text", position)
        return _ESCAPES[found[2]]

    return _ESCAPE.sub(meant, text)
