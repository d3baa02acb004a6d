"""Schedules of CronJobs: five fields, or ``@daily`` and the like; read as sets of minutes, hours and days."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SEARCH_DAYS = 366 * 5


class ScheduleError(ValueError):
    """A text that is no schedule; the message is the API's."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due; ``every`` for a plain interval."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    """One of the two kinds of days is not limited: then both have to match."""
    every: timedelta | None = None

    def _matches_day(self, moment: datetime) -> bool:
        if moment.month not in self.months:
            return False
        weekday = (moment.weekday() + 1) % 7
        by_date, by_weekday = moment.day in self.days, weekday in self.weekdays
        return (by_date and by_weekday) if self.any_day else (by_date or by_weekday)

    def after(self, moment: datetime) -> datetime | None:
        """The next time that is later; None if there is none within five years."""
        if self.every is not None:
            return moment.replace(microsecond=0) + self.every
        found = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        for _ in range(_SEARCH_DAYS):
            if self._matches_day(found):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        candidate = found.replace(hour=hour, minute=minute)
                        if candidate >= found:
                            return candidate
            found = (found + timedelta(days=1)).replace(hour=0, minute=0)
        return None


def parse(text: str) -> Schedule:
    """The schedule of a text. Raises ``ScheduleError``."""
    if text.startswith("@every "):
        from windtunnel_emulators.kubernetes.objects.durations import parse_go

        try:
            return Schedule(every=timedelta(seconds=max(1.0, parse_go(text.removeprefix("@every ").strip()))))
        except ValueError as problem:
            raise ScheduleError(f"failed to parse duration {text}: {problem}") from problem
    if text.startswith("@"):
        if text not in _NAMED:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _NAMED[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    minutes, hours, days, months, weekdays = (_field(part, *facts) for part, facts in zip(parts, _FIELDS, strict=True))
    any_day = parts[2][0] in "*?" or parts[4][0] in "*?"
    return Schedule(minutes, hours, days, months, weekdays, any_day)


def _field(text: str, name: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        bounds, _, step_text = part.partition("/")
        step = _number(step_text, name) if step_text else 1
        if step == 0:
            raise ScheduleError(f"step of range should be a positive number: {part}")
        if bounds in ("*", "?"):
            first, last = least, most
        else:
            start, dash, end = bounds.partition("-")
            first = _number(start, name)
            last = _number(end, name) if dash else (most if step_text else first)
        if first < least:
            raise ScheduleError(f"beginning of range ({first}) below minimum ({least}): {part}")
        if last > most:
            raise ScheduleError(f"end of range ({last}) above maximum ({most}): {part}")
        if first > last:
            raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, name: str) -> int:
    lowered = text.lower()
    if name == "month" and lowered in _MONTHS:
        return _MONTHS.index(lowered) + 1
    if name == "day of week" and lowered in _DAYS:
        return _DAYS.index(lowered)
    if not re.fullmatch(r"[0-9]+", text):
        raise ScheduleError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)
