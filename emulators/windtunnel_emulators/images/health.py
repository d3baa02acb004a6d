"""HEALTHCHECK as an image's configuration has it. Source: Docker's image specification 1.3, "Healthcheck"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.images.instructions import HealthCheck, Shell

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_PART = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NAMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
    "retries": "Retries",
}


def health_check(instruction: HealthCheck) -> JsonObject:
    """The ``Healthcheck`` object."""
    command = instruction.command
    if command is None:
        return {"Test": ["NONE"]}
    test: list[Json] = ["CMD-SHELL", command.text] if isinstance(command, Shell) else ["CMD", *command.arguments]
    options = {_NAMES[name]: int(v) if name == "retries" else nanoseconds(v) for name, v in instruction.options}
    return {"Test": test, **options}


def nanoseconds(duration: str) -> int:
    """Of a duration as Go writes it, such as ``1m30s``."""
    return sum(int(float(number) * _NANOSECONDS[unit]) for number, unit in _PART.findall(duration))
