"""Background operations: done, wait, result, cancel."""

from __future__ import annotations

import threading

import pytest

from windtunnel.errors import Cancelled, Timeout
from windtunnel.operation import BackgroundOperation, Stop

PATIENCE_S = 10.0


def test_the_result_is_what_the_work_returned() -> None:
    operation = BackgroundOperation("work", lambda _: 42)
    assert operation.wait(PATIENCE_S)
    assert operation.done()
    assert [operation.result(), operation.result(0)] == [42, 42]


def test_what_the_work_raised_is_raised_every_time() -> None:
    def work(_: Stop) -> None:
        raise ValueError("no")

    operation = BackgroundOperation("work", work)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            operation.result(PATIENCE_S)


def test_a_wait_that_is_too_short_says_so_and_the_work_goes_on() -> None:
    go = threading.Event()
    operation = BackgroundOperation("the flight", lambda _: go.wait(PATIENCE_S))
    assert not operation.wait(0)
    with pytest.raises(Timeout, match=r"the flight is not done after 0 s and goes on"):
        operation.result(0)
    go.set()
    assert operation.result(PATIENCE_S) is True


def test_cancelling_ends_the_work_where_it_asks_and_says_what_is_left() -> None:
    entered = threading.Event()

    def work(stop: Stop) -> None:
        entered.set()
        stop.sleep(PATIENCE_S, "nothing was built")

    operation = BackgroundOperation("work", work)
    assert entered.wait(PATIENCE_S)
    operation.cancel()
    with pytest.raises(Cancelled, match="cancelled; nothing was built"):
        operation.result(PATIENCE_S)


def test_cancelling_what_is_over_changes_nothing() -> None:
    operation = BackgroundOperation("work", lambda _: 1)
    assert operation.wait(PATIENCE_S)
    operation.cancel()
    assert operation.result() == 1
