"""Faults on order: rules that make the front door answer badly, late, or not at all, so that clients can be tested.

A rule is consulted for each request until it has been used ``times`` times. Probabilities come from a generator with a
seed of the rule's own, so that a run can be repeated.
"""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_DELAY_MS: Final = 600_000
_LONGEST_PATTERN: Final = 500
_MOST_RULES: Final = 100


class FaultProblem(ValueError):
    """A rule that cannot be one; the message names the field, the value and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is to go wrong, and where."""

    path: str = ".*"
    """A regular expression, searched for in the request's path without regard to case."""
    method: str = "*"
    """A method, or ``*`` for any."""
    status: int | None = None
    """The answer's status; None for what the emulators would have answered."""
    code: str = "InjectedFault"
    """The code of the error, for ``status``."""
    message: str = "This failure was ordered by a fault rule of the emulators."
    retry_after_s: int | None = None
    """The answer's ``Retry-After``, for ``status``."""
    delay_ms: int = 0
    """How long the request waits first."""
    abort: bool = False
    """Close the connection and answer nothing."""
    times: int | None = None
    """How often it happens; None for always."""
    probability: float = 1.0
    seed: int = 0
    """Where the chances of ``probability`` begin."""

    def __post_init__(self) -> None:
        """Raise ``FaultProblem`` for a rule that cannot be one."""
        try:
            if len(self.path) > _LONGEST_PATTERN:
                raise FaultProblem(f"path is longer than {_LONGEST_PATTERN} characters")
            re.compile(self.path)
        except re.error as error:
            raise FaultProblem(f"path {self.path!r} is no regular expression: {error}") from error
        if self.method != "*" and not re.fullmatch("[A-Z]+", self.method):
            raise FaultProblem(f"method {self.method!r} is neither * nor a method in capitals, as in GET")
        if self.status is not None and not 400 <= self.status <= 599:
            raise FaultProblem(f"status {self.status} is not an error's: 400 to 599")
        if not 0 <= self.delay_ms <= _LONGEST_DELAY_MS:
            raise FaultProblem(f"delay_ms {self.delay_ms} is not between 0 and {_LONGEST_DELAY_MS}")
        if self.retry_after_s is not None and (self.status is None or not 0 <= self.retry_after_s <= 3600):
            raise FaultProblem(f"retry_after_s {self.retry_after_s} is not 0 to 3600, with a status")
        if self.times is not None and self.times < 1:
            raise FaultProblem(f"times {self.times} is less than once; leave it out for always")
        if not 0 < self.probability <= 1:
            raise FaultProblem(f"probability {self.probability} is not above 0 and at most 1")
        if self.abort and self.status is not None:
            raise FaultProblem("abort answers nothing, so it has no status")
        if not self.abort and self.status is None and not self.delay_ms:
            raise FaultProblem("nothing is to go wrong: give a status, abort or delay_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A fault in force."""

    id: str
    fault: Fault
    used: int
    """How often it has happened."""


class Faults:
    """The rules in force; the first that fits a request applies."""

    def __init__(self) -> None:
        """There are none at first."""
        self._rules: list[_Active] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> Rule:
        """Put a rule in force, after those that are. Raises ``FaultProblem`` for one too many."""
        if len(self._rules) >= _MOST_RULES:
            raise FaultProblem(f"there are {_MOST_RULES} rules already; remove some first")
        active = _Active(str(next(self._ids)), fault)
        self._rules.append(active)
        return active.rule

    def rules(self) -> Sequence[Rule]:
        """The rules, in the order in which they are tried; those that are used up are listed until removed."""
        return [active.rule for active in self._rules]

    def remove(self, id_: str) -> bool:
        """Take one rule away; False when there is none of that id."""
        before = len(self._rules)
        self._rules = [active for active in self._rules if active.rule.id != id_]
        return len(self._rules) < before

    def clear(self) -> int:
        """Take all rules away; says how many they were."""
        count = len(self._rules)
        self._rules = []
        return count

    def match(self, method: str, path: str) -> Fault | None:
        """What is to go wrong with a request, counted as used; None for nothing, which costs nothing without rules."""
        for active in self._rules:
            if active.strikes(method, path):
                return active.rule.fault
        return None


class _Active:
    """A rule with what changes about it."""

    def __init__(self, id_: str, fault: Fault) -> None:
        self.rule = Rule(id=id_, fault=fault, used=0)
        self._pattern = re.compile(fault.path, re.IGNORECASE)
        self._chance = random.Random(fault.seed)  # noqa: S311  # chances that can be repeated, not secrets

    def strikes(self, method: str, path: str) -> bool:
        fault = self.rule.fault
        if fault.times is not None and self.rule.used >= fault.times:
            return False
        if fault.method not in ("*", method) or not self._pattern.search(path):
            return False
        if fault.probability < 1 and self._chance.random() >= fault.probability:
            return False
        self.rule = Rule(id=self.rule.id, fault=fault, used=self.rule.used + 1)
        return True
