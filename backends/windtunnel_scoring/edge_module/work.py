"""``Work``: what waits for the main thread, which scores. Calls come first, messages in the order of their arrival."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_scoring.edge_module.client import IncomingMessage, IncomingMethod


class Work:
    """Never blocks who puts something in; what adds may be called from any thread."""

    def __init__(self) -> None:
        self._calls: deque[IncomingMethod] = deque()
        self._messages: deque[IncomingMessage] = deque()
        # Its put is safe in a signal handler, unlike a condition's notify.
        self._tokens: SimpleQueue[None] = SimpleQueue()

    @property
    def messages(self) -> int:
        """How many wait."""
        return len(self._messages)

    def add_call(self, call: IncomingMethod) -> None:
        self._calls.append(call)
        self._tokens.put(None)

    def add_message(self, message: IncomingMessage) -> None:
        self._messages.append(message)
        self._tokens.put(None)

    def nudge(self) -> None:
        """Let ``wait`` return: something else has changed."""
        self._tokens.put(None)

    def wait(self) -> None:
        """Returns when something was added, or after a nudge; on the main thread."""
        self._tokens.get()

    def call(self) -> IncomingMethod | None:
        """The next call; None when none waits."""
        return self._calls.popleft() if self._calls else None

    def message(self) -> IncomingMessage | None:
        """The next message; None when none waits."""
        return self._messages.popleft() if self._messages else None
