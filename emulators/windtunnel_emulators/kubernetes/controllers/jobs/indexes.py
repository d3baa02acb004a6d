"""Sets of completion indexes as jobs write them: ``1,3-5,7``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse(written: str, completions: int) -> set[int]:
    """The indexes below ``completions``; what cannot be read is passed over."""
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def write(indexes: Iterable[int]) -> str:
    """Ascending; runs of three and more are shortened to their ends, as are pairs."""
    parts: list[str] = []
    run: list[int] = []
    for index in [*sorted(set(indexes)), -1]:
        if run and index == run[-1] + 1:
            run.append(index)
            continue
        if run:
            parts.append(
                str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" if len(run) > 2 else f"{run[0]},{run[1]}"
            )
        run = [index]
    return ",".join(parts)
