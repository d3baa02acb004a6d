"""What each contract test rests on: a live pass and its date, or the reason that there is none.

    validated        passed against live Azure; the date is in validated.json
    awaiting_azure   can run live, nobody has yet
    offline_only     cannot run live, and the mark says why

The file is written only by live runs. Nothing here is typed by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Standing(StrEnum):
    """Exactly one for each test."""

    VALIDATED = "validated"
    AWAITING_AZURE = "awaiting_azure"
    OFFLINE_ONLY = "offline_only"


@dataclass(frozen=True, slots=True)
class Validations:
    """When each test last passed live: ``{test: ISO date}``."""

    dates: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Validations:
        """Raises ``ValueError`` when the file is not what ``write`` makes. An absent file is an empty one."""
        if not path.exists():
            return cls({})
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict) or not all(
            isinstance(v, str) for v in cast("dict[str, object]", found).values()
        ):
            raise ValueError(f"{path}: expected an object of test names and dates")
        return cls(cast("dict[str, str]", found))

    def write(self, path: Path) -> None:
        """Sorted, one test a line."""
        path.write_text(json.dumps(dict(sorted(self.dates.items())), indent=1) + "\n", "utf-8")

    def with_pass(self, test: str, date: str) -> Validations:
        """The same with one more date."""
        return Validations({**self.dates, test: date})

    def standing(self, test: str, *, offline_only: bool) -> Standing:
        """Raises ``ValueError`` for a test that cannot run live and yet is said to have."""
        if test in self.dates:
            if offline_only:
                raise ValueError(f"{test} is marked offline_only and has a live date: one of the two is wrong")
            return Standing.VALIDATED
        return Standing.OFFLINE_ONLY if offline_only else Standing.AWAITING_AZURE
