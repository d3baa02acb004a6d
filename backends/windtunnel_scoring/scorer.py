"""What computes answers: the seam between HTTP and a script or a model.

Everything in a scorer is blocking and is called by an executor, never on the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from windtunnel_scoring.asgi import Request, Response
    from windtunnel_scoring.swagger import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """An answer and how it came about."""

    response: Response
    elapsed_ms: float | None = None
    """What ``run()`` or the model took, parsing excluded; None when neither was called."""
    run_failed: bool = False
    """Said in ``x-ms-run-function-failed``."""


class Scorer(Protocol):
    """A script, or a model without one; loaded before the server listens."""

    @property
    def methods(self) -> frozenset[str]:
        """The HTTP methods that ``/score`` hands over; GET and POST unless a script asked for raw requests."""
        ...

    @property
    def description(self) -> Description:
        """Its input and output, for ``/swagger.json``."""
        ...

    def owns(self, path: str) -> bool:
        """Whether it serves this path beside ``/score`` (POST only)."""
        ...

    def score(self, request: Request) -> Outcome:
        """Work on one request. Raises ``Refusal``, ``RunFailed``, ``ScoringTimeout`` or ``NotSerialisable``."""
        ...

    def owned_failure(self, status: int, message: str) -> Response:
        """A failure on a path of its own, in the shape that clients of that path read."""
        ...
