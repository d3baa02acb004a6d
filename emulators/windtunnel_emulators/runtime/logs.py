"""A container's output on disk: lines with time and stream, bounded in size.

A line is ``<RFC 3339 time> <stdout|stderr> <text>``. The text is kept byte for byte (colours, bad UTF-8); a line of
more than ``LONGEST_LINE`` bytes is cut there. A full file becomes ``<name>.1`` and the one before that is forgotten.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Stream: TypeAlias = Literal["stdout", "stderr"]

LONGEST_LINE = 256 * 1024
FULL_FILE = 4 * 1024 * 1024
"""ACI keeps 4 MB of a running container."""


class LogWriter:
    """Appends what a container writes; used by one task."""

    def __init__(self, path: Path, now: Callable[[], datetime], *, full: int = FULL_FILE) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._now = now
        self._full = full
        self._partial: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._file = self._open()

    def feed(self, stream: Stream, data: bytes) -> None:
        """Keep the whole lines of what came; the rest waits for its end."""
        partial = self._partial[stream]
        partial += data
        lines: list[bytes] = []
        start = 0
        while (end := partial.find(b"\n", start)) >= 0:
            lines += _pieces(bytes(partial[start:end]))
            start = end + 1
        del partial[:start]
        while len(partial) >= LONGEST_LINE:
            lines.append(bytes(partial[:LONGEST_LINE]))
            del partial[:LONGEST_LINE]
        if lines:
            self._write(stream, lines)

    def note(self, text: str) -> None:
        """A line of the runtime's own, on stderr."""
        self.finish()
        self._write("stderr", [line.encode() for line in text.splitlines()])

    def finish(self) -> None:
        """Keep what has no newline at its end, as no more will come."""
        for stream, partial in self._partial.items():
            if partial:
                self._write(stream, [bytes(partial)])
                partial.clear()

    def close(self) -> None:
        """Safe to call twice."""
        if self._file >= 0:
            self.finish()
            os.close(self._file)
            self._file = -1

    def _open(self) -> int:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(file).st_size
        return file

    def _write(self, stream: Stream, lines: list[bytes]) -> None:
        start = f"{stamp(self._now())} {stream} ".encode()
        for block in _blocks(start, lines, self._full // 4):
            if self._size and self._size + len(block) > self._full:
                os.close(self._file)
                os.replace(self._path, _older(self._path))
                self._file = self._open()
            view = memoryview(block)
            while view:
                view = view[os.write(self._file, view) :]
            self._size += len(block)


def read_log(path: Path, *, tail: int | None = None, timestamps: bool = False, since: datetime | None = None) -> str:
    """The lines of a log, each with its newline; empty when there is none."""
    lines: list[bytes] = []
    for part in (_older(path), path):
        try:
            lines += part.read_bytes().split(b"\n")
        except FileNotFoundError:
            continue
        if lines and not lines[-1]:
            lines.pop()
    if since is not None:
        first = stamp(since).encode()
        lines = [line for line in lines if line.split(b" ", 1)[0] >= first]
    if tail is not None:
        lines = lines[max(0, len(lines) - tail) :] if tail > 0 else []
    return "".join(f"{_shown(line, timestamps=timestamps)}\n" for line in lines)


def stamp(time: datetime) -> str:
    """RFC 3339 in UTC, always of the same length, so that it sorts as text."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _shown(line: bytes, *, timestamps: bool) -> str:
    time, _, rest = line.partition(b" ")
    text = rest.partition(b" ")[2]
    return (time + b" " + text if timestamps else text).decode("utf-8", "replace")


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, max(1, len(line)), LONGEST_LINE):
        yield line[start : start + LONGEST_LINE]


def _blocks(start: bytes, lines: list[bytes], size: int) -> Iterator[bytes]:
    """The lines, ready to write, in blocks that a file has room for."""
    block = bytearray()
    for line in lines:
        block += start + line + b"\n"
        if len(block) >= size:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
