"""A module whose client is one of memory: it keeps what is sent, in order, and fails as it is told to."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

import pytest

from windtunnel_scoring.edge_module.module import EdgeModule
from windtunnel_scoring.edge_module.settings import EdgeSettings
from windtunnel_scoring.script import imports, loader
from windtunnel_scoring.script.scorer import ScriptScorer
from windtunnel_scoring.settings import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from pathlib import Path

    from windtunnel_scoring.edge_module.client import IncomingMessage, IncomingMethod, OutgoingMessage
    from windtunnel_scoring.jsontypes import Json

DEADLINE_S = 20.0
T = TypeVar("T")


@dataclass(kw_only=True)
class Incoming:
    """A message on an input."""

    data: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    content_type: str | None = None
    input_name: str | None = "amlInput"


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a direct method."""

    request_id: str
    name: str = "score"
    payload: Json = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a call was answered with."""

    request_id: str
    status: int
    payload: Json


class MemoryClient:
    """A connected client. Its ``gate`` is what sending waits for."""

    def __init__(self) -> None:
        self.on_method_request_received: Callable[[IncomingMethod], Awaitable[None]] | None = None
        self.on_connection_state_change: Callable[[], Awaitable[None]] | None = None
        self.on_background_exception: Callable[[Exception], Awaitable[None]] | None = None
        self._on_message: Callable[[IncomingMessage], Awaitable[None]] | None = None
        self.subscriptions: list[bool] = []
        self.connected = False
        self.connects = 0
        self.shut = False
        self.gate = threading.Event()
        self.gate.set()
        self.troubles: list[Exception] = []
        """Raised by the next sends, one each."""
        self.refusals: list[Exception] = []
        """Raised by the next connects, one each."""
        self.sent: list[OutgoingMessage] = []
        self.answers: list[Answer] = []

    @property
    def on_message_received(self) -> Callable[[IncomingMessage], Awaitable[None]] | None:
        return self._on_message

    @on_message_received.setter
    def on_message_received(self, handler: Callable[[IncomingMessage], Awaitable[None]] | None) -> None:
        self._on_message = handler
        self.subscriptions.append(handler is not None)

    async def connect(self) -> None:
        self.connects += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.connected = True
        await self.changed()

    async def changed(self) -> None:
        if self.on_connection_state_change is not None:
            await self.on_connection_state_change()

    async def shutdown(self) -> None:
        self.shut = True

    async def send_message_to_output(self, message: OutgoingMessage, output_name: str) -> None:
        assert output_name == "amlOutput"
        await asyncio.to_thread(self.gate.wait)
        if self.troubles:
            raise self.troubles.pop(0)
        self.sent.append(message)

    async def send_method_response(self, method_response: object) -> None:
        found = cast("Answer", method_response)
        self.answers.append(Answer(request_id=found.request_id, status=found.status, payload=found.payload))


@dataclass(kw_only=True)
class Running:
    """A module at work on a thread."""

    client: MemoryClient
    module: EdgeModule
    outcome: list[bool | BaseException] = field(default_factory=list[bool | BaseException])

    def message(self, data: str, **properties: str | None) -> None:
        """A message arrives."""
        assert self.offer(data, **properties), "the module does not listen"

    def offer(self, data: str, **properties: str | None) -> bool:
        """A message arrives, if the module listens."""
        handler = self.client.on_message_received
        if handler is not None:
            run(handler(Incoming(data=data.encode(), **properties)))
        return handler is not None

    def call(self, payload: Json, *, name: str = "score", request_id: str = "1") -> Answer:
        """Call a direct method and wait for its answer."""
        handler = self.client.on_method_request_received
        assert handler is not None
        run(handler(Call(request_id=request_id, name=name, payload=payload)))
        return until(lambda: next((a for a in self.client.answers if a.request_id == request_id), None))

    def until(self, condition: Callable[[], T]) -> T:
        """The condition's value, once it is true."""
        return until(condition)

    def bodies(self, count: int) -> list[str]:
        """What was sent, once there are so many."""
        until(lambda: len(self.client.sent) >= count)
        return [message.data for message in self.client.sent]


def run(work: Awaitable[None]) -> None:
    """Handlers never wait, so one step runs them to their end."""
    step = work.__await__()
    with pytest.raises(StopIteration):
        next(step)


def until(condition: Callable[[], T | None]) -> T:
    """The condition's value, once it is true."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < ends, "it did not happen in time"
        threading.Event().wait(0.002)
    return found


class Modules:
    """Makes modules of scripts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def of_script(
        self, text: str, client: MemoryClient | None = None, settings: EdgeSettings | None = None
    ) -> Generator[Running]:
        """At work for as long as the block lasts; it ends as after SIGTERM."""
        (self._folder / "score.py").write_text(text)
        found = ServerSettings(app_root=self._folder, entry_script="score.py")
        scorer = ScriptScorer(loader.load(found), timeout_ms=60_000)
        client = client or MemoryClient()
        settings = settings or EdgeSettings(retry_s=0.01, retry_most_s=0.02, grace_s=DEADLINE_S)
        module = EdgeModule(scorer, lambda: client, settings)
        running = Running(client=client, module=module)

        def work() -> None:
            try:
                running.outcome.append(module.work())
            except BaseException as error:
                running.outcome.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            until(lambda: client.on_message_received)
            yield running
        finally:
            client.gate.set()
            module.stop()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Modules]:
    before = list(sys.path)
    yield Modules(tmp_path)
    sys.path[:] = before
    imports.withdraw()
    for name in ("main", "entry_module"):
        sys.modules.pop(name, None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def memory_client() -> MemoryClient:
    return MemoryClient()


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], T]], T]:
    """Waits for a condition, and gives its value."""
    return until
