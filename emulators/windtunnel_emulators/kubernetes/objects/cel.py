"""CEL expressions, as definitions and admission policies have them, with Kubernetes' own functions.

The language is the library ``common-expression-language``; it is imported when the first expression is compiled.
What it lacks of Kubernetes' dialect (optional fields ``?.``, ``cel.bind``) is refused when it is compiled.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from windtunnel_emulators.kubernetes.objects import quantities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cel import Program

_QUANTITY, _URL, _ADDRESS = "@quantity", "@url", "@address"


class CelError(ValueError):
    """An expression that cannot be compiled, or evaluated with the values given."""


class Expression:
    """A compiled expression; evaluating it has no effects."""

    def __init__(self, source: str, program: Program) -> None:
        self.source = source
        self._program = program
        self.names = frozenset(program.variables())
        """The variables it speaks of."""

    def evaluate(
        self, variables: Mapping[str, object], functions: Mapping[str, Callable[..., object]] | None = None
    ) -> object:
        """Its value. Raises ``CelError``."""
        from cel import Context

        context = Context()
        for name, function in _functions().items():
            context.add_function(name, function)
        for name, function in (functions or {}).items():
            context.add_function(name, function)
        for name, value in variables.items():
            context.add_variable(name, value)
        try:
            return cast("object", self._program.execute(context))
        except KeyError as problem:
            raise CelError(f"no such key: {problem.args[0]}") from problem
        except Exception as problem:
            raise CelError(str(problem)) from problem


@lru_cache(maxsize=1024)
def compile_expression(source: str) -> Expression:
    """The compiled expression. Raises ``CelError`` with what is wrong with it."""
    import cel

    try:
        return Expression(source, cel.compile(source))
    except Exception as problem:
        raise CelError(f"compilation failed: {_complaint(problem)}") from problem


def _complaint(problem: Exception) -> str:
    text = str(problem)
    return text.partition("': ")[2] or text


@lru_cache(maxsize=1)
def _functions() -> Mapping[str, Callable[..., object]]:
    from cel import Context
    from cel.stdlib import add_stdlib_to_context

    context = Context()
    add_stdlib_to_context(context)
    library = {name: function for name, function in context.functions.items() if name not in ("min", "max", "sum")}
    return {**library, **_KUBERNETES, "indexOf": _index_of, "lastIndexOf": _last_index_of, "format": _format}


def _index_of(value: object, wanted: object, offset: int = 0) -> int:
    if isinstance(value, str):
        return value.find(str(wanted), offset)
    items = cast("list[object]", value)
    return items.index(wanted) if wanted in items else -1


def _last_index_of(value: object, wanted: object) -> int:
    if isinstance(value, str):
        return value.rfind(str(wanted))
    items = cast("list[object]", value)
    return len(items) - 1 - items[::-1].index(wanted) if wanted in items else -1


def _format(template: str, values: list[object]) -> str:
    left = iter(values)

    def one(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        value = next(left)
        letter = found[0][-1]
        if letter in "dxXobeEfF" and isinstance(value, (int, float)):
            python = found[0].replace("F", "f")
            return f"{value:b}" if letter == "b" else python % value
        return _shown(value)

    try:
        return re.sub(r"%%|%(?:\.[0-9]+)?[sdfFeExXob]", one, template)
    except StopIteration:
        raise ValueError("too few values to format") from None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in cast("list[object]", value)) + "]"
    return str(value)


def _is_sorted(items: list[object]) -> bool:
    numbers = cast("list[float]", items)
    return all(one <= other for one, other in itertools.pairwise(numbers))


def _find_all(text: str, pattern: str, most: int = -1) -> list[str]:
    found = [match[0] for match in re.finditer(pattern, text)]
    return found if most < 0 else found[:most]


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return "" if found is None else found[0]


def _tagged(tag: str, value: str) -> dict[str, str]:
    return {tag: value}


def _quantity(value: object) -> quantities.Quantity:
    text = cast("dict[str, str]", value)[_QUANTITY] if isinstance(value, dict) else str(value)
    return quantities.parse(text)


def _is_quantity(text: str) -> bool:
    try:
        quantities.parse(text)
    except quantities.QuantityError:
        return False
    return True


def _new_quantity(text: str) -> dict[str, str]:
    return _tagged(_QUANTITY, str(quantities.parse(text)))


def _is_greater(one: object, other: object) -> bool:
    return _quantity(one) > _quantity(other)


def _is_less(one: object, other: object) -> bool:
    return _quantity(one) < _quantity(other)


def _compare_to(one: object, other: object) -> int:
    left, right = _quantity(one).amount, _quantity(other).amount
    return (left > right) - (left < right)


def _summed(one: object, other: object, sign: int) -> dict[str, str]:
    added = quantities.Quantity(_quantity(other).amount * sign, _quantity(other).form)
    return _tagged(_QUANTITY, str(_quantity(one) + added))


def _add(one: object, other: object) -> object:
    return _summed(one, other, 1)


def _sub(one: object, other: object) -> object:
    return _summed(one, other, -1)


def _as_integer(value: object) -> int:
    found = _quantity(value)
    if found.amount % 1:
        raise ValueError("cannot convert value to integer")
    return int(found.amount)


def _is_integer(value: object) -> bool:
    return not _quantity(value).amount % 1


def _as_float(value: object) -> float:
    return float(_quantity(value).amount)


def _sign(value: object) -> int:
    amount = _quantity(value).amount
    return (amount > 0) - (amount < 0)


def _is_url(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return bool(found.scheme and (found.netloc or found.path)) or text.startswith("/")


def _new_url(text: str) -> dict[str, str]:
    if not _is_url(text):
        raise ValueError(f"URL parse error during conversion from string: {text!r}")
    return _tagged(_URL, text)


def _url_part(part: Callable[[str], object]) -> Callable[[object], object]:
    return lambda value: part(cast("dict[str, str]", value)[_URL])


def _port(text: str) -> str:
    found = urlsplit(text).port
    return "" if found is None else str(found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _family(value: object) -> int:
    text = cast("dict[str, str]", value)[_ADDRESS]
    return ipaddress.ip_network(text, strict=False).version


def _contains_address(network: object, address: object) -> bool:
    outer = ipaddress.ip_network(cast("dict[str, str]", network)[_ADDRESS], strict=False)
    text = cast("dict[str, str]", address)[_ADDRESS] if isinstance(address, dict) else str(address)
    return ipaddress.ip_address(text) in outer


def _new_address(text: str) -> dict[str, str]:
    ipaddress.ip_network(text, strict=False)
    return _tagged(_ADDRESS, text)


def _sum(items: list[object]) -> object:
    return sum(cast("list[int]", items))


def _of(items: tuple[object, ...]) -> object:
    """The items of a list that is the only one, or all that are given."""
    return cast("object", items[0]) if len(items) == 1 and isinstance(items[0], list) else items


def _min(*items: object) -> object:
    return min(cast("list[int]", _of(items)))


def _max(*items: object) -> object:
    return max(cast("list[int]", _of(items)))


_KUBERNETES: Mapping[str, Callable[..., object]] = {
    "add": _add,
    "asApproximateFloat": _as_float,
    "asInteger": _as_integer,
    "cidr": _new_address,
    "compareTo": _compare_to,
    "containsIP": _contains_address,
    "family": _family,
    "find": _find,
    "findAll": _find_all,
    "getEscapedPath": _url_part(lambda text: urlsplit(text).path),
    "getHost": _url_part(lambda text: urlsplit(text).netloc.rpartition("@")[2]),
    "getHostname": _url_part(lambda text: urlsplit(text).hostname or ""),
    "getPort": _url_part(_port),
    "getScheme": _url_part(lambda text: urlsplit(text).scheme),
    "ip": _new_address,
    "isCIDR": _is_network,
    "isGreaterThan": _is_greater,
    "isIP": _is_address,
    "isInteger": _is_integer,
    "isLessThan": _is_less,
    "isQuantity": _is_quantity,
    "isSorted": _is_sorted,
    "isURL": _is_url,
    "max": _max,
    "min": _min,
    "quantity": _new_quantity,
    "sign": _sign,
    "sub": _sub,
    "sum": _sum,
    "url": _new_url,
}
