"""``EdgeModule``: scores what comes in, on the main thread, one after the other.

That is where a script's time limit works, and where order needs no care. On SIGTERM the module takes in no more, works
on what it has (the hub has been told that it is delivered) and ends with 0; what is not done within the grace is lost,
and the exit code is 1.
"""

from __future__ import annotations

import contextvars
import logging
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from windtunnel_scoring import ending, failures
from windtunnel_scoring.asgi import message_response
from windtunnel_scoring.edge_module import messages
from windtunnel_scoring.edge_module.connection import Connection
from windtunnel_scoring.edge_module.work import Work
from windtunnel_scoring.record import RequestRecord, log_record
from windtunnel_scoring.serving import DROPPED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from windtunnel_scoring.asgi import Request
    from windtunnel_scoring.edge_module.client import IncomingMessage, IncomingMethod, ModuleClient
    from windtunnel_scoring.edge_module.settings import EdgeSettings
    from windtunnel_scoring.jsontypes import Json
    from windtunnel_scoring.scorer import Outcome, Scorer

logger = logging.getLogger("windtunnel")


class EdgeModule:
    """One module of one process."""

    def __init__(self, scorer: Scorer, create: Callable[[], ModuleClient], settings: EdgeSettings) -> None:
        self._scorer = scorer
        self._settings = settings
        self._work = Work()
        self._connection = Connection(create, self._work, settings)
        self._ends: float | None = None
        self._strangers: set[str | None] = set()

    def run(self) -> int:
        """Until SIGTERM or SIGINT; gives the exit code. Raises ``StartError`` when there can be no connection."""
        self._stop_by_signal()
        if self.work():
            return 0
        logger.warning("not all was done within %g s, and is dropped", self._settings.grace_s)
        # What was dropped may still hold a thread, which Python would wait for.
        ending.in_haste()
        logging.shutdown()
        os._exit(DROPPED)

    def _stop_by_signal(self) -> None:
        """The kernel gives a signal to any thread, and the main thread, where Python would handle it, goes on waiting:
        so Python is told to write to a socket, and a thread of its own reads it."""
        told, tells = socket.socketpair()
        tells.setblocking(False)
        signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _noticed)

        def wait() -> None:
            with tells, told:
                told.recv(1)
                self.stop()
                threading.Event().wait()  # until the process ends: the socket is Python's to write to

        threading.Thread(target=wait, name="signals", daemon=True).start()

    def work(self) -> bool:
        """Until ``stop``; gives whether all was done. Raises ``StartError``, ``RuntimeError`` for an end by itself."""
        thread = threading.Thread(target=self._connection.run, name="edge-connection", daemon=True)
        thread.start()
        while not self._connection.over and not self._is_done():
            self._work.wait()
            self._do_waiting()
        if self._ends is None:
            thread.join()
            if self._connection.failed is not None:
                raise self._connection.failed
            raise RuntimeError("the connection to the edge's hub has ended by itself")
        self._connection.drained()
        thread.join(max(0.0, self._ends - time.monotonic()))
        return not thread.is_alive() and not self._work.messages

    def stop(self) -> None:
        """End soon; from any thread, and from a signal handler."""
        if self._ends is None:
            self._ends = time.monotonic() + self._settings.grace_s
            self._connection.end()
            # A model that waits for the hub to take its answers would not look at the time.
            timer = threading.Timer(self._settings.grace_s, self._work.nudge)
            timer.daemon = True
            timer.start()
            self._work.nudge()

    def _is_done(self) -> bool:
        if self._ends is None:
            return False
        return (self._connection.quiet and not self._work.messages) or time.monotonic() >= self._ends

    def _do_waiting(self) -> None:
        while self._ends is None or time.monotonic() < self._ends:
            call = self._work.call()
            if call is not None:
                self._answer(call)
                continue
            message = self._work.message() if self._connection.accepts else None
            if message is None:
                return
            self._connection.message_done()
            self._score_message(message)

    def _score_message(self, message: IncomingMessage) -> None:
        if message.input_name != messages.INPUT:
            if message.input_name not in self._strangers:
                self._strangers.add(message.input_name)
                logger.warning(
                    "messages on input %r are not for this module: it reads %r", message.input_name, messages.INPUT
                )
            return
        started = time.perf_counter()
        outcome = self._score(messages.request_of(message))
        correlation = messages.correlation_of(message)
        response = outcome.response
        failed = outcome.run_failed or response.status >= 400
        if not failed:
            for output in messages.outputs(response, correlation):
                self._connection.send(output)
        else:
            text = response.body.decode("utf-8", "replace")
            logger.warning("a message on %s could not be scored: %d %s", messages.INPUT, response.status, text)
            if self._settings.reports_errors:
                self._connection.send(messages.Output(body=text, response=messages.FAILED, correlation_id=correlation))
        if logger.isEnabledFor(logging.DEBUG):
            self._record("message", messages.INPUT, outcome, started)

    def _answer(self, call: IncomingMethod) -> None:
        started = time.perf_counter()
        if call.name != messages.METHOD:
            missing: Json = {"message": f"there is no direct method {call.name!r}: this module has {messages.METHOD!r}"}
            self._connection.respond(call.request_id, 404, missing)
            return
        outcome = self._score(messages.call_of(call.payload))
        self._connection.respond(call.request_id, *messages.payload_of(outcome.response))
        self._record("method", messages.METHOD, outcome, started)

    def _score(self, request: Request) -> Outcome:
        try:
            return contextvars.copy_context().run(self._scorer.score, request)
        except Exception as error:
            return failures.outcome(error, message_response)

    def _record(self, kind: str, name: str, outcome: Outcome, started: float) -> None:
        log_record(
            RequestRecord(
                method=kind,
                path=name,
                status=outcome.response.status,
                duration_ms=(time.perf_counter() - started) * 1000,
                length=len(outcome.response.body),
            )
        )


def _noticed(number: int, frame: FrameType | None) -> None:
    """Nothing more: whoever reads the socket stops the module."""
    del number, frame
