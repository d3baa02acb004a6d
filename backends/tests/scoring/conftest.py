"""What the tests of the scoring server share: apps in this process, servers as child processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from windtunnel_scoring import swagger
from windtunnel_scoring.app import AppOptions, ScoringApp
from windtunnel_scoring.executors import PoolExecutor
from windtunnel_scoring.model.runtime import Session
from windtunnel_scoring.model.scorer import ModelScorer
from windtunnel_scoring.script import imports, loader
from windtunnel_scoring.script.scorer import ScriptScorer
from windtunnel_scoring.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from windtunnel_scoring.asgi import App, Message, Receive, Send
    from windtunnel_scoring.jsontypes import Json
    from windtunnel_scoring.record import RequestRecord
    from windtunnel_scoring.scorer import Scorer

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; the last of each."""
    body: bytes

    def json(self) -> Json:
        return cast("Json", json.loads(self.body))

    @property
    def message(self) -> str:
        """Of an error."""
        value = self.json()
        assert isinstance(value, dict)
        assert list(value) == ["message"], value
        return str(value["message"])


class Client:
    """Calls an ASGI application, in this process and without a socket."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.records: list[RequestRecord] = []

    async def request(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        length = {"content-length": str(len(body))} if body else {}
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.call(method, target, {**(headers or {}), **length}, receive, send)
        start = sent[0]
        raw = cast("list[tuple[bytes, bytes]]", start["headers"])
        return Reply(
            status=cast("int", start["status"]),
            headers={name.decode(): value.decode("latin-1") for name, value in raw},
            body=b"".join(cast("bytes", message.get("body", b"")) for message in sent[1:]),
        )

    async def call(self, method: str, target: str, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
        """For tests that send and receive piece by piece."""
        path, _, query = target.partition("?")
        await self._app(
            {
                "type": "http",
                "method": method,
                "path": path,
                "raw_path": path.encode(),
                "query_string": query.encode(),
                "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
                "scheme": "http",
                "client": ("127.0.0.9", 4711),
            },
            receive,
            send,
        )

    async def score(self, value: object, **headers: str) -> Reply:
        """POST to ``/score`` as JSON."""
        given = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return await self.request("POST", "/score", json.dumps(value).encode(), given)


class Apps:
    """Makes apps whose files are in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pools: list[PoolExecutor] = []

    def of_model(self, model: bytes, *, timeout_ms: int = 60_000, options: AppOptions | None = None) -> Client:
        path = self._folder / "model.onnx"
        path.write_bytes(model)
        return self.of_scorer(ModelScorer(Session(path, threads=1), timeout_ms=timeout_ms), options=options)

    def of_script(
        self, source: str, *, timeout_ms: int = 60_000, options: AppOptions | None = None, folder: str = "app"
    ) -> Client:
        return self.of_scorer(self.script(source, timeout_ms=timeout_ms, folder=folder), options=options)

    def script(self, source: str, *, timeout_ms: int = 60_000, folder: str = "app") -> ScriptScorer:
        root = self._folder / folder
        root.mkdir(exist_ok=True)
        (root / "score.py").write_text(source, "utf-8")
        settings = ServerSettings(app_root=root, entry_script="score.py")
        return ScriptScorer(loader.load(settings), timeout_ms=timeout_ms)

    def of_scorer(self, scorer: Scorer, *, options: AppOptions | None = None) -> Client:
        document = swagger.build(
            scorer.description, name="svc", version="1.0", prefix="", app_root=self._folder / "nowhere"
        )
        pool = PoolExecutor(2)
        self._pools.append(pool)
        records: list[RequestRecord] = []
        client = Client(ScoringApp(scorer, pool, document, options or AppOptions(observe=records.append)))
        client.records = records
        return client

    def close(self) -> None:
        for pool in self._pools:
            pool.close()


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[Apps]:
    before = list(sys.path)
    made = Apps(tmp_path)
    yield made
    made.close()
    sys.path[:] = before
    imports.withdraw()
    for name in ("main", "entry_module"):
        sys.modules.pop(name, None)


class Server:
    """A child process that serves."""

    def __init__(self, module: str, folder: Path, variables: Mapping[str, str], python: str) -> None:
        self._ready = folder / "ready.json"
        self._ready.unlink(missing_ok=True)
        self.log_file = folder / "log.txt"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "WINDTUNNEL_ADDRESS": "127.0.0.1",
            "WINDTUNNEL_PORT": "0",
            "WINDTUNNEL_FRONTEND_PORT": "0",
            "WINDTUNNEL_READY_FILE": str(self._ready),
            **variables,
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", module],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        self.port = 0

    def wait_ready(self) -> None:
        ends = time.monotonic() + DEADLINE_S
        while not self._ready.exists():
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            assert time.monotonic() < ends, f"not ready in time:\n{self.log()}"
            time.sleep(0.005)
        self.port = json.loads(self._ready.read_text("utf-8"))["port"]

    @property
    def announced(self) -> dict[str, object]:
        return cast("dict[str, object]", json.loads(self._ready.read_text("utf-8")))

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def wait_logged(self, text: str) -> None:
        ends = time.monotonic() + DEADLINE_S
        while text not in self.log():
            assert time.monotonic() < ends, f"{text!r} was not logged in time:\n{self.log()}"
            time.sleep(0.005)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def request(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        connection = self.connect()
        try:
            return exchange(connection, method, target, body, headers)
        finally:
            connection.close()

    def score(self, value: object, headers: Mapping[str, str] | None = None) -> Reply:
        given = {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", "/score", json.dumps(value).encode(), given)

    def wait(self) -> int:
        return self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """With all its workers: they are of its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request on a connection that stays open."""
    connection.request(method, target, body or None, dict(headers or {}))
    answer = connection.getresponse()
    content = answer.read()
    pairs = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(status=answer.status, headers=pairs, body=content)


@pytest.fixture(name="exchange")
def exchange_fixture() -> Callable[..., Reply]:
    """One request on a connection that stays open."""
    return exchange


@pytest.fixture
def client_of() -> Callable[[App], Client]:
    """Makes a client of an application."""
    return Client


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts ``python -m module`` with these variables; waits until it is ready unless told otherwise."""
    started: list[Server] = []

    def start(
        variables: Mapping[str, str],
        *,
        module: str = "windtunnel_scoring",
        wait: bool = True,
        python: str = sys.executable,
    ) -> Server:
        server = Server(module, tmp_path_factory.mktemp("server"), variables, python)
        started.append(server)
        if wait:
            server.wait_ready()
        return server

    yield start
    for server in started:
        server.kill()
