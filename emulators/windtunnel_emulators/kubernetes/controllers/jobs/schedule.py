"""Cron schedules: ``*/5 2-4 1,15 * mon-fri``, ``@hourly``, and their times in a time zone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMES = (
    *("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    *("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
)
_MONTHS = {name: at for at, name in enumerate(_NAMES[:12], 1)}
_DAYS = {name: at for at, name in enumerate(_NAMES[12:])}
_HORIZON = timedelta(days=5 * 366)


class ScheduleError(ValueError):
    """A text that is no schedule, or a zone that is none."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes of a schedule. ``every`` is set for ``@every 1h30m``, which counts from the last time."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    zone: ZoneInfo | None = None
    every: timedelta | None = None

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than ``moment``; None where there is none within five years."""
        if self.every is not None:
            return moment.replace(microsecond=0) + self.every
        at = moment.astimezone(self.zone) if self.zone else moment
        at = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = at + _HORIZON
        while at < end:
            if at.month not in self.months:
                at = (at.replace(day=1, hour=0, minute=0) + timedelta(days=32)).replace(day=1)
            elif not self._day(at):
                at = at.replace(hour=0, minute=0) + timedelta(days=1)
            elif at.hour not in self.hours:
                at = at.replace(minute=0) + timedelta(hours=1)
            elif at.minute not in self.minutes:
                at += timedelta(minutes=1)
            else:
                return at.astimezone(moment.tzinfo)
        return None

    def _day(self, at: datetime) -> bool:
        day, weekday = at.day in self.days, (at.weekday() + 1) % 7 in self.weekdays
        # Where both are restricted, either will do (crontab(5)).
        return day and weekday if self.any_day or self.any_weekday else day or weekday

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Its times after ``start``, ``end`` included."""
        at = self.after(start)
        while at is not None and at <= end:
            yield at
            at = self.after(at)


def parse(written: str, zone: str | None = None) -> Schedule:
    """Raises ``ScheduleError`` with what is wrong."""
    found: ZoneInfo | None = None
    if zone:
        try:
            found = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as failure:
            raise ScheduleError(f"unknown time zone {zone}") from failure
    text = written.strip()
    if text.startswith("@every "):
        none = frozenset[int]()
        every = _duration(text.removeprefix("@every ").strip())
        return Schedule(none, none, none, none, none, True, True, found, every)
    fields = _NAMED.get(text, text).split()
    if len(fields) != 5:
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    weekdays = _field(fields[4], 0, 7, _DAYS)
    return Schedule(
        _field(fields[0], 0, 59),
        _field(fields[1], 0, 23),
        _field(fields[2], 1, 31),
        _field(fields[3], 1, 12, _MONTHS),
        frozenset(day % 7 for day in weekdays),
        fields[2][0] in "*?",
        fields[4][0] in "*?",
        found,
    )


def _field(field: str, low: int, high: int, names: Mapping[str, int] | None = None) -> frozenset[int]:
    values: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and not (step.isdigit() and int(step)):
            raise ScheduleError(f"step of {part!r} is no positive number")
        if span in ("*", "?"):
            first, last = low, high - 1 if high == 7 else high
        else:
            start, dash, end = span.partition("-")
            first = _value(start, names)
            last = _value(end, names) if dash else high if slash else first
        if not low <= first <= last <= high:
            raise ScheduleError(f"{part!r} is not within {low}-{high}")
        values.update(range(first, last + 1, int(step) if slash else 1))
    return frozenset(values)


def _value(written: str, names: Mapping[str, int] | None) -> int:
    if names and written.lower() in names:
        return names[written.lower()]
    if not written.isdigit():
        raise ScheduleError(f"failed to parse int from {written!r}")
    return int(written)


def _duration(written: str) -> timedelta:
    from windtunnel_emulators.kubernetes.controllers.autoscaling.replicas import seconds

    if not written or not written[0].isdigit():
        raise ScheduleError(f"failed to parse duration {written!r}")
    return timedelta(seconds=max(seconds(written), 1.0))
