"""``Quantity``: a number with its source and the confidence in it.

Confidence: A read in a primary or public source, or measured; B recalled from the paper and confirmed by an arithmetic
cross-check; C recalled or assumed; D recalled, unsure. Only A and B may be stated as facts: everything that prints a
quantity asks ``is_fact`` and says "assumed" otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Confidence(StrEnum):
    """How sure a number is."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of a device or of a time line."""

    value: float
    confidence: Confidence
    source: str
    low: float | None = None
    """The smallest value that is as plausible; only for what is assumed."""
    high: float | None = None

    @property
    def whole(self) -> int:
        """The value where it counts things."""
        return round(self.value)

    @property
    def is_fact(self) -> bool:
        """Whether it may be stated without the word assumed."""
        return self.confidence in (Confidence.A, Confidence.B)

    @property
    def status(self) -> str:
        """As reports print it."""
        return {"A": "published", "B": "published, recalled and cross-checked"}.get(self.confidence, "assumed")
