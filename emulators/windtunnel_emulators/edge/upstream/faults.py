"""What is wrong with a network on purpose: a profile of latency, lost connections and flapping, with a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.interface import EdgeProblem

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_LONGEST_MS = 60_000.0
_LONGEST_S = 86_400.0
_JSON_NAMES = {
    "latency_ms": "latencyMs",
    "jitter_ms": "jitterMs",
    "loss_per_second": "lossPerSecond",
    "up_s": "upSeconds",
    "down_s": "downSeconds",
    "seed": "seed",
}


class BadFaults(EdgeProblem):
    """A profile that cannot be one; the message names the field, the value and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Nothing is wrong unless a field says so. The same seed makes the same chances again."""

    latency_ms: float = 0.0
    """In each direction."""
    jitter_ms: float = 0.0
    """At most so much more than ``latency_ms``. The order of bytes stays."""
    loss_per_second: float = 0.0
    """The chance, each second, that all open connections are lost."""
    up_s: float = 0.0
    """Of a link that flaps: seconds for which it is there, and then ..."""
    down_s: float = 0.0
    """... seconds for which it is not."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ``BadFaults`` for what cannot be."""
        for name, most in (
            ("latency_ms", _LONGEST_MS),
            ("jitter_ms", _LONGEST_MS),
            ("loss_per_second", 1.0),
            ("up_s", _LONGEST_S),
            ("down_s", _LONGEST_S),
        ):
            value: float = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= most):
                raise BadFaults(f"'{_JSON_NAMES[name]}' is {value}; it is a number from 0 to {most:g}.")
        if bool(self.up_s) != bool(self.down_s):
            raise BadFaults("A link that flaps needs both 'upSeconds' and 'downSeconds'.")
        if not -(2**63) <= self.seed < 2**63:
            raise BadFaults(f"'seed' is {self.seed}; it is a number of 64 bits.")

    @property
    def flaps(self) -> bool:
        """The link goes away and comes back by itself."""
        return self.down_s > 0

    @property
    def delays(self) -> bool:
        """Bytes take their time."""
        return self.latency_ms > 0 or self.jitter_ms > 0

    def to_json(self) -> JsonObject:
        return {_JSON_NAMES[each.name]: getattr(self, each.name) for each in fields(self)}


NO_FAULTS = Faults()


def parse(value: Json) -> Faults:
    """A profile from JSON; what is left out is not wrong. Raises ``BadFaults``."""
    if not isinstance(value, dict):
        raise BadFaults("A fault profile is a JSON object.")
    names = {json: name for name, json in _JSON_NAMES.items()}
    given: dict[str, float] = {}
    seed = 0
    for key, one in value.items():
        if key not in names:
            raise BadFaults(f"'{key[:100]}' is nothing that a fault profile has; it has {', '.join(names)}.")
        if isinstance(one, bool) or not isinstance(one, (int, float)):
            raise BadFaults(f"'{key}' has to be a number.")
        if key == "seed":
            if one != int(one):
                raise BadFaults("'seed' has to be a whole number.")
            seed = int(one)
        else:
            given[names[key]] = float(one)
    return Faults(**given, seed=seed)
