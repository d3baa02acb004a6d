"""JSONPath as Kubernetes' printer columns use it: fields, indexes, slices, ``[*]``, ``..`` and filters."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from windtunnel_emulators.jsontypes import Json

    Step = Callable[[list[Json]], list[Json]]

_FIELD = re.compile(r"\.?([A-Za-z0-9_\-$/]+(?:\\.[A-Za-z0-9_\-/]*)*)")
_FILTER = re.compile(r"\?\(\s*@((?:\.[\w\-/\\.]+|\['[^']*'\])*)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?))?\s*\)")


class PathError(ValueError):
    """A text that is no path."""


@lru_cache(maxsize=512)
def compile_path(text: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ``PathError``."""
    rest = text.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1]
    rest = rest.removeprefix("$")
    steps: list[Step] = []
    while rest:
        if rest.startswith(".."):
            steps.append(_descend)
            rest = rest[1:] if not rest.startswith("..[") else rest[2:]
        elif rest.startswith((".*", "*")):
            steps.append(_every)
            rest = rest[2:] if rest.startswith(".") else rest[1:]
        elif rest.startswith("["):
            inside, rest = _bracket(rest)
            steps.append(_in_brackets(inside))
        elif rest == ".":
            break
        else:
            found = _FIELD.match(rest)
            if found is None:
                raise PathError(f"{text!r} is no path: {rest!r} is not understood")
            steps.append(_field(found[1].replace("\\.", ".")))
            rest = rest[found.end() :]
    return tuple(steps)


def find(text: str, value: Json) -> list[Json]:
    """What a path leads to. Raises ``PathError``."""
    values = [value]
    for step in compile_path(text):
        values = step(values)
    return values


def _bracket(rest: str) -> tuple[str, str]:
    depth, quote = 0, ""
    for index, letter in enumerate(rest):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "[":
            depth += 1
        elif letter == "]":
            depth -= 1
            if depth == 0:
                return rest[1:index], rest[index + 1 :]
    raise PathError(f"unterminated brackets in {rest!r}")


def _in_brackets(inside: str) -> Step:
    text = inside.strip()
    if text == "*":
        return _every
    if text[:1] in "'\"" and text[:1]:
        return _field(text[1:-1])
    if text.startswith("?"):
        return _filter(text)
    if re.fullmatch(r"-?[0-9]+", text):
        return _index(int(text))
    if re.fullmatch(r"-?[0-9]*:-?[0-9]*(:-?[0-9]+)?", text):
        bounds = [int(part) if part else None for part in text.split(":")]
        return _slice(slice(*bounds))
    raise PathError(f"[{inside}] is not understood")


def _field(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _index(at: int) -> Step:
    return lambda values: [value[at] for value in values if isinstance(value, list) and -len(value) <= at < len(value)]


def _slice(part: slice) -> Step:
    return lambda values: [item for value in values if isinstance(value, list) for item in value[part]]


def _items(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _every(values: list[Json]) -> list[Json]:
    return [item for value in values for item in _items(value)]


def _descend(values: list[Json]) -> list[Json]:
    def below(value: Json) -> Iterator[Json]:
        yield value
        for item in _items(value):
            yield from below(item)

    return [found for value in values for found in below(value)]


def _filter(text: str) -> Step:
    found = _FILTER.fullmatch(text)
    if found is None:
        raise PathError(f"the filter {text!r} is not understood")
    path, operator, wanted = found.groups()
    steps = compile_path(path) if path else ()
    expected = _literal(wanted) if operator else None

    def keeps(item: Json) -> bool:
        values = [item]
        for step in steps:
            values = step(values)
        if not values:
            return False
        return True if not operator else _compare(values[0], operator, expected)

    return lambda values: [item for value in values for item in _items(value) if keeps(item)]


def _literal(text: str) -> Json:
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError as problem:
        raise PathError(f"{text!r} is no value to compare with") from problem


def _compare(left: Json, operator: str, right: Json) -> bool:
    if operator == "==":
        return left == right
    if operator == "!=":
        return left != right
    if isinstance(left, str) and isinstance(right, str):
        return _ordered(operator, left < right, left > right)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return _ordered(operator, left < right, left > right)
    return False


def _ordered(operator: str, less: bool, greater: bool) -> bool:
    return {"<": less, "<=": not greater, ">": greater, ">=": not less}[operator]
