"""The logs of modules, as ``GetModuleLogs`` and ``UploadModuleLogs`` give them: selected, filtered, packed."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json

_LEVEL = re.compile(r"<([0-7])>\s?")
_DEFAULT_LEVEL = 6
"""Informational, of what does not say (RFC 5424)."""
_SPAN = re.compile(r"([0-9]+)\s*(days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?![a-z])")
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class BadFilter(Exception):
    """A filter that says nothing; the message is a sentence."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """As it comes in a request."""

    tail: int | None = None
    since: str | int | None = None
    until: str | int | None = None
    loglevel: int | None = None
    regex: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a log."""

    time: datetime
    stream: str
    level: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter that was understood."""

    tail: int | None
    since: datetime | None
    until: datetime | None
    level: int | None
    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, given: Filter | None, now: datetime) -> Selection:
        """Raises ``BadFilter``."""
        given = given or Filter()
        if given.tail is not None and given.tail < 0:
            raise BadFilter("tail is negative")
        try:
            pattern = None if not given.regex else re.compile(given.regex)
        except re.error as problem:
            raise BadFilter(f"regex is no regular expression: {problem}") from problem
        return cls(
            tail=given.tail,
            since=_moment(given.since, now, "since"),
            until=_moment(given.until, now, "until"),
            level=given.loglevel,
            pattern=pattern,
        )

    def takes(self, line: Line) -> bool:
        return (
            (self.since is None or line.time >= self.since)
            and (self.until is None or line.time <= self.until)
            and (self.level is None or line.level == self.level)
            and (self.pattern is None or self.pattern.search(line.text) is not None)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How logs are written."""

    json: bool
    packed: bool

    @property
    def ending(self) -> str:
        """Of a file's name."""
        return ("json" if self.json else "log") + (".gz" if self.packed else "")


def select(path: Path, selection: Selection) -> list[Line]:
    """The lines of one log that a selection takes, oldest first."""
    found = [line for line in read(path) if selection.takes(line)]
    if selection.tail is not None:
        found = found[max(0, len(found) - selection.tail) :] if selection.tail else []
    return found


def read(path: Path) -> Iterator[Line]:
    """All lines of a container's log, or of the device's own."""
    last: datetime | None = None
    for file in (path.with_name(f"{path.name}.1"), path):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            continue
        for raw in content.split(b"\n"):
            time, _, rest = raw.decode("utf-8", "replace").partition(" ")
            at = _parsed(time)
            if at is None:
                # A line of a traceback in the device's own log belongs to the one before.
                if last is not None and raw:
                    yield _line(last, raw.decode("utf-8", "replace"))
                continue
            last = at
            yield _line(at, rest)


def written(lines: list[Line], form: Form, *, host: str, device: str, module: str) -> bytes:
    """Text, or a JSON array; packed when that is wanted."""
    if form.json:
        entries: list[Json] = [
            {
                "iothub": host,
                "device": device,
                "id": module,
                "stream": line.stream,
                "loglevel": line.level,
                "text": line.text,
                "timestamp": line.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
            for line in lines
        ]
        content = msgspec.json.encode(entries)
    else:
        content = "".join(f"{line.text}\n" for line in lines).encode()
    return gzip.compress(content) if form.packed else content


def _line(at: datetime, rest: str) -> Line:
    stream, _, text = rest.partition(" ")
    if stream not in ("stdout", "stderr"):
        stream, text = "stderr", rest
    level = _LEVEL.match(text)
    return Line(
        time=at,
        stream=stream,
        level=_DEFAULT_LEVEL if level is None else int(level[1]),
        text=text,
    )


def _moment(value: str | int | None, now: datetime, name: str) -> datetime | None:
    """A time, seconds since 1970, or a span before now like ``1d 2h``."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    if text.isdigit():
        try:
            return datetime.fromtimestamp(int(text), UTC)
        except (OverflowError, OSError, ValueError):
            raise BadFilter(f"{name} is out of range") from None
    at = _parsed(text)
    if at is not None:
        return at
    spans = _SPAN.findall(text.lower())
    if not spans or _SPAN.sub("", text.lower()).strip(" ,"):
        raise BadFilter(f"{name} is neither a time nor a span like '1h 30m': {text[:50]!r}")
    seconds = sum(int(number) * _UNITS[unit[0]] for number, unit in spans)
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        raise BadFilter(f"{name} is out of range") from None


def _parsed(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
