"""What a command does while it waits: limits, and Ctrl+C."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from windtunnel.cli.context import Context
from windtunnel.cli.output import Format, Output
from windtunnel.errors import Cancelled
from windtunnel.operation import BackgroundOperation

if TYPE_CHECKING:
    from windtunnel.operation import Stop

LIMIT_S = 30.0


def context() -> tuple[Context, io.StringIO]:
    notes = io.StringIO()
    output = Output(Format.TABLE, data=io.StringIO(), notes=notes)
    return Context(output=output, environment={}, folder=Path()), notes


class Interrupted(BackgroundOperation[str]):
    """As if the user pressed Ctrl+C during the first wait."""

    pressed = False

    def wait(self, timeout_s: float | None = None) -> bool:
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return super().wait(timeout_s)


def test_ctrl_c_cancels_and_tells_what_is_left() -> None:
    def work(stop: Stop) -> str:
        stop.sleep(LIMIT_S, "nothing was built")
        return "done"

    waiting, notes = context()
    with pytest.raises(Cancelled, match="nothing was built"):
        waiting.wait(Interrupted("work", work), LIMIT_S)
    assert notes.getvalue() == "cancelling ...\n"


def test_ctrl_c_that_comes_too_late_gives_the_result() -> None:
    waiting, _ = context()
    assert waiting.wait(Interrupted("work", lambda _: "done"), LIMIT_S) == "done"


def test_a_limit_cancels_too() -> None:
    entered = threading.Event()

    def work(stop: Stop) -> str:
        entered.set()
        stop.sleep(LIMIT_S, "the build was cancelled")
        return "done"

    waiting, notes = context()
    with pytest.raises(Cancelled, match="the build was cancelled"):
        waiting.wait(BackgroundOperation("work", work), 0.1)
    assert entered.is_set()
    assert "cancelling" in notes.getvalue()
