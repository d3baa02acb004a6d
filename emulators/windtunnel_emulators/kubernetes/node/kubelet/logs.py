"""A container's output as the kubelet API gives it out: the lines of a run, and what follows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import parse_time
from windtunnel_emulators.runtime.logs import stamp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.clock import Clock

_LOOK_EVERY_S = 0.1
_MOST = 256 * 1024


class BadLogOptions(ValueError):
    """A query that asks for no log; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What was asked for."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None
    since_s: int | None = None
    stream: str | None = None
    """``stdout`` or ``stderr`` alone."""

    @classmethod
    def parse(cls, query: Mapping[str, Sequence[str]]) -> LogOptions:
        """Raises ``BadLogOptions``."""

        def one(name: str) -> str | None:
            return query[name][0] if query.get(name) else None

        def number(name: str, least: int) -> int | None:
            given = one(name)
            if given is None or given == "":
                return None
            if not given.lstrip("-").isdigit() or int(given) < least:
                raise BadLogOptions(f"{name}: Invalid value: {given}: must be greater than or equal to {least}")
            return int(given)

        since = one("sinceTime")
        moment = None if since is None else parse_time(since)
        if since is not None and moment is None:
            raise BadLogOptions(f"sinceTime: Invalid value: {since!r}: must be a time of RFC 3339")
        stream = (one("stream") or "All").lower()
        return cls(
            follow=_true(one("follow")),
            previous=_true(one("previous")),
            timestamps=_true(one("timestamps")),
            tail=number("tailLines", 0),
            limit_bytes=number("limitBytes", 1),
            since=moment,
            since_s=number("sinceSeconds", 1),
            stream=None if stream == "all" else stream,
        )


def _true(value: str | None) -> bool:
    return value is not None and value.lower() not in ("0", "false")


async def read(path: Path, options: LogOptions, clock: Clock, ended: Callable[[], bool]) -> AsyncGenerator[bytes]:
    """The output; with ``follow``, until ``ended`` says that the run is over."""
    reader = _Reader(path, options, clock)
    left = options.limit_bytes
    while True:
        over = not options.follow or ended()
        data = reader.more()
        if left is not None:
            data = data[:left]
            left -= len(data)
        if data:
            yield data
        if left == 0 or (over and not data):
            return
        if not data:
            await clock.sleep(_LOOK_EVERY_S)


class _Reader:
    """Reads whole lines, through the change of a full file for a new one."""

    def __init__(self, path: Path, options: LogOptions, clock: Clock) -> None:
        self._path = path
        self._options = options
        self._since = _since(options, clock)
        self._file = -1
        self._first = True
        self._rest = b""

    def more(self) -> bytes:
        """What is new; empty when nothing is."""
        if self._first:
            self._first = False
            lines = self._beginning()
            tail = self._options.tail
            if tail is not None:
                lines = lines[max(0, len(lines) - tail) :] if tail else []
            return self._shown(lines)
        return self._shown(self._following())

    def _beginning(self) -> list[bytes]:
        older = self._path.with_name(self._path.name + ".1")
        lines = older.read_bytes().splitlines(keepends=True) if older.exists() else []
        return [*lines, *self._following(whole=True)]

    def _following(self, *, whole: bool = False) -> list[bytes]:
        if self._file < 0:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
        data = self._rest + self._pieces(whole=whole)
        if data == self._rest and self._follow_change():
            data += self._pieces(whole=whole)
        *lines, self._rest = data.split(b"\n") if data else (b"",)
        return [line + b"\n" for line in lines]

    def _pieces(self, *, whole: bool) -> bytes:
        """What the file has more; all of it, or a piece."""
        found = b""
        while piece := os.read(self._file, _MOST):
            found += piece
            if not whole:
                break
        return found

    def _follow_change(self) -> bool:
        """Take the next file when this one was moved away."""
        try:
            changed = os.stat(self._path).st_ino != os.fstat(self._file).st_ino
        except FileNotFoundError:
            # Between the two.
            return False
        if changed:
            os.close(self._file)
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        return changed

    def _shown(self, lines: list[bytes]) -> bytes:
        shown = bytearray()
        for line in lines:
            time, _, rest = line.partition(b" ")
            if time < self._since:
                continue
            stream, _, text = rest.partition(b" ")
            if self._options.stream is not None and stream.decode() != self._options.stream:
                continue
            shown += time + b" " + text if self._options.timestamps else text
        return bytes(shown)

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def _since(options: LogOptions, clock: Clock) -> bytes:
    from datetime import timedelta

    if options.since is not None:
        return stamp(options.since).encode()
    if options.since_s is not None:
        return stamp(clock.now() - timedelta(seconds=options.since_s)).encode()
    return b""
