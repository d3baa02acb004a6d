"""Patterns of file names: those of COPY, and those of a .dockerignore file.

COPY matches one path with ``*``, ``?``, ``[a-z]`` and ``\\``, none of which crosses a slash. A .dockerignore file has
one pattern a line, also with ``**`` for any number of folders; the last that matches a path or a folder above it
decides, ``!`` takes back. Source: Dockerfile reference, ".dockerignore file" and "COPY".
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ImageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = frozenset("*?[\\")
_MOST_PATTERNS = 10_000
_LONGEST_PATTERN = 1_000
_MOST_WILDCARDS = 16


class PatternError(ImageProblem):
    """A pattern that is not one."""


def has_magic(path: str) -> bool:
    """Whether the path is a pattern."""
    return not _MAGIC.isdisjoint(path)


def compile_glob(pattern: str) -> re.Pattern[str]:
    """For a whole path of COPY. Raises ``PatternError``."""
    return _compile(pattern, deep=False)


class Ignore:
    """What a .dockerignore file says."""

    def __init__(self, text: str) -> None:
        """Raises ``PatternError`` with the line."""
        self._rules = tuple(_rules(text))

    def excludes(self, path: str) -> bool:
        """Whether the path, relative and without ``.``, stays out of the build."""
        parts = path.split("/")
        candidates = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        excluded = False
        for rule in self._rules:
            # A rule that could not change the verdict so far needs no look.
            if rule.takes_back == excluded and any(rule.expression.fullmatch(name) for name in candidates):
                excluded = not rule.takes_back
        return excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    expression: re.Pattern[str]
    takes_back: bool


def _rules(text: str) -> Iterator[_Rule]:
    count = 0
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if line.startswith("#"):
            continue
        pattern = line.strip()
        takes_back = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip()
        if not pattern:
            if takes_back:
                raise PatternError(f".dockerignore line {number}: '!' takes nothing back")
            continue
        count += 1
        if count > _MOST_PATTERNS:
            raise PatternError(f".dockerignore has more than {_MOST_PATTERNS} patterns")
        try:
            expression = _compile(posixpath.normpath(pattern).lstrip("/"), deep=True)
        except PatternError as error:
            raise PatternError(f".dockerignore line {number}: {error}") from error
        yield _Rule(expression=expression, takes_back=takes_back)


def _compile(pattern: str, *, deep: bool) -> re.Pattern[str]:
    if len(pattern) > _LONGEST_PATTERN or pattern.count("*") > _MOST_WILDCARDS:
        raise PatternError(
            f"the pattern {pattern[:80]!r} is over the limit of {_LONGEST_PATTERN} characters and {_MOST_WILDCARDS} '*'"
        )
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if deep and pattern.startswith("**", position - 1):
            position += 1
            while pattern.startswith("*", position):
                position += 1
            if pattern.startswith("/", position):
                position += 1
            parts.append(".*" if position >= len(pattern) else "(?:.*/)?")
        elif character == "*":
            if parts[-1:] != ["[^/]*"]:
                parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[":
            piece, position = _character_class(pattern, position)
            parts.append(piece)
        elif character == "\\":
            if position == len(pattern):
                raise PatternError(f"the pattern {pattern!r} ends with a '\\' that escapes nothing")
            parts.append(re.escape(pattern[position]))
            position += 1
        else:
            parts.append(re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


def _character_class(pattern: str, position: int) -> tuple[str, int]:
    """The class that starts after ``[``, as a regular expression, and where it ends."""
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while True:
        if pattern.startswith("]", position) and ranges:
            # A class never matches a slash, whatever it lists.
            return f"(?!/)[{'^' if negated else ''}{''.join(ranges)}]", position + 1
        low, position = _class_character(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _class_character(pattern, position + 1)
        if low > high:
            raise PatternError(f"the pattern {pattern!r} has the range {low}-{high}, which is empty")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")


def _class_character(pattern: str, position: int) -> tuple[str, int]:
    character = pattern[position : position + 1]
    if character == "\\":
        position += 1
        character = pattern[position : position + 1]
    elif character in {"]", "-"}:
        character = ""
    if not character:
        raise PatternError(f"the pattern {pattern!r} has a '[' that is not closed, or an empty class")
    return character, position + 1
