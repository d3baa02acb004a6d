"""What the emulators write about themselves, on stderr: one line per request and per end of an operation.

Readable lines, or JSON lines for machines. Neither headers nor bodies nor queries are written, so no token, key or
signed link can be. Lines of INFO and below wait up to a fifth of a second, so that a busy server writes many at once;
anything worse is written immediately, with what waits before it.

Everything is logged by ``logging``, but for the lines of requests: a record of one costs as much as a tenth of its
answer, and a thousand that are kept are as many objects for the garbage collector to look at.
"""

from __future__ import annotations

import asyncio
import logging
import logging.config
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from windtunnel_emulators.logtail import LogTail

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Scope

_WAIT_S = 0.2
_MOST_WAITING = 500
_KEPT = 1000
_requests = logging.getLogger("windtunnel_emulators.requests")

Request: TypeAlias = "tuple[float, str, str, int, float, str]"
"""When it was answered, method, path, status, milliseconds, request id."""


def configure(*, json: bool, level: str, stream: Output | None = None) -> LogTail:
    """Set up logging for this process, once, before anything is logged; returns the last lines, for others to read."""

    def made() -> _Lines:
        # Here and not before: what exists when logging is configured is not written out at the end of the process.
        global _configured
        _configured = _Lines(stream or sys.stderr, _JsonForm() if json else _TextForm())
        return _configured

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"lines": {"()": made}},
            "root": {"handlers": ["lines"], "level": "WARNING"},
            "loggers": {"windtunnel_emulators": {"level": level.upper()}},
        }
    )
    assert _configured is not None
    return _configured


def log_request(scope: Scope, status: int, seconds: float, request_id: str = "-") -> None:
    """The line of one request; status 0 is one that was not answered."""
    if not _requests.isEnabledFor(logging.INFO):
        return
    method, path = scope["method"], scope["path"]
    if _configured is not None:
        _configured.request((time.time(), method, path, status, seconds * 1000, request_id))
    else:
        _requests.info(_REQUEST, method, path, status, seconds * 1000, request_id)


_REQUEST = "%s %s %d in %.1f ms request %s"


class Output(Protocol):
    """Where lines are written to."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class _Form(Protocol):
    """How a line looks."""

    def record(self, record: logging.LogRecord) -> str: ...
    def request(self, request: Request) -> str: ...


class _Lines(LogTail):
    """Writes many lines at once, and keeps the last. Used on the event loop's thread, or before there is a loop."""

    def __init__(self, stream: Output, form: _Form) -> None:
        super().__init__()
        self._stream = stream
        self._form = form
        self._waiting: list[logging.LogRecord | Request] = []
        self._written: deque[str] = deque(maxlen=_KEPT)
        self._flush: asyncio.TimerHandle | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the lock and the filters of ``Handler.handle``."""
        self._waiting.append(record)
        if record.levelno > logging.INFO:
            self.flush()
        else:
            self._soon()
        return True

    def request(self, request: Request) -> None:
        """The line of a request."""
        self._waiting.append(request)
        self._soon()

    def lines(self, count: int) -> list[str]:
        """The last lines, oldest first."""
        self.flush()
        return list(self._written)[-count:] if count > 0 else []

    def flush(self) -> None:
        """Write what waits."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        form = self._form
        written = [form.request(one) if isinstance(one, tuple) else form.record(one) for one in waiting]
        self._written.extend(written)
        try:
            self._stream.write("\n".join(written) + "\n")
            self._stream.flush()
        except OSError:
            # A full disk, most likely. Requests must be answered all the same, and ``lines`` has what was to be said.
            return

    def _soon(self) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.flush()
        elif self._flush is None:
            try:
                self._flush = asyncio.get_running_loop().call_later(_WAIT_S, self.flush)
            except RuntimeError:  # there is no loop, so there is no hurry either
                self.flush()


class _TextForm:
    """``2026-11-25T08:00:00.123Z INFO requests: ...``, control characters of what clients sent made visible."""

    def __init__(self) -> None:
        self._time = _Times()
        self._traceback = logging.Formatter().formatException

    def record(self, record: logging.LogRecord) -> str:
        name = record.name.rpartition(".")[2]
        line = f"{self._time(record.created)} {record.levelname} {name}: {_printable(record.getMessage())}"
        return f"{line}\n{self._traceback(record.exc_info)}" if record.exc_info else line

    def request(self, request: Request) -> str:
        at, method, path, status, milliseconds, id = request
        what = f"{method} {_printable(path)} {status} in {milliseconds:.1f} ms request {id}"
        return f"{self._time(at)} INFO requests: {what}"


class _JsonForm:
    """One JSON object a line: time, level, logger, message and, for a defect, the traceback."""

    def __init__(self) -> None:
        self._time = _Times()
        self._traceback = logging.Formatter().formatException

    def record(self, record: logging.LogRecord) -> str:
        line = {
            "time": self._time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self._traceback(record.exc_info)
        return msgspec.json.encode(line).decode()

    def request(self, request: Request) -> str:
        at, *said = request
        line = {
            "time": self._time(at),
            "level": "INFO",
            "logger": _requests.name,
            "message": _REQUEST % tuple(said),
        }
        return msgspec.json.encode(line).decode()


class _Times:
    """A time as a line has it; all but the milliseconds is worked out once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, at: float) -> str:
        second = int(at)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._text}{int(at % 1 * 1000):03d}Z"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


_configured: _Lines | None = None
