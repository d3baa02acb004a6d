"""The command line. ``main`` is its entry; everything heavy is imported by the command that needs it."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING

from windtunnel import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLLECTED_AT = 50_000
"""New objects between two collections. Importing Azure's and Kubernetes' clients makes hundreds of thousands of objects
that all stay: looking through them again and again, and once more at the end, was a fifth of a command's work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # a process of its own
        gc.set_threshold(_COLLECTED_AT, *gc.get_threshold()[1:])
        atexit.register(gc.freeze)
    if given in (["--version"], ["-V"]):
        print(f"windtunnel {__version__}")
        return 0
    try:
        from windtunnel.cli.app import run
    except ModuleNotFoundError as error:
        print(f"error: the command line needs the Python package {error.name!r}", file=sys.stderr)
        print("way out: pip install windtunnel", file=sys.stderr)
        return 1
    return run(given, os.environ)
