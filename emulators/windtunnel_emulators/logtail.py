"""The last lines of the log, for the control API: a bounded buffer of records, written out only when somebody asks."""

from __future__ import annotations

import logging
from collections import deque


class LogTail(logging.Handler):
    """Keeps the last records; the oldest make room."""

    def __init__(self, kept: int = 1000) -> None:
        """``kept`` records at most."""
        super().__init__()
        self._records: deque[logging.LogRecord] = deque(maxlen=kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as it is: most are never looked at again."""
        self._records.append(record)

    def lines(self, count: int) -> list[str]:
        """The last lines, oldest first, in this handler's format."""
        return [self.format(record) for record in list(self._records)[-count:]] if count > 0 else []
