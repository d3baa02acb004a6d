"""``python -m windtunnel_emulators.edge --device FOLDER``: one edge device, until SIGTERM or Ctrl+C.

Exit status: 0 stopped as asked, or its folder is gone; 1 could not start, or failed; 2 wrong usage; 3 it runs already.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.edge.device import LOG, AlreadyRunning
from windtunnel_emulators.edge.interface import EdgeProblem
from windtunnel_emulators.edge.logfile import LogFile
from windtunnel_emulators.edge.process import serve
from windtunnel_emulators.logs import configure
from windtunnel_emulators.runtime.interface import RuntimeProblem
from windtunnel_emulators.server import PortTaken
from windtunnel_emulators.store import StoreProblem

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, and say in a sentence why not, on stderr and in the log."""
    parser = argparse.ArgumentParser(prog="python -m windtunnel_emulators.edge", description="One IoT Edge device.")
    parser.add_argument(
        "--device", type=Path, required=True, metavar="FOLDER", help="the device's own, with device.json"
    )
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--foreground", action="store_true", help="log to stderr and not to edge.log of the folder")
    given = parser.parse_args(arguments)
    folder: Path = given.device
    if not folder.is_dir():
        print(f"edge device: {folder} is no folder", file=sys.stderr)
        return 1
    folder = folder.resolve()
    with LogFile(folder / LOG) as log:
        configure(json=False, level=given.log_level, stream=sys.stderr if given.foreground else log)
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(serve(folder))
        except (EdgeProblem, StoreProblem, PortTaken, RuntimeProblem) as problem:
            print(f"edge device: {problem}", file=sys.stderr)
            if not given.foreground:
                log.write(f"edge device: {problem}\n")
            return 3 if isinstance(problem, AlreadyRunning) else 1


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it does not exist for Windows; asyncio's own loop does the same, slower
        return None
    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())
