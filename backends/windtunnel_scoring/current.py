"""The request that this thread works on, for what scripts call while they work on it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

NO_ID: Final = "00000000-0000-0000-0000-000000000000"
trace: ContextVar[object] = ContextVar("trace", default=None)
"""OpenTelemetry's context of the request, where telemetry is on."""
request_id: ContextVar[str] = ContextVar("request_id", default=NO_ID)
