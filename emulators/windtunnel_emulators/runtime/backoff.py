"""How long a container that ended waits before it is started again: at once, then 10 s, doubling to 5 minutes.

Kubernetes' rule, which ACI's recorded restarts follow: the first restart comes at once, and a run of ten minutes
makes the count start anew.
"""

from __future__ import annotations

FIRST_S = 10.0
LONGEST_S = 300.0
HEALTHY_RUN_S = 600.0


class Backoff:
    """The waits of one container or one image pull, in Azure's seconds."""

    def __init__(self, *, first_at_once: bool) -> None:
        self._first_at_once = first_at_once
        self._failures = 0

    def after(self, run_s: float = 0.0) -> float:
        """The wait after a run of that many seconds (0 for a failed attempt)."""
        if run_s >= HEALTHY_RUN_S:
            self._failures = 0
        step = self._failures - (1 if self._first_at_once else 0)
        self._failures += 1
        if step < 0:
            return 0.0
        return LONGEST_S if step >= 5 else min(LONGEST_S, FIRST_S * 2**step)
