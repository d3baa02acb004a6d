"""OData's ``$filter`` as ARM's lists take it: comparisons of strings, joined by ``and``, ``or`` and brackets.

    filter      = alternative *( "or" alternative )
    alternative = condition *( "and" condition )
    condition   = "(" filter ")" / name ( "eq" / "ne" ) 'text' / function
    function    = "substringof" "(" 'text' "," name ")" / "startswith" "(" name "," 'text' ")"

In a text, two quotes stand for one. ``tagName`` and ``tagValue`` that are joined by ``and`` are about the same tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from windtunnel_emulators.arm.errors import ArmError

Fields: TypeAlias = Mapping[str, str | None]
Tags: TypeAlias = Mapping[str, str]
Test: TypeAlias = Callable[[Fields, Tags], bool]

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[A-Za-z][\w/.]*)|(?P<mark>[(),]))")
_DEEPEST = 20
_LONGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tag:
    """A comparison of a tag's name or value, before it is known whether the other one is given too."""

    of_name: bool
    test: Callable[[str], bool]


_Condition: TypeAlias = "Test | _Tag"


def parse(text: str, names: frozenset[str]) -> Test:
    """A test of a resource by its fields (by name in lower case) and its tags. Raises 400.

    ``names`` are the fields that may be compared; ``tagname`` and ``tagvalue`` always may.
    """
    if len(text) > _LONGEST:
        raise _invalid(text)
    parser = _Parser(text, names)
    test = parser.filter(0)
    if parser.peek() is not None:
        raise _invalid(text)
    return test


class _Parser:
    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text = text
        self._names = names
        self._tokens = _tokens(text)
        self._at = 0

    def peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self.peek()
        if token is None:
            raise _invalid(self._text)
        self._at += 1
        return token

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise _invalid(self._text)

    def filter(self, depth: int) -> Test:
        if depth > _DEEPEST:
            raise _invalid(self._text)
        alternatives = [self._alternative(depth)]
        while (self.peek() or "").lower() == "or":
            self._next()
            alternatives.append(self._alternative(depth))
        if len(alternatives) == 1:
            return alternatives[0]
        return lambda fields, tags: any(test(fields, tags) for test in alternatives)

    def _alternative(self, depth: int) -> Test:
        conditions = [self._condition(depth)]
        while (self.peek() or "").lower() == "and":
            self._next()
            conditions.append(self._condition(depth))
        tests = [c for c in conditions if not isinstance(c, _Tag)]
        about_tag = [c for c in conditions if isinstance(c, _Tag)]
        if about_tag:
            tests.append(_one_tag(about_tag))
        if len(tests) == 1:
            return tests[0]
        return lambda fields, tags: all(test(fields, tags) for test in tests)

    def _condition(self, depth: int) -> _Condition:
        word = self._next()
        if word == "(":
            inner = self.filter(depth + 1)
            self._expect(")")
            return inner
        if word.lower() == "substringof":
            self._expect("(")
            wanted = self._string().lower()
            self._expect(",")
            name = self._name(self._next())
            self._expect(")")
            return _about(name, lambda value: wanted in value.lower())
        if word.lower() == "startswith":
            self._expect("(")
            name = self._name(self._next())
            self._expect(",")
            wanted = self._string().lower()
            self._expect(")")
            return _about(name, lambda value: value.lower().startswith(wanted))
        name = self._name(word)
        operator = self._next().lower()
        wanted = self._string().lower()
        if operator == "eq":
            return _about(name, lambda value: value.lower() == wanted)
        if operator == "ne" and name not in ("tagname", "tagvalue"):
            return lambda fields, tags: (fields.get(name) or "").lower() != wanted
        raise _invalid(self._text)

    def _name(self, word: str) -> str:
        name = word.lower()
        if name not in self._names and name not in ("tagname", "tagvalue"):
            raise _invalid(self._text)
        return name

    def _string(self) -> str:
        token = self._next()
        if not token.startswith("'"):
            raise _invalid(self._text)
        return token[1:-1].replace("''", "'")


def _about(name: str, test: Callable[[str], bool]) -> _Condition:
    if name in ("tagname", "tagvalue"):
        return _Tag(of_name=name == "tagname", test=test)
    return lambda fields, tags: test(fields.get(name) or "")


def _one_tag(conditions: list[_Tag]) -> Test:
    """There is one tag of which everything holds."""

    def test(fields: Fields, tags: Tags) -> bool:
        return any(all(c.test(name if c.of_name else value) for c in conditions) for name, value in tags.items())

    return test


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at, end)
        if token is None:
            raise _invalid(text)
        found.append(token.group().strip())
        at = token.end()
    if not found:
        raise _invalid(text)
    return found


def _invalid(text: str) -> ArmError:
    return ArmError(
        400, "InvalidFilterInQueryString", f"Invalid $filter '{text[:_LONGEST]}' specified in the query string."
    )
