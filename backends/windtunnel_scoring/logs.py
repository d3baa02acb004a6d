"""The container's log: lines on stdout in the shape of the documented server's.

``2026-11-22 15:53:53,823 I [14880] windtunnel - POST /score 500 1.371ms 92 request-id=...``; times are UTC. What a
script prints stays as it is, and leaves at once.
"""

from __future__ import annotations

import io
import logging
import sys
import time

from windtunnel_scoring.errors import SettingError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def set_up(level: str = "INFO") -> None:
    """Make stdout unbuffered by line and log to it; raises ``SettingError`` for a level that does not exist."""
    if level.upper() not in LEVELS:
        raise SettingError("AZUREML_LOG_LEVEL", level, f"one of {', '.join(LEVELS)} is needed")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=True)
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    for name, least in (("windtunnel", level.upper()), ("uvicorn.error", "WARNING")):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False
