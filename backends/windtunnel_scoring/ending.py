"""What is to be done when the process ends, also when it ends in haste.

``atexit`` alone would miss the end of a server that drops requests, which cannot wait for Python's own end.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_functions: list[Callable[[], None]] = []


def at_end(function: Callable[[], None]) -> None:
    """Call it at the end; it may be called twice, and limits its own time."""
    _functions.append(function)
    atexit.register(function)


def in_haste() -> None:
    """Before a process ends without Python's own end."""
    for function in reversed(_functions):
        function()
