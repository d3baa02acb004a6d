"""Words of a Dockerfile's arguments: splitting, quotes and variables, as Docker's own small shell language has them.

A raw word keeps its quotes and escapes; ``expand`` removes them and puts in the variables:
``$name``, ``${name}``, ``${name:-word}``, ``${name-word}``, ``${name:+word}``, ``${name+word}``, ``${name:?word}``,
``${name?word}``. Source: Dockerfile reference, "Environment replacement".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ImageProblem

if TYPE_CHECKING:
    from collections.abc import Callable

    Lookup = Callable[[str], str | None]
    """The value of a variable, None when it is not set."""

_BLANKS = " \t\v\f\r\n"
_SPECIAL_PARAMETERS = "@*#?-$!0"
_DEEPEST = 50


class WordError(ImageProblem):
    """Words that end in the middle of a quote or a variable, or use an expansion that is not supported."""


def raw_words(text: str, escape: str = "\\") -> list[str]:
    """The words of ``text`` with quotes and escapes kept; a quote may be left open."""
    words: list[str] = []
    word: list[str] = []
    started = False
    quote = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if not quote and character in _BLANKS:
            if started:
                words.append("".join(word))
                word, started = [], False
            continue
        started = True
        word.append(character)
        # Nothing can be escaped between single quotes.
        if character == escape and quote != "'" and position < len(text):
            word.append(text[position])
            position += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    if started:
        words.append("".join(word))
    return words


def expand(word: str, lookup: Lookup, escape: str = "\\") -> str:
    """The word without its quotes, with its variables. One that is not set is empty. Raises ``WordError``."""
    lexer = _Lexer(word, lookup, escape)
    lexer.run("")
    return lexer.text()


def expand_split(text: str, lookup: Lookup, escape: str = "\\") -> list[str]:
    """Like ``expand``, and split at blanks outside of quotes, those in values included. Raises ``WordError``."""
    lexer = _Lexer(text, lookup, escape)
    lexer.run("")
    return lexer.words()


class _Lexer:
    """Reads ``source`` once; the output is characters, each marked as quoted or not."""

    def __init__(self, source: str, lookup: Lookup, escape: str) -> None:
        self._source = source
        self._lookup = lookup
        self._escape = escape
        self._position = 0
        self._depth = 0
        self._out: list[tuple[str, bool]] = []

    def text(self) -> str:
        return "".join(part for part, _ in self._out)

    def words(self) -> list[str]:
        words: list[str] = []
        word: list[str] = []
        started = False
        for part, quoted in self._out:
            # An empty quoted part makes a word; a blank that is not quoted ends one.
            for character in part if not quoted else [part]:
                if quoted or character not in _BLANKS:
                    word.append(character)
                    started = True
                elif started:
                    words.append("".join(word))
                    word, started = [], False
        return [*words, "".join(word)] if started else words

    def run(self, stop: str) -> None:
        """Read to ``stop``, which is taken too, or to the end when it is empty."""
        while self._position < len(self._source):
            character = self._take()
            if stop and character == stop:
                return
            if character == "'":
                self._single_quoted()
            elif character == '"':
                self._double_quoted()
            elif character == "$":
                self._variable(quoted=False)
            elif character == self._escape:
                # At the very end it stands for nothing.
                if self._position < len(self._source):
                    self._out.append((self._take(), True))
            else:
                self._out.append((character, False))
        if stop:
            raise WordError(f"{self._source!r} ends before the {stop!r} that it needs")

    def _take(self) -> str:
        character = self._source[self._position]
        self._position += 1
        return character

    def _peek(self) -> str:
        return self._source[self._position : self._position + 1]

    def _single_quoted(self) -> None:
        end = self._source.find("'", self._position)
        if end < 0:
            raise WordError(f"{self._source!r} ends before its closing single quote")
        self._out.append((self._source[self._position : end], True))
        self._position = end + 1

    def _double_quoted(self) -> None:
        self._out.append(("", True))
        while self._position < len(self._source):
            character = self._take()
            if character == '"':
                return
            if character == "$":
                self._variable(quoted=True)
            elif character == self._escape and self._peek() and self._peek() in f'"${self._escape}':
                self._out.append((self._take(), True))
            else:
                self._out.append((character, True))
        raise WordError(f"{self._source!r} ends before its closing double quote")

    def _variable(self, *, quoted: bool) -> None:
        if self._peek() != "{":
            name = self._name()
            self._out.append((self._lookup(name) or "" if name else "$", quoted))
            return
        self._take()
        name = self._name()
        if not name:
            raise WordError(f"{self._source!r} has a '${{' without the name of a variable")
        value = self._lookup(name)
        operator = self._operator()
        if operator == "}":
            self._out.append((value or "", quoted))
            return
        word = self._nested()
        has_value = value is not None and (value != "" or ":" not in operator)
        if operator.endswith("-"):
            self._put(value or "" if has_value else word, quoted=quoted)
        elif operator.endswith("+"):
            self._put(word if has_value else "", quoted=quoted)
        elif has_value:
            self._put(value or "", quoted=quoted)
        else:
            raise WordError(f"{name}: {word or 'not set'}")

    def _put(self, text: str, *, quoted: bool) -> None:
        self._out.append((text, quoted))

    def _operator(self) -> str:
        first = self._take() if self._peek() else ""
        if first == "}" or (first and first in "-+?"):
            return first
        if first == ":" and self._peek() and self._peek() in "-+?":
            return first + self._take()
        if not first:
            raise WordError(f"{self._source!r} ends before the '}}' that it needs")
        raise WordError(
            f"{self._source!r} uses the expansion {first + self._peek()!r}; supported are ${{x}}, ${{x:-word}},"
            " ${x:+word} and ${x:?word}, each also without the colon"
        )

    def _nested(self) -> str:
        """The word before the closing brace, expanded."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise WordError(f"{self._source[:80]!r}... has variables within variables more than {_DEEPEST} deep")
        outer, self._out = self._out, []
        self.run("}")
        word = self.text()
        self._out = outer
        self._depth -= 1
        return word

    def _name(self) -> str:
        start = self._position
        first = self._peek()
        if first.isascii() and first.isdigit():
            while self._peek().isascii() and self._peek().isdigit():
                self._position += 1
        elif first.isascii() and (first.isalpha() or first == "_"):
            while self._peek().isascii() and (self._peek().isalnum() or self._peek() == "_"):
                self._position += 1
        elif first and first in _SPECIAL_PARAMETERS:
            self._position += 1
        return self._source[start : self._position]
