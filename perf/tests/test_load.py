"""The load generator against servers whose behaviour is known."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_perf.load import MOST_REQUESTS, Plan, Where, run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Answer = Callable[[int], Awaitable[bytes | None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
REQUEST = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(answer: Answer) -> AsyncGenerator[Where]:
    """A server that answers the n-th request with ``answer(n)``; None closes the connection."""
    count = 0
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                count += 1
                content = await answer(count)
                if content is None:
                    break
                writer.write(content)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            handlers.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Where(host="127.0.0.1", port=server.sockets[0].getsockname()[1], request=REQUEST)
    finally:
        server.close()
        # Since Python 3.12 this waits for the handlers, of which some are made never to end.
        for task in list(handlers):
            task.cancel()
        await server.wait_closed()


async def at_once(_: int) -> bytes:
    return OK


async def test_every_planned_request_is_sent_and_answered() -> None:
    async with serving(at_once) as where:
        plan = Plan(rate=200, duration_s=0.5, warm_up_s=0.1)
        outcome = await run(where, plan)
    assert outcome.answered == outcome.latency.count == 100
    assert not outcome.errors


async def test_the_warm_up_is_not_counted() -> None:
    async with serving(at_once) as where:
        outcome = await run(where, Plan(rate=100, duration_s=0.1, warm_up_s=0.3))
    assert outcome.requests == 10


async def test_latency_counts_from_the_intended_time_while_the_server_stalls() -> None:
    # One connection, and one answer that takes 0.3 s: every request that was due meanwhile waited for it too.
    async def stall(n: int) -> bytes:
        if n == 5:
            await asyncio.sleep(0.3)
        return OK

    async with serving(stall) as where:
        plan = Plan(rate=100, duration_s=0.5, warm_up_s=0, connections=1)
        outcome = await run(where, plan)
    assert outcome.answered == 50
    # A closed loop would see one slow answer of 50; open-loop, some thirty are affected, half of them by over 0.15 s.
    assert outcome.latency.percentile_ms(80) > 100
    assert outcome.queued > 15
    assert any("waited for one of 1 connections" in warning for warning in outcome.warnings(plan))


async def test_statuses_are_counted_by_kind() -> None:
    async def half(n: int) -> bytes:
        return OK if n % 2 else b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

    async with serving(half) as where:
        outcome = await run(where, Plan(rate=100, duration_s=0.2, warm_up_s=0))
    assert outcome.errors == {"status 503": 10}
    assert outcome.answered == 10


async def test_an_answer_that_does_not_come_is_a_timeout() -> None:
    async def never(_: int) -> bytes:
        await asyncio.Event().wait()
        return OK

    async with serving(never) as where:
        outcome = await run(where, Plan(rate=50, duration_s=0.1, warm_up_s=0, timeout_s=0.1, connections=2))
    assert outcome.answered == 0
    assert sum(outcome.errors.values()) == 5
    assert set(outcome.errors) <= {"timeout", "timeout, not sent"}


async def test_closed_connections_and_broken_answers_are_counted_by_kind() -> None:
    async def closing(n: int) -> bytes | None:
        return None if n % 2 else b"nonsense\r\n\r\n"

    async with serving(closing) as where:
        outcome = await run(where, Plan(rate=100, duration_s=0.1, warm_up_s=0, timeout_s=2))
    assert outcome.errors == {"connection closed": 5, "broken answer": 5}


async def test_a_server_that_is_not_there_is_counted_as_connect() -> None:
    async with serving(at_once) as where:
        pass
    outcome = await run(where, Plan(rate=50, duration_s=0.1, warm_up_s=0))
    assert outcome.errors == {"connect: ConnectionRefused": 5}


async def test_a_server_that_closes_after_each_answer_costs_no_request() -> None:
    async def once(_: int) -> bytes:
        return OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    async with serving(once) as where:
        outcome = await run(where, Plan(rate=100, duration_s=0.2, warm_up_s=0, connections=3))
    assert outcome.answered == 20


async def test_a_generator_that_falls_behind_says_so() -> None:
    async def blocking(_: int) -> bytes:
        # The server runs in the generator's own loop: what blocks it blocks the generator.
        end = asyncio.get_running_loop().time() + 0.05
        while asyncio.get_running_loop().time() < end:
            pass
        return OK

    async with serving(blocking) as where:
        plan = Plan(rate=100, duration_s=0.2, warm_up_s=0)
        outcome = await run(where, plan)
    assert any("fell behind" in warning for warning in outcome.warnings(plan))


@given(
    rate=st.floats(min_value=1, max_value=1000),
    seconds=st.floats(min_value=0.1, max_value=5),
    poisson=st.booleans(),
    seed=st.integers(),
)
def test_arrivals_are_in_order_within_the_plan_and_repeatable(
    rate: float, seconds: float, poisson: bool, seed: int
) -> None:
    plan = Plan(rate=rate, duration_s=seconds, warm_up_s=0.5, poisson=poisson, seed=seed)
    arrivals = list(plan.arrivals())
    assert arrivals == sorted(arrivals)
    assert all(0 <= at < seconds + 0.5 for at in arrivals)
    assert arrivals == list(plan.arrivals())


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 0.0},
        {"rate": float("inf")},
        {"duration_s": -1.0},
        {"timeout_s": 0.0},
        {"connections": 0},
        {"warm_up_s": -0.1},
        {"rate": MOST_REQUESTS, "duration_s": 2.0},
    ],
)
def test_a_plan_without_sense_or_end_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|at least|too many"):
        Plan(**{"rate": 10, "duration_s": 1, **wrong})  # type: ignore[arg-type]
