"""The queue between requests and storage: bounded, never waited for, and emptied when the process ends.

What finds it full is dropped and counted; so is what cannot be written after a few tries. The log says it, once a
minute at most. Rows become text on the writer's own thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from windtunnel_scoring import ending
from windtunnel_scoring.collection.sinks import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_scoring.collection.sinks import Sink

logger = logging.getLogger("windtunnel.collection")

_MOST_BYTES: Final = 32 * 1024 * 1024
_TRIES: Final = 3
_WAIT_S: Final = 0.5
_END_S: Final = 10.0
_SAY_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Text for a file."""

    path: str
    header: bytes
    lines: bytes


@dataclass(slots=True)
class Counts:
    """What became of collections."""

    written: int = 0
    dropped: int = 0


class Writer:
    """One per process."""

    def __init__(self, sink: Sink, *, most: int = 1000, flush_s: float = 5.0) -> None:
        self._sink = sink
        self._most = most
        self._flush_s = flush_s
        self._waiting: deque[tuple[Callable[[], list[Lines]], int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._said_at = float("-inf")
        self._busy = False
        self._hurry = False
        self.counts = Counts()

    def offer(self, make: Callable[[], list[Lines]], size: int) -> bool:
        """Take a collection, whose text is made later; False when there is no room."""
        with self._changed:
            full = len(self._waiting) >= self._most or self._bytes + size > _MOST_BYTES
            if not (full or self._ending):
                self._waiting.append((make, size))
                self._bytes += size
                self._start()
                self._changed.notify_all()
                return True
        self._drop(1, "the queue is full")
        return False

    def flush(self, limit_s: float = _END_S) -> bool:
        """Write all that waits; False when that took too long."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._waiting and not self._busy, limit_s)
            self._hurry = False
        return done

    def close(self) -> None:
        """The process ends."""
        with self._changed:
            self._ending = True
        if not self.flush():
            self._drop(len(self._waiting), "the process ended first")

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: a storage that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="collection", daemon=True)
            self._thread.start()
            ending.at_end(self.close)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._waiting))
                # A moment for more to come, since each append is a request to the storage.
                self._changed.wait_for(self._is_urgent, self._flush_s)
                taken = list(self._waiting)
                self._waiting.clear()
                self._bytes = 0
                self._busy = True
            self._write(taken)

    def _is_urgent(self) -> bool:
        return self._hurry or len(self._waiting) * 2 > self._most or self._bytes * 2 > _MOST_BYTES

    def _write(self, taken: list[tuple[Callable[[], list[Lines]], int]]) -> None:
        files: dict[tuple[str, bytes], list[bytes]] = {}
        collections: dict[tuple[str, bytes], int] = {}
        for make, _ in taken:
            try:
                made = make()
            except Exception as error:  # data of users, of any kind
                self._drop(1, f"the data could not be written as CSV: {type(error).__name__}")
                continue
            for lines in made:
                key = (lines.path, lines.header)
                files.setdefault(key, []).append(lines.lines)
                collections[key] = collections.get(key, 0) + 1
        for (path, header), pieces in files.items():
            self._append(path, header, b"".join(pieces), collections[path, header])

    def _append(self, path: str, header: bytes, lines: bytes, count: int) -> None:
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_WAIT_S * attempt)
            try:
                self._sink.append(path, header, lines)
            except SinkError as error:
                reason = str(error)
            except Exception as error:  # whatever a library raises, the thread goes on
                reason = type(error).__name__
            else:
                self.counts.written += count
                return
        self._drop(count, reason)

    def _drop(self, count: int, reason: str) -> None:
        self.counts.dropped += count
        now = time.monotonic()
        if now - self._said_at >= _SAY_EVERY_S:
            self._said_at = now
            logger.warning("%d collections were dropped so far, the last since %s", self.counts.dropped, reason)
