"""``BackgroundOperation``: blocking work in a thread of its own, as an ``Operation``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from windtunnel.errors import Cancelled, Timeout
from windtunnel.interface import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Stop:
    """Handed to the work: where it asks, between steps, whether it should go on."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ask(self) -> None:
        """From now on ``check`` and ``sleep`` raise."""
        self._event.set()

    @property
    def asked(self) -> bool:
        """Whether the operation was cancelled."""
        return self._event.is_set()

    def check(self, left: str = "nothing was changed after that") -> None:
        """Raises ``Cancelled`` when the operation was cancelled; ``left`` says what state it leaves."""
        if self.asked:
            raise Cancelled(f"cancelled; {left}")

    def sleep(self, seconds: float, left: str = "nothing was changed after that") -> None:
        """Wait between polls; raises ``Cancelled`` as soon as the operation is cancelled."""
        if self._event.wait(seconds):
            self.check(left)


class BackgroundOperation(Operation[T], Generic[T]):
    """Runs ``work(stop)`` in a daemon thread: an interpreter that exits does not wait for it."""

    def __init__(self, what: str, work: Callable[[Stop], T]) -> None:
        self._what = what
        self._stop = Stop()
        self._value: list[T] = []
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), name=what, daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[Stop], T]) -> None:
        try:
            self._value.append(work(self._stop))
        except BaseException as error:  # handed to whoever asks for the result, in their thread
            self._error = error
        finally:
            self._ended.set()

    def done(self) -> bool:
        return self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        return self._ended.wait(timeout_s)

    def result(self, timeout_s: float | None = None) -> T:
        if not self._ended.wait(timeout_s):
            raise Timeout(
                f"{self._what} is not done after {timeout_s:g} s and goes on",
                way_out="Wait longer, or look at its state later.",
            )
        if self._error is not None:
            raise self._error
        return self._value[0]

    def cancel(self) -> None:
        self._stop.ask()
