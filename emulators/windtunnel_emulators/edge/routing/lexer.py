"""The words of a route, as edge-hub's grammar cuts them: the longest match, and of equally long ones the first kind.

Names may have almost any character in them, so ``a+b`` is one name and ``a + b`` a sum; ``true``, ``false``, ``null``
and ``undefined`` are lower case only, the other keywords have any case (Azure/iotedge, ``Condition.g4``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Word(Enum):
    """The kinds of words; operators and brackets are of one kind, told apart by their text."""

    KEYWORD = "keyword"
    STRING = "string"
    UNTERMINATED = "unterminated string"
    INTEGER = "integer"
    HEX = "hexadecimal number"
    REAL = "number"
    CONSTANT = "constant"
    SIGN = "sign"
    SYSTEM = "system property"
    NAME = "name"
    PATH = "path"
    UNKNOWN = "unknown symbol"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word. The text of a keyword is upper case, whatever was written."""

    kind: Word
    text: str
    position: int

    def is_sign(self, *texts: str) -> bool:
        return self.kind is Word.SIGN and self.text in texts

    def is_keyword(self, *texts: str) -> bool:
        return self.kind is Word.KEYWORD and self.text in texts

    def __str__(self) -> str:
        return "the end" if self.kind is Word.END else f"'{self.text}'"


_SPACE = re.compile(r"[ \t\r\n]+")
_PATH = re.compile(r"""[^()<>@,;:\\"/?={} \t\n\r]+""")
_NAME = re.compile(r"""[^()<>@,;:\\"/\[\]?={} \t\n\r]+""")
_ESCAPE = r"""\\(?:["'\\]|u[0-9a-fA-F]{4})"""
_STRINGS = {
    '"': re.compile(rf"""("(?:{_ESCAPE}|[^"\\])*)("?)"""),
    "'": re.compile(rf"""('(?:{_ESCAPE}|[^'\\])*)('?)"""),
}
_NUMBERS = (
    (Word.INTEGER, re.compile(r"-?[0-9]+")),
    (Word.HEX, re.compile(r"0[Xx][0-9a-fA-F]+")),
    (Word.REAL, re.compile(r"-?[0-9]*\.[0-9]+(?:[Ee][+-]?[0-9]+)?|-?[0-9]*[Ee][+-]?[0-9]+")),
)
_SIGNS = ("!=", "<>", "<=", ">=", "||", "??", *"()=<>,/{}+-*%")
_KEYWORDS = frozenset(("SELECT", "FROM", "WHERE", "INTO", "AND", "OR", "NOT"))
_CONSTANTS = frozenset(("true", "false", "null", "undefined"))


def cut(text: str) -> list[Token]:
    """All words of a text, the last one of kind END. What is no word is one of kind UNKNOWN: this never raises."""
    words: list[Token] = []
    at = 0
    while at < len(text):
        skipped = _skip(text, at)
        if skipped > at:
            at = skipped
            continue
        token = _word(text, at)
        words.append(token)
        at += len(token.text)
    words.append(Token(Word.END, "", len(text)))
    return words


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    if space:
        return space.end()
    if text.startswith("/*", at):
        # A comment only if it ends; else it is the path's slash and star.
        end = text.find("*/", at + 2)
        if end >= 0:
            return end + 2
    return at


def _word(text: str, at: int) -> Token:
    path = _PATH.match(text, at)
    word = path.group() if path else ""
    quoted = _quoted(text, at)
    if quoted is not None and len(quoted.text) >= len(word):
        return quoted
    sign = next((sign for sign in _SIGNS if text.startswith(sign, at)), "")
    if sign and len(sign) >= len(word):
        return Token(Word.SIGN, sign, at)
    if word:
        return Token(*_classify(word), at)
    return Token(Word.UNKNOWN, text[at], at)


def _quoted(text: str, at: int) -> Token | None:
    pattern = _STRINGS.get(text[at])
    match = pattern.match(text, at) if pattern else None
    if match is None:
        return None
    return Token(Word.STRING if match.group(2) else Word.UNTERMINATED, match.group(), at)


def _classify(word: str) -> tuple[Word, str]:
    if word.upper() in _KEYWORDS:
        return Word.KEYWORD, word.upper()
    if word in _CONSTANTS:
        return Word.CONSTANT, word
    for kind, pattern in _NUMBERS:
        if pattern.fullmatch(word):
            return kind, word
    if word[0] == "$" and len(word) > 1:
        return Word.SYSTEM, word
    return (Word.NAME if _NAME.fullmatch(word) else Word.PATH), word
