"""Durations: as people read them in tables, and as Go writes them."""

from __future__ import annotations

import re
from datetime import datetime

from windtunnel_emulators.jsontypes import Json  # noqa: TC001 - a signature that callers may inspect

_GO = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
UNKNOWN = "<unknown>"


def human(seconds_of: float) -> str:
    """``38s``, ``5m3s``, ``2d4h``: two units at most, fewer the longer it is."""
    seconds = int(seconds_of)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    years = days // 365
    if days < 365 * 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(first: int, unit: str, second: int, small: str) -> str:
    return f"{first}{unit}{second}{small}" if second else f"{first}{unit}"


def moment(value: Json) -> datetime | None:
    """A timestamp; None if it is none."""
    if not isinstance(value, str) or not value:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def since(value: Json, now: datetime) -> str:
    """How long ago a timestamp is; ``<unknown>`` without one."""
    found = moment(value)
    return UNKNOWN if found is None else human((now - found).total_seconds())


def parse_go(text: str) -> float:
    """The seconds of ``1h2m3.5s``. Raises ``ValueError``."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, at = 0.0, 0
    while at < len(rest):
        found = _GO.match(rest, at)
        if found is None:
            raise ValueError(f"{text!r} is no duration")
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if not rest:
        raise ValueError("an empty text is no duration")
    return sign * total
