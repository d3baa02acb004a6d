"""``python -m windtunnel_emulators``: the emulators in the foreground, until SIGTERM or Ctrl+C.

Exit status: 0 stopped as asked, 1 could not start, 2 wrong usage, 3 others run on the state folder already.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators import __version__
from windtunnel_emulators.clock import Pace
from windtunnel_emulators.host import Options, serve
from windtunnel_emulators.kubernetes.engines.interface import EngineProblem
from windtunnel_emulators.logs import configure
from windtunnel_emulators.runtime.interface import RuntimeProblem
from windtunnel_emulators.server import PortTaken
from windtunnel_emulators.state import AlreadyRunning, StateProblem, default_folder
from windtunnel_emulators.store import StoreProblem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Parse, run, and say in a sentence why not."""
    environment = os.environ if environment is None else environment
    given = _parser().parse_args(arguments)
    log = configure(json=given.log_format == "json", level=given.log_level)
    folder: Path | None = given.state_dir
    if folder is None and not given.ephemeral:
        folder = default_folder(environment)
    elif folder is None and environment.get("WINDTUNNEL_STATE_DIR"):
        folder = Path(environment["WINDTUNNEL_STATE_DIR"])
    options = Options(
        state_folder=folder,
        ephemeral=given.ephemeral,
        port=given.port,
        pace=given.pace,
        runtime=given.runtime,
        kubernetes=given.kubernetes,
        ready_file=given.ready_file,
        environment=environment,
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(options, log))
    except (StateProblem, StoreProblem, PortTaken, RuntimeProblem, EngineProblem) as problem:
        print(f"windtunnel emulators: {problem}", file=sys.stderr)
        return 3 if isinstance(problem, AlreadyRunning) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m windtunnel_emulators", description="Servers that answer like Azure, on this machine."
    )
    add = parser.add_argument
    add("--state-dir", type=Path, metavar="DIR", help="where everything is kept (default: the user's own folder)")
    add(
        "--port", type=_port, default=4580, help="of the front door; 0: the former one, or any free one (default: 4580)"
    )
    add("--ephemeral", action="store_true", help="keep nothing: the store in memory, files removed at the end")
    add("--pace", type=_pace, default=Pace.parse("fast"), help="how Azure's waits pass: fast, azure, or a factor")
    add("--runtime", choices=("process", "docker"), default="process", help="how containers run (default: process)")
    add(
        "--kubernetes",
        choices=("embedded", "binaries", "kind"),
        default="embedded",
        help="how clusters are served: by this process, by programs in KUBEBUILDER_ASSETS, by kind (default: embedded)",
    )
    add("--ready-file", type=Path, metavar="FILE", help="written once everything listens: addresses and environment")
    add("--log-format", choices=("text", "json"), default="text")
    add("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    add("--version", action="version", version=__version__)
    return parser


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return number


def _pace(text: str) -> Pace:
    try:
        return Pace.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it does not exist for Windows; asyncio's own loop does the same, slower
        return None
    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())
