"""What the emulators write about themselves: one line per request and per end of an operation, on stderr.

Readable lines, or JSON lines for machines. Neither headers nor bodies nor queries are written, so no token, key or
signed link can be.
"""

from __future__ import annotations

import logging
import logging.config
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.logtail import LogTail

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Scope

_requests = logging.getLogger("windtunnel_emulators.requests")


def configure(*, json: bool, level: str) -> LogTail:
    """Set up logging for this process, once, before anything is logged; returns the last lines, for others to read."""
    # Nothing of these is printed, and finding them out is most of what a record costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    logging._srcfile = None  # pyright: ignore[reportPrivateUsage]  # the switch that logging documents for this
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": _JsonLines if json else _Lines}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {"windtunnel_emulators": {"level": level.upper()}},
        }
    )
    tail = LogTail()
    tail.setFormatter(_JsonLines() if json else _Lines())
    logging.getLogger().addHandler(tail)
    return tail


def log_request(scope: Scope, status: int, seconds: float, request_id: str | None = None) -> None:
    """The line of one request; status 0 is one that was not answered."""
    if not _requests.isEnabledFor(logging.INFO):
        return
    _requests.info(
        "%s %s %d in %.1f ms%s",
        scope["method"],
        scope["path"],
        status,
        seconds * 1000,
        f" request {request_id}" if request_id else "",
    )


class _Lines(logging.Formatter):
    """``2026-11-25T08:00:00.123Z INFO requests: ...``, control characters of what clients sent made visible."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if not text.isprintable():
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        line = f"{_time(record)} {record.levelname} {record.name.rpartition('.')[2]}: {text}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message and, for a defect, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{record.msecs:03.0f}Z"
