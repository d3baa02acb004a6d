"""What the emulators write about themselves: one line per request and per end of an operation.

Readable lines, or JSON lines for machines. Neither headers nor bodies are written, so no token or key can be.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import Scope

_requests = logging.getLogger("windtunnel_emulators.requests")


def log_request(scope: Scope, status: int, seconds: float, request_id: str) -> None:
    """The line of one request. Its query is left out: it may hold a signature."""
    _requests.info("%s %s %d %.1f ms request %s", scope["method"], scope["path"], status, seconds * 1000, request_id)
