"""A time limit on a call, by a signal: it ends loops and sleeps of a script, as under the documented server.

Python runs signal handlers on the main thread between two of its own instructions. So there is no limit on another
thread, and a call into C that never returns is not ended.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class Interrupted(TimeoutError):
    """What the signal raises in the block: a ``TimeoutError`` that is told apart from the script's own."""


@contextmanager
def interrupted_after(seconds: float) -> Generator[None]:
    """Raises ``Interrupted`` inside the block when it takes longer; on the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def ring(_signal: int, _frame: FrameType | None) -> None:
        # The handler runs on this very thread, so what it reads of `armed` is what the block last wrote.
        if armed:
            raise Interrupted

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
