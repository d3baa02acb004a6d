"""A failure as an answer and a log line: the same over HTTP and by a direct method of an edge module."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from windtunnel_scoring.asgi import HTML, Response
from windtunnel_scoring.errors import NotSerialisable, Refusal, RunFailed, ScoringTimeout, ScriptError
from windtunnel_scoring.scorer import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.errors import StartError

logger = logging.getLogger("windtunnel")

RUN_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
INTERNAL = "An unexpected internal error occurred. Check the logs for more info."


def outcome(error: Exception, shape: Callable[[int, str], Response], *, legacy: bool = False) -> Outcome:
    """The answer to a request whose scoring raised ``error``; called while it is handled.

    ``shape`` makes an answer of a status and a sentence; ``legacy`` answers a failed run() as in 2018.
    """
    if isinstance(error, Refusal):
        return Outcome(response=shape(error.status, error.message))
    if isinstance(error, ScoringTimeout):
        logger.error("%s", error, exc_info=error)
        return Outcome(response=shape(500, str(error)), run_failed=True)
    if isinstance(error, RunFailed):
        logger.error("Encountered Exception", exc_info=error.__cause__)
        if legacy:
            # What containers of 2018 answered: their nginx turned the failure into 502 with the text.
            text = Response(status=502, body=str(error).encode(), headers=(("content-type", HTML),))
            return Outcome(response=text, run_failed=True)
        return Outcome(response=shape(500, RUN_FAILED), run_failed=True)
    if isinstance(error, NotSerialisable):
        logger.error("Encountered Exception", exc_info=error.__cause__)
        return Outcome(response=shape(500, INTERNAL))
    logger.error("Encountered Exception", exc_info=error)
    return Outcome(response=shape(500, INTERNAL))


def log_start_error(error: StartError) -> None:
    """The sentence, and for a script's own exception where it came from."""
    logger.error("%s", error)
    if isinstance(error, ScriptError) and error.__cause__ is not None:
        logger.error("Encountered Exception", exc_info=error.__cause__)
