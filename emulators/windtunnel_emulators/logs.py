"""What the emulators write about themselves, on stderr: one line per request and per end of an operation.

Readable lines, or JSON lines for machines. Neither headers nor bodies nor queries are written, so no token, key or
signed link can be. Lines of INFO and below wait up to a fifth of a second, so that a busy server writes many at once;
anything worse is written immediately, with what waits before it.
"""

from __future__ import annotations

import asyncio
import logging
import logging.config
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.logtail import LogTail

if TYPE_CHECKING:
    from typing import TextIO

    from windtunnel_emulators.asgi import Scope

_WAIT_S = 0.2
_MOST_WAITING = 500
_requests = logging.getLogger("windtunnel_emulators.requests")


def configure(*, json: bool, level: str, stream: TextIO | None = None) -> LogTail:
    """Set up logging for this process, once, before anything is logged; returns the last lines, for others to read."""
    tail = LogTail()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": _JsonLines if json else _Lines}},
            "handlers": {
                "lines": {"()": _Gathered, "stream": stream or sys.stderr, "tail": tail, "formatter": "line"},
            },
            "root": {"handlers": ["lines"], "level": "WARNING"},
            "loggers": {"windtunnel_emulators": {"level": level.upper()}},
        }
    )
    tail.setFormatter(_JsonLines() if json else _Lines())
    return tail


def log_request(scope: Scope, status: int, seconds: float, request_id: str = "-") -> None:
    """The line of one request; status 0 is one that was not answered."""
    if _requests.isEnabledFor(logging.INFO):
        record = _RequestRecord((scope["method"], scope["path"], status, seconds * 1000, request_id))
        _requests.handle(record)


class _RequestRecord(logging.LogRecord):
    """A record that skips what ``LogRecord`` finds out about its caller: a third of what a request's line costs."""

    name = _requests.name
    msg = "%s %s %d in %.1f ms request %s"
    levelname, levelno = "INFO", logging.INFO
    pathname = filename = module = funcName = threadName = processName = ""
    lineno = 0
    thread = process = exc_info = exc_text = stack_info = taskName = None
    relativeCreated = 0.0

    def __init__(self, args: tuple[object, ...]) -> None:
        self.args = args
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


class _Gathered(logging.Handler):
    """Writes many lines at once. Everything is logged on the event loop's thread, or before there is a loop."""

    def __init__(self, stream: TextIO, tail: LogTail) -> None:
        super().__init__()
        self._stream = stream
        self._tail = tail
        self._waiting: list[logging.LogRecord] = []
        self._flush: asyncio.TimerHandle | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock and the filters of ``Handler.handle``."""
        self._tail.emit(record)
        self._waiting.append(record)
        if record.levelno > logging.INFO or len(self._waiting) >= _MOST_WAITING:
            self.flush()
        elif self._flush is None:
            try:
                self._flush = asyncio.get_running_loop().call_later(_WAIT_S, self.flush)
            except RuntimeError:  # there is no loop, so there is no hurry either
                self.flush()
        return True

    def flush(self) -> None:
        """Write what waits."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._stream.write("".join(self.format(record) + "\n" for record in waiting))
            self._stream.flush()


class _Lines(logging.Formatter):
    """``2026-11-25T08:00:00.123Z INFO requests: ...``, control characters of what clients sent made visible."""

    def __init__(self) -> None:
        super().__init__()
        self._time = _Times()

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if not text.isprintable():
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        line = f"{self._time(record)} {record.levelname} {record.name.rpartition('.')[2]}: {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message and, for a defect, the traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._time = _Times()

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self._time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _Times:
    """The time of a record, worked out once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._text}{int(record.created % 1 * 1000):03d}Z"
