"""Which version a request goes to: exactly by percentages, evenly spread.

Of any 100 requests in a row that follow a change, each version gets its percentage exactly (smooth weighted
round-robin), so a canary of 1 % is seen in a hundred requests and not only on average.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Split:
    """Chooses names by weight."""

    def __init__(self, shares: Mapping[str, int]) -> None:
        """At least one share is positive."""
        self.shares = dict(shares)
        self._total = sum(shares.values())
        self._credit = {name: 0 for name, share in shares.items() if share > 0}

    def choose(self) -> str:
        """The next one."""
        for name in self._credit:
            self._credit[name] += self.shares[name]
        chosen = max(self._credit, key=lambda name: self._credit[name])
        self._credit[chosen] -= self._total
        return chosen


class Sample:
    """Says yes to so many percent of the questions, evenly spread."""

    def __init__(self, percent: int) -> None:
        self.percent = percent
        self._credit = 0

    def take(self) -> bool:
        """Whether this one."""
        self._credit += self.percent
        if self._credit < 100:
            return False
        self._credit -= 100
        return True
