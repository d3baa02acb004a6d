"""The one error tree of this package.

ScoringError
+-- StartError        the container cannot serve; the message goes into its log and it exits with code 3
|   +-- SettingError  an environment variable whose value cannot be used
|   +-- ScriptError   a score.py that cannot be imported or called
|   +-- ModelError    a model that cannot be found or loaded
+-- Refusal           a request that is answered with a status below 500 (or 501) and a sentence
+-- RunFailed         run(), or the model, raised while it worked on a request
+-- ScoringTimeout    run(), or the model, took longer than SCORING_TIMEOUT_MS
+-- NotSerialisable   run() returned what JSON cannot hold
"""

from __future__ import annotations


class ScoringError(Exception):
    """Anything that this package raises on purpose."""


class StartError(ScoringError):
    """The container cannot serve; the message is a sentence for whoever reads its log."""


class SettingError(StartError):
    """An environment variable whose value cannot be used."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        super().__init__(f"{variable} is {value!r}: {expected}")
        self.variable = variable


class ScriptError(StartError):
    """A score.py that cannot be imported or called."""


class ModelError(StartError):
    """A model that cannot be found, or that this server cannot serve."""


class Refusal(ScoringError):
    """The answer to a request that cannot be worked on: a status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RunFailed(ScoringError):
    """Scoring raised; ``__cause__`` is what it raised, which belongs into the log and not into the answer."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))


class ScoringTimeout(ScoringError):
    """Scoring took longer than it may."""

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(f"Scoring timeout after {timeout_ms} ms")
        self.timeout_ms = timeout_ms


class NotSerialisable(ScoringError):
    """The result cannot be written as JSON; ``__cause__`` says why."""
