"""What is recorded of a request: one line, never its input, its output or its query.

The server and the front end both end each request in a ``RequestRecord``; ``log_record`` is what receives it by
default, and the seam for whoever counts requests.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_PLAIN = re.compile(r"[\w.:@/+=\-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One answered request."""

    method: str
    path: str
    """Without the query, which may hold input."""
    status: int
    duration_ms: float
    length: int
    """Bytes of the answer's body."""
    request_id: str = ""
    client_request_id: str = ""
    service: str = ""
    version: str = ""
    replica: str = ""
    """The pod that worked on it; the router's, as the two before."""
    handed_to: str = ""
    """The other router that has the whole record."""
    reason: str = ""
    """Why the front end answered itself: ``no key``, ``wrong key``, ``upstream closed`` and the like."""

    def line(self) -> str:
        """``POST /score 200 1.371ms 92 request-id=...``: the documented server's words, then pairs."""
        parts = [
            _plain(self.method),
            _plain(self.path),
            str(self.status),
            f"{self.duration_ms:.3f}ms",
            str(self.length),
        ]
        pairs = (
            ("request-id", self.request_id),
            ("client-request-id", self.client_request_id),
            ("service", self.service),
            ("version", self.version),
            ("replica", self.replica),
            ("handed-to", self.handed_to),
            ("reason", self.reason),
        )
        parts += [f"{name}={_plain(value)}" for name, value in pairs if value]
        return " ".join(parts)


Observe: TypeAlias = Callable[[RequestRecord], None]


def log_record(record: RequestRecord) -> None:
    """Into the container's log."""
    logging.getLogger("windtunnel").info("%s", record.line())


def _plain(text: str) -> str:
    """The text as it is, or quoted with escapes when a client could forge a log line with it."""
    return text if _PLAIN.fullmatch(text) else ascii(text)
