"""A small process that outlives killed emulators for a moment, to end the containers that they had at an engine.

It waits for the end of its standard input. A ``.`` before it says that everything has been removed already.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from windtunnel_emulators.runtime.interface import RuntimeProblem

_log = logging.getLogger(__name__)
_PACKAGES = Path(__file__).parents[3]
LABEL = "windtunnel.runtime"
_ALL_DONE = b"."


class Guard:
    """The emulators' side: the process, from the first container on."""

    def __init__(self, url: str, key: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, url, key],
            stdin=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env={**_engine_settings(), "PYTHONPATH": os.pathsep.join([str(_PACKAGES), *sys.path])},
        )

    async def close(self) -> None:
        """All containers are gone; so is the guard afterwards."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_ALL_DONE)
            self._process.stdin.close()
        except BrokenPipeError:
            _log.warning("the guard of the containers had ended before")
        await asyncio.to_thread(self._process.wait)


def _engine_settings() -> dict[str, str]:
    """What the docker package reads, and nothing else of the emulators' environment."""
    return {name: value for name, value in os.environ.items() if name.startswith("DOCKER_") or name in ("HOME", "PATH")}


def main() -> None:
    url, key = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == _ALL_DONE:
        return
    from windtunnel_emulators.runtime.engine.client import Engine
    from windtunnel_emulators.runtime.engine.sweep import sweep

    engine = Engine(url)
    try:
        engine.call_here(lambda api: sweep(api, key))
    except RuntimeProblem as problem:
        sys.exit(f"the containers of killed emulators could not be ended: {problem}")
    finally:
        engine.close()


if __name__ == "__main__":
    main()
