"""How often groups may be created and deleted: sliding windows of an hour and of five minutes.

At ``--pace azure`` creations beyond them are refused (deletions are only counted: a resource group must be able to go
with all that is in it). At a faster pace the windows pass as much faster; at ``fast`` no time needs to
pass, so that they never fill.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError

from .quotas import published

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock, Pace

_WINDOWS = {"pt1h": 3600.0, "pt5m": 300.0}
_HEADER = "x-ms-ratelimit-remaining-subscription-resource-requests-"


class Rate:
    """One kind of request: creations or deletions, by subscription and region."""

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._factor = pace.factor
        self._times: dict[tuple[str, str], deque[float]] = {}

    def take(self, subscription: str, location: str, *, refuse: bool = True) -> dict[str, str]:
        """Count one request, and say in headers what is left. Raises ``ArmError`` 429 when nothing is."""
        now = self._clock.monotonic()
        times = self._times.setdefault((subscription.lower(), location), deque())
        longest = max(map(self._length, _WINDOWS))
        while times and now - times[0] >= longest:
            times.popleft()
        left: dict[str, int] = {}
        for window, limit in published()["rates"].items():
            length = self._length(window)
            within = [time for time in times if now - time < length]
            if refuse and len(within) >= limit:
                raise _too_many(limit, window, wait_s=within[-limit] + length - now)
            left[window] = max(0, limit - len(within) - 1)
        times.append(now)
        return {f"{_HEADER}{window}": str(count) for window, count in left.items()}

    def _length(self, window: str) -> float:
        return _WINDOWS[window] / self._factor if self._factor else 0.0


def _too_many(limit: int, window: str, *, wait_s: float) -> ArmError:
    return ArmError(
        429,
        "TooManyRequests",
        f"The limit of {limit} requests on container groups in {'an hour' if window == 'pt1h' else 'five minutes'} is"
        " reached. Please try again later.",
        headers={"Retry-After": str(max(1, round(wait_s + 0.5))), f"{_HEADER}{window}": "0"},
    )
