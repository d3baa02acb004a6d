"""``Connection``: the module's connection to the edge's hub, kept up, with its sending in order.

It runs on an event loop of its own. One message is sent after the other, each once the hub has stored the one before,
so that their order is that of the answers whatever happens to the connection. Where too many messages wait in the
module, it unsubscribes from its input: the hub then keeps them, on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from windtunnel_scoring.edge_module.client import new_response
from windtunnel_scoring.edge_module.messages import OUTPUT
from windtunnel_scoring.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from windtunnel_scoring.edge_module.client import IncomingMessage, IncomingMethod, ModuleClient
    from windtunnel_scoring.edge_module.messages import Output
    from windtunnel_scoring.edge_module.settings import EdgeSettings
    from windtunnel_scoring.edge_module.work import Work
    from windtunnel_scoring.jsontypes import Json

logger = logging.getLogger("windtunnel")

_SHUTDOWN_S = 3.0


class Connection:
    """``run`` lives on one thread; what says so may be called from others."""

    def __init__(self, create: Callable[[], ModuleClient], work: Work, settings: EdgeSettings) -> None:
        self._create = create
        self._work = work
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._outbox: deque[Output] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._pressed = asyncio.Event()
        self._relieved = asyncio.Event()
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._drained = asyncio.Event()
        self._responding: set[asyncio.Task[None]] = set()
        self._client: ModuleClient | None = None
        self.quiet = False
        """After ``end``: no more messages come in."""
        self.over = False
        """``run`` has ended, or is about to: nothing more is sent."""
        self.failed: StartError | None = None
        """Why there can be no connection, ever."""

    # --- from other threads

    @property
    def accepts(self) -> bool:
        """Whether another answer may be put into ``send``: the hub has taken most of those before."""
        return len(self._outbox) < self._settings.outbox

    def send(self, output: Output) -> None:
        """Send it after those before it; from any thread."""
        self._outbox.append(output)
        self._soon(self._filled.set)

    def respond(self, request_id: str, status: int, payload: Json) -> None:
        """Answer a call; from any thread."""

        def begin() -> None:
            task = self._loop.create_task(self._respond(request_id, status, payload))
            self._responding.add(task)
            task.add_done_callback(self._responding.discard)

        self._soon(begin)

    def message_done(self) -> None:
        """The main thread has taken a message out of ``work``."""
        if self._pressed.is_set() and self._work.messages <= self._settings.inbox // 2:
            self._soon(self._relieved.set)

    def end(self) -> None:
        """Take in no more messages; from any thread, and from a signal handler."""
        self._soon(self._ending.set)

    def drained(self) -> None:
        """After ``end``: nothing more will be sent than what was given to ``send`` by now."""
        self._soon(self._drained.set)

    def _soon(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it what it was told to do
            self._loop.call_soon_threadsafe(callback)

    # --- on its own thread

    def run(self) -> None:
        """Until ``end`` and ``drained``."""
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()
            self.over = True
            self._work.nudge()

    async def _run(self) -> None:
        ending = asyncio.create_task(self._ending.wait())
        serving = asyncio.create_task(self._serve())
        await asyncio.wait((ending, serving), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            ending.cancel()
            serving.result()
            return
        client = self._client
        if client is not None and client.connected:
            # Without a connection nothing comes in, and the client would wait for one.
            await self._attempt(_in_thread(lambda: _listen(client, None)))
        self.quiet = True
        self._work.nudge()
        await self._drained.wait()
        if client is not None:
            while self._outbox:
                self._emptied.clear()
                await self._emptied.wait()
        if self._responding:
            await asyncio.wait(set(self._responding), timeout=_SHUTDOWN_S)
        serving.cancel()
        await asyncio.wait((serving,))
        if client is not None:
            await self._attempt(client.shutdown())

    async def _serve(self) -> None:
        client = await self._reach()
        if client is None:
            return
        self._client = client
        client.on_connection_state_change = self._connection_changed
        client.on_background_exception = self._background_exception

        def listen() -> None:
            client.on_method_request_received = self._take_call
            _listen(client, self._take_message)

        await self._listened(listen)
        logger.info("connected to the edge's hub")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_all(client))
            tasks.create_task(self._keep_connected(client))
            tasks.create_task(self._hold_back(client))

    async def _reach(self) -> ModuleClient | None:
        """A connected client, however long it takes; None when there can be none."""
        delay = self._settings.retry_s
        while True:
            try:
                client = await asyncio.to_thread(self._create)
                await client.connect()
            except StartError as error:
                self.failed = error
                return None
            except Exception as error:
                logger.warning("cannot reach the edge's hub, and will try again in %g s: %s", delay, _sentence(error))
                await asyncio.sleep(delay)
                delay = min(2 * delay, self._settings.retry_most_s)
            else:
                return client

    async def _keep_connected(self, client: ModuleClient) -> None:
        """The client tries again by itself, but gives up for good when it was refused once."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if client.connected:
                continue
            logger.warning("the connection to the edge's hub is lost")
            delay = 2 * self._settings.retry_s
            while not client.connected:
                await self._connected_again(client, delay)
                if client.connected:
                    break
                try:
                    await client.connect()
                except Exception as error:
                    delay = min(2 * delay, self._settings.retry_most_s)
                    logger.warning("cannot reach the edge's hub: %s", _sentence(error))
            logger.info("connected to the edge's hub again")

    async def _connected_again(self, client: ModuleClient, limit_s: float) -> None:
        """Returns once the client has connected by itself, or the time is over; attempts that fail wake it too."""
        end = self._loop.time() + limit_s
        while not client.connected and (left := end - self._loop.time()) > 0:
            await self._within(left, self._changed.wait())
            self._changed.clear()

    async def _send_all(self, client: ModuleClient) -> None:
        while True:
            while not self._outbox:
                self._emptied.set()
                self._filled.clear()
                if not self._outbox:
                    await self._filled.wait()
            await self._send(client, self._outbox[0])
            full = not self.accepts
            self._outbox.popleft()
            if full:
                self._work.nudge()

    async def _send(self, client: ModuleClient, output: Output) -> None:
        delay = self._settings.retry_s
        message = output.message()
        while True:
            try:
                await client.send_message_to_output(message, OUTPUT)
            except (ValueError, TypeError) as error:
                logger.error("an answer of %d characters cannot be sent and is dropped: %s", len(output.body), error)
            except Exception as error:
                logger.warning("an answer could not be sent, and is tried again in %g s: %s", delay, _sentence(error))
                await asyncio.sleep(delay)
                delay = min(2 * delay, self._settings.retry_most_s)
                continue
            return

    async def _hold_back(self, client: ModuleClient) -> None:
        """Leave messages in the hub while too many wait here."""
        while True:
            await self._pressed.wait()
            logger.warning("%d messages wait for the model; the edge's hub keeps further ones", self._work.messages)
            await self._listened(lambda: _listen(client, None))
            if self._work.messages > self._settings.inbox // 2:
                await self._relieved.wait()
            self._relieved.clear()
            self._pressed.clear()
            if self._ending.is_set():
                return
            await self._listened(lambda: _listen(client, self._take_message))

    async def _listened(self, change: Callable[[], None]) -> None:
        """Change what the client listens to. That waits for the hub's answer, and is tried until there is one."""
        delay = self._settings.retry_s
        while True:
            try:
                await _in_thread(change)
            except Exception as error:
                logger.warning("the edge's hub does not say what comes in, and is asked again: %s", _sentence(error))
                await asyncio.sleep(delay)
                delay = min(2 * delay, self._settings.retry_most_s)
            else:
                return

    @classmethod
    async def _attempt(cls, work: Awaitable[object]) -> None:
        """Something that should be done before the end, and may fail: the hub may be gone, or refuse the module."""
        try:
            await cls._within(_SHUTDOWN_S, work)
        except Exception as error:
            logger.info("the edge's hub could not be told of the end: %s", _sentence(error))

    async def _respond(self, request_id: str, status: int, payload: Json) -> None:
        client = self._client
        if client is None:
            return
        try:
            await client.send_method_response(new_response(request_id, status, payload))
        except Exception as error:
            logger.warning("the answer to a direct method could not be sent: %s", _sentence(error))

    @staticmethod
    async def _within(seconds: float, work: Awaitable[object]) -> None:
        # Not wait_for: that of Python 3.11 forgets that it was cancelled where the work is done in the same moment.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await work

    # --- the client's callbacks, on a loop of its own: they never wait

    async def _take_message(self, message: IncomingMessage) -> None:
        self._work.add_message(message)
        if self._work.messages > self._settings.inbox and not self._pressed.is_set():
            self._soon(self._pressed.set)

    async def _take_call(self, call: IncomingMethod) -> None:
        self._work.add_call(call)

    async def _connection_changed(self) -> None:
        self._soon(self._changed.set)

    async def _background_exception(self, error: Exception) -> None:
        logger.debug("the client of the edge's hub says: %s", _sentence(error))


def _listen(client: ModuleClient, handler: Callable[[IncomingMessage], Awaitable[None]] | None) -> None:
    client.on_message_received = handler


async def _in_thread(job: Callable[[], None]) -> None:
    """In a thread that nobody waits for when the process ends, unlike those of a pool."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        caught: BaseException | None = None
        try:
            job()
        except BaseException as error:
            caught = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, caught)

    threading.Thread(target=work, name="edge-client", daemon=True).start()
    await done


def _sentence(error: BaseException) -> str:
    """The error and what caused it, in a line; the client's own sentences say little."""
    parts: list[str] = []
    found: BaseException | None = error
    while found is not None and len(parts) < 4:
        text = str(found).strip() or type(found).__name__
        if text not in parts:
            parts.append(text)
        found = found.__cause__
    return ": ".join(parts).replace("\n", " ")
