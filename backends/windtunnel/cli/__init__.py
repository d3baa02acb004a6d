"""The command line. ``main`` is its entry; everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from windtunnel import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 failed, 2 wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
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
