"""Quantities of resources: ``100m``, ``1.5Gi``, ``2e3``; read, compared, added and written in their canonical form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache

_PATTERN = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+|[KMGTPE]i|[numkMGTPE]?)")
_BINARY = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "Pi": 1024**5, "Ei": 1024**6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_LARGEST = 2**63 - 1
_FINEST = Decimal(1).scaleb(-9)
PATTERN_MESSAGE = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"  # the API's own words
)
SUFFIX_MESSAGE = "unable to parse quantity's suffix"


class QuantityError(ValueError):
    """A text that is no quantity."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount, and the way in which it was written: ``BinarySI``, ``DecimalSI`` or ``DecimalExponent``."""

    amount: Decimal
    form: str = "DecimalSI"

    def __str__(self) -> str:
        return canonical(self)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount + other.amount, other.form if self.amount == 0 else self.form)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.amount - other.amount, other.form if self.amount == 0 else self.form)

    def __lt__(self, other: Quantity) -> bool:
        return self.amount < other.amount

    def __le__(self, other: Quantity) -> bool:
        return self.amount <= other.amount

    def __gt__(self, other: Quantity) -> bool:
        return self.amount > other.amount

    def __ge__(self, other: Quantity) -> bool:
        return self.amount >= other.amount

    @property
    def value(self) -> int:
        """Whole units, rounded up."""
        return int(self.amount.to_integral_value(ROUND_CEILING))

    @property
    def milli(self) -> int:
        """Thousandths, rounded up."""
        return int((self.amount * 1000).to_integral_value(ROUND_CEILING))


ZERO = Quantity(Decimal(0))


@lru_cache(maxsize=4096)
def parse(text: str) -> Quantity:
    """The quantity of a text. Raises ``QuantityError``."""
    if not text:
        raise QuantityError("quantities must not be empty" if False else PATTERN_MESSAGE)
    found = _PATTERN.fullmatch(text)
    if found is None:
        if re.fullmatch(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*", text):
            raise QuantityError(SUFFIX_MESSAGE)
        raise QuantityError(PATTERN_MESSAGE)
    sign, digits, suffix = found.groups()
    amount = Decimal(digits)
    form = "DecimalSI"
    if suffix in _BINARY:
        amount *= _BINARY[suffix]
        form = "BinarySI"
    elif suffix in _DECIMAL:
        amount = amount.scaleb(_DECIMAL[suffix])
    else:
        amount = amount.scaleb(int(suffix[1:]))
        form = "DecimalExponent"
    # Finer than nano is rounded up, away from zero; larger than an int64 is capped.
    amount = amount.quantize(_FINEST, ROUND_CEILING) if amount % _FINEST else amount
    if amount > _LARGEST:
        amount = Decimal(_LARGEST)
    if form == "BinarySI" and -1024 < amount < 1024:
        form = "DecimalSI" if amount % 1 else form
    return Quantity(-amount if sign == "-" else amount, form)


def read(value: object) -> Quantity:
    """A quantity as JSON has it, a text or a number. Raises ``QuantityError``."""
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return parse(str(value))
    raise QuantityError(PATTERN_MESSAGE)


def canonical(quantity: Quantity) -> str:
    """The text with the largest suffix that loses nothing and leaves no fraction."""
    amount = quantity.amount
    if amount == 0:
        return "0"
    if quantity.form == "BinarySI" and amount % 1 == 0:
        if -1024 < amount < 1024:
            return str(int(amount))
        whole = int(amount)
        for suffix in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
            if whole % _BINARY[suffix] == 0:
                return f"{whole // _BINARY[suffix]}{suffix}"
        return str(whole)
    _, _digits, exponent = amount.normalize().as_tuple()
    assert isinstance(exponent, int)
    step = (exponent // 3) * 3
    step = max(-9, min(18, step))
    whole = int(amount.scaleb(-step))
    if quantity.form == "DecimalExponent":
        return f"{whole}e{step}" if step else str(whole)
    return f"{whole}{_BY_EXPONENT[step]}"


def canonical_text(value: object) -> str:
    """The canonical form of a quantity as JSON has it. Raises ``QuantityError``."""
    return canonical(read(value))


def scaled(quantity: Quantity, exponent: int) -> int:
    """In units of ten to the power of ``exponent``, rounded up."""
    return int(quantity.amount.scaleb(-exponent).to_integral_value(ROUND_CEILING))


def floor(quantity: Quantity) -> int:
    """Whole units, rounded down."""
    return int(quantity.amount.to_integral_value(ROUND_FLOOR))
