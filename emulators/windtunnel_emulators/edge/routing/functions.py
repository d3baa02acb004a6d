"""The functions that conditions may call: what they take, what they give, and what they do.

Every argument is defined and of its kind when ``compute`` is called; else the result is undefined.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.edge.routing.values import UNDEFINED, Kind, number, part, units

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.edge.routing.values import Value

_NUMBER, _STRING, _BOOL = Kind.NUMBER, Kind.STRING, Kind.BOOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One way to call a function."""

    parameters: tuple[Kind, ...]
    more: bool = False
    """Whether any number of arguments of the last kind may follow."""
    result: Kind
    compute: Callable[..., Value]

    def takes(self, given: tuple[Kind, ...]) -> bool:
        """Whether arguments of these kinds will do; values of the body are looked at when they are there."""
        wanted = self.parameters
        if self.more and len(given) > len(wanted):
            wanted += wanted[-1:] * (len(given) - len(wanted))
        return len(given) == len(wanted) and all(
            have in (want, Kind.BODY) for have, want in zip(given, wanted, strict=True)
        )


def power(base: float, exponent: float) -> Value:
    """As .NET's ``Math.Pow``: too large is infinite."""
    try:
        return number(math.pow(base, exponent))
    except OverflowError:
        odd = exponent % 2 == 1
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        # Zero to a negative power; or a root of a negative number, which is none.
        return math.inf if base == 0 else UNDEFINED


def modulo(left: float, right: float) -> Value:
    """The remainder with the sign of the left side; undefined of a division by zero."""
    try:
        return number(math.fmod(left, right))
    except ValueError:
        return UNDEFINED


def quotient(left: float, right: float) -> Value:
    """As doubles are divided: by zero, it is infinite."""
    if right != 0:
        return number(left / right)
    if left == 0 or math.isnan(left):
        return UNDEFINED
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def concat(*texts: str) -> Value:
    return "".join(texts)


_FORM = re.compile(
    r"(?P<open>\()?(?P<sign>[+-])?¤?(?P<digits>[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?P<exponent>[eE][+-]?[0-9]+)?¤?(?P<behind>[+-])?(?P<close>\))?"
)
_NAMED = {"infinity": math.inf, "+infinity": math.inf, "-infinity": -math.inf, "∞": math.inf, "-∞": -math.inf}


def as_number(text: str) -> Value:
    """As .NET's ``double.Parse`` with every style: blanks around, thousands, an exponent, parentheses for a minus."""
    plain = text.strip(" \t\r\n\v\f")
    named = _NAMED.get(plain.lower())
    if named is not None:
        return named
    match = _FORM.fullmatch(plain)
    if match is None:
        return UNDEFINED
    signs = sum(match.group(name) is not None for name in ("open", "sign", "behind"))
    if signs > 1 or bool(match.group("open")) != bool(match.group("close")):
        return UNDEFINED
    value = float(match.group("digits").replace(",", "") + (match.group("exponent") or ""))
    negative = bool(match.group("open")) or "-" in (match.group("sign"), match.group("behind"))
    return -value if negative else value


def _exp(value: float) -> Value:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _rounded(round_it: Callable[[float], int]) -> Callable[[float], Value]:
    return lambda value: float(round_it(value)) if math.isfinite(value) else value


def _sqrt(value: float) -> Value:
    return math.sqrt(value) if value >= 0 else UNDEFINED


def _sign(value: float) -> Value:
    return float((value > 0) - (value < 0))


def _length(text: str) -> Value:
    return float(units(text))


def _substring(text: str, start: float, length: float | None = None) -> Value:
    size = units(text)
    if length is None:
        return part(text, int(start)) if 0 <= start <= size else UNDEFINED
    if not 0 <= start < size or not 0 <= length <= size - start:
        return UNDEFINED
    return part(text, int(start), int(length))


def _index_of(text: str, sought: str) -> Value:
    at = text.find(sought)
    return float(at if at < 0 else units(text[:at]))


def _maths(compute: Callable[[float], Value]) -> tuple[Overload, ...]:
    return (Overload(parameters=(_NUMBER,), result=_NUMBER, compute=compute),)


def _texts(compute: Callable[[str], Value], result: Kind) -> tuple[Overload, ...]:
    return (Overload(parameters=(_STRING,), result=result, compute=compute),)


def _pairs(compute: Callable[[str, str], Value], result: Kind = _BOOL) -> tuple[Overload, ...]:
    return (Overload(parameters=(_STRING, _STRING), result=result, compute=compute),)


FUNCTIONS: Final[dict[str, tuple[Overload, ...]]] = {
    "abs": _maths(abs),
    "exp": _maths(_exp),
    "power": (Overload(parameters=(_NUMBER, _NUMBER), result=_NUMBER, compute=power),),
    "square": _maths(lambda value: value * value),
    "ceiling": _maths(_rounded(math.ceil)),
    "floor": _maths(_rounded(math.floor)),
    "sign": _maths(_sign),
    "sqrt": _maths(_sqrt),
    "as_number": (
        Overload(parameters=(_STRING,), result=_NUMBER, compute=as_number),
        Overload(parameters=(_NUMBER,), result=_NUMBER, compute=number),
    ),
    "concat": (Overload(parameters=(_STRING, _STRING), more=True, result=_STRING, compute=concat),),
    "length": _texts(_length, _NUMBER),
    "lower": _texts(str.lower, _STRING),
    "upper": _texts(str.upper, _STRING),
    "substring": (
        Overload(parameters=(_STRING, _NUMBER), result=_STRING, compute=_substring),
        Overload(parameters=(_STRING, _NUMBER, _NUMBER), result=_STRING, compute=_substring),
    ),
    "index_of": _pairs(_index_of, _NUMBER),
    "starts_with": _pairs(str.startswith),
    "ends_with": _pairs(str.endswith),
    "contains": _pairs(lambda text, sought: sought in text),
}
"""Those of values. The ones that ask of what kind a value is take anything: ``compiling`` has them."""
