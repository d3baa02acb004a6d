"""Listening and ending: a socket that is bound early and listens late, a ready file, and a drain on SIGTERM.

The event loop runs on a thread of its own and the main thread waits (or works for a script). Until the server is ready
connections are refused, so a probe of ``/`` says when it is. On SIGTERM it stops to accept, lets requests in work
finish within the grace and ends with 0 (1 when some did not). The signal is noticed even while the main thread is deep
in C code, by the wake-up descriptor that Python's own handler writes to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import uvicorn

from windtunnel_scoring import ending
from windtunnel_scoring.errors import StartError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from windtunnel_scoring.asgi import App
    from windtunnel_scoring.executors import MainThread

logger = logging.getLogger("windtunnel")

KEEP_ALIVE_S = 75
"""Longer than the front end keeps an idle connection, so that it is never the server which closes first."""
DROPPED = 1
"""The exit code when requests did not end within the grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where and how to serve."""

    sockets: Sequence[socket.socket]
    """Bound; the first is the one that is announced."""
    grace_s: float
    tls: ssl.SSLContext | None = None
    ready_file: Path | None = None
    pid: int | None = None
    """Announced instead of this process: a worker's supervisor."""
    around: Callable[[], AbstractAsyncContextManager[object]] | None = None
    """Entered on the event loop before the server listens, left when it has ended."""
    announced: Mapping[str, int] | None = None
    """More for the ready file."""


def bind(address: str, port: int) -> socket.socket:
    """A bound socket that refuses connections until it listens. Raises ``StartError``."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Named, since asyncio switches Nagle's delay off only for sockets that say that they are TCP.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise StartError(f"cannot listen at {address} port {port}: {error}") from error
    return bound


def serve(app: App, listening: Listening, main: MainThread) -> int:
    """Serve until SIGTERM or SIGINT, with the main thread at work for ``main``; gives the exit code.

    Ends the process itself, with ``DROPPED``, when requests outlive the grace.
    """
    server = _Server(app, listening)
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            server.run(sockets=list(listening.sockets))
        except BaseException as error:
            outcome.append(error)
        if server.dropped:
            # What was dropped may still hold the main thread, or one of a pool, which Python would wait for.
            ending.in_haste()
            logging.shutdown()
            os._exit(DROPPED)
        main.finish()

    # The handlers do nothing; that they exist makes Python write the signal's number to the descriptor.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    server.wake = reader
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=run, name="scoring-server")
    thread.start()
    main.work()
    thread.join()
    signal.set_wakeup_fd(-1)
    reader.close()
    writer.close()
    if outcome:
        logger.error("the server failed", exc_info=outcome[0])
        return 1
    return 0


@asynccontextmanager
async def beside(app: App, bound: socket.socket) -> AsyncGenerator[None]:
    """Serve another app at another socket, on the loop of the caller and for as long as the block lasts."""
    server = _Server(app, Listening(sockets=[bound], grace_s=1.0))
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="inner server")
    try:
        yield
    finally:
        server.stop()
        await serving


class _Connection(Protocol):
    transport: asyncio.Transport | None

    def shutdown(self) -> None: ...


class _Server(uvicorn.Server):
    """uvicorn's server with a stop that does not poll, and a drain that waits for requests and not for clients."""

    def __init__(self, app: App, listening: Listening) -> None:
        config = uvicorn.Config(
            cast("Callable[..., object]", app),
            http="httptools",
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        super().__init__(config)
        config.load()
        config.ssl = listening.tls
        self._listening = listening
        self._stop = asyncio.Event()
        self._around = AsyncExitStack()
        self.dropped = False
        self.wake: socket.socket | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.wake is not None:
            asyncio.get_running_loop().add_reader(self.wake, self._signalled)
        if self._listening.around is not None and not await self._enter(self._listening.around()):
            self.should_exit = True
            return
        await super().startup(sockets)
        address, port = self._listening.sockets[0].getsockname()[:2]
        pid = self._listening.pid or os.getpid()
        scheme = "https" if self._listening.tls else "http"
        host = f"[{address}]" if ":" in address else address
        logger.info("Listening at: %s://%s:%d (%d)", scheme, host, port, pid)
        if self._listening.ready_file is not None:
            more = self._listening.announced or {}
            _announce(self._listening.ready_file, {"pid": pid, "address": address, "port": port, **more})

    async def main_loop(self) -> None:
        while True:
            await self.on_tick(0)  # the Date header is renewed on each tenth tick, which 0 is
            try:
                await asyncio.wait_for(self._stop.wait(), 1.0)
            except TimeoutError:
                continue
            return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ends = time.monotonic() + self._listening.grace_s
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        connections = cast("set[_Connection]", self.server_state.connections)
        for connection in list(connections):
            connection.shutdown()
        tasks = self.server_state.tasks
        while tasks and time.monotonic() < ends:
            await asyncio.wait(set(tasks), timeout=ends - time.monotonic())
        if tasks:
            self.dropped = True
            logger.warning("%d requests did not end within %g s and are dropped", len(tasks), self._listening.grace_s)
        for task in tasks:
            task.cancel()
        # What is answered may not have left yet; a client that keeps a closed TLS connection open is not waited for.
        patience = time.monotonic() + 0.25
        while connections:
            now = time.monotonic()
            if now > patience and (now > ends or not _unsent(connections)):
                break
            await asyncio.sleep(0.005)

        await self._around.aclose()

    def stop(self) -> None:
        """End as after SIGTERM; from the loop's own thread."""
        self._stop.set()

    async def _enter(self, around: AbstractAsyncContextManager[object]) -> bool:
        """False when the server is told to stop first."""
        entering = asyncio.create_task(self._around.enter_async_context(around))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((entering, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not entering.done():
            entering.cancel()
            await asyncio.wait((entering,))
            return False
        entering.result()
        return True

    def _signalled(self) -> None:
        if self.wake is None:
            return
        numbers = self.wake.recv(64)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            logger.info("Shutting down")
            self._stop.set()


def _unsent(connections: set[_Connection]) -> bool:
    return any(c.transport is not None and c.transport.get_write_buffer_size() > 0 for c in connections)


def _announce(path: Path, content: dict[str, object]) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content), "utf-8")
    draft.replace(path)
