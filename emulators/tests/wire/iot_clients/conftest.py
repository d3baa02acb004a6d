"""Microsoft's Node clients as child processes that are told what to do and say what happened, a line each.

Their packages are found through ``WINDTUNNEL_NODE_MODULES`` (``tox -e iot`` installs them).
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from iot_wire import Hub, trusting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.wire.conftest import Launch, Launched

SCRIPTS = Path(__file__).parent / "node"
ANSWER_S = 30.0


class Talker:
    """One Node program."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def tell(self, do: str, /, **more: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()

    def hear(self, event: str, /, **wanted: object) -> dict[str, Any]:
        """The next thing of that kind; others that come before it are passed over, but no error is."""
        end = time.monotonic() + ANSWER_S
        while True:
            try:
                found = self._said.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {event!r} within {ANSWER_S:.0f} s; on stderr: {''.join(self._errors)[-2000:]}")
            if found["event"] == event and all(found.get(name) == value for name, value in wanted.items()):
                return found
            assert found["event"] != "error", found

    def ask(self, do: str, answer: str, /, **more: object) -> dict[str, Any]:
        self.tell(do, **more)
        return self.hear(answer)

    def close(self) -> None:
        """Let it end by itself, as its input has ended."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(ANSWER_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(tmp_path_factory.mktemp("clients")) as found, trusting(found):
        yield found


@pytest.fixture(scope="module")
def hub(launched: Launched) -> Hub:
    return Hub(launched, "sessionHub")


def missing(why: str) -> NoReturn:
    """What a session needs is not here; in CI it has to be."""
    if os.environ.get("WINDTUNNEL_CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture
def transport(request: pytest.FixtureRequest, hub: Hub) -> str:
    """``mqtt`` or ``websocket``, as a test's parameter says."""
    if request.param == "websocket" and not hub.has_web_sockets:
        missing("port 443 may not be bound here, which is where WebSockets have to be")
    return str(request.param)


@pytest.fixture
def node(launched: Launched) -> Iterator[Callable[..., Talker]]:
    """Starts ``node SCRIPT`` with a connection string; ended at the end."""
    modules, program = os.environ.get("WINDTUNNEL_NODE_MODULES"), shutil.which("node")
    if not modules or program is None:
        missing("Node or WINDTUNNEL_NODE_MODULES (a folder with azure-iot-device and azure-iothub) is missing")
    talkers: list[Talker] = []

    def start(script: str, connection_string: str, **environment: str) -> Talker:
        settings = {
            "PATH": os.environ["PATH"],
            "NODE_PATH": modules,
            "NODE_EXTRA_CA_CERTS": launched.environment["SSL_CERT_FILE"],
            "SESSION_CONNECTION_STRING": connection_string,
            **environment,
        }
        talkers.append(Talker([program, str(SCRIPTS / script)], settings))
        return talkers[-1]

    yield start
    for talker in talkers:
        talker.close()
