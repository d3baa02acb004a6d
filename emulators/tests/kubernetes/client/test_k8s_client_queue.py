"""The work queue."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.kubernetes.client.queue import WorkQueue


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> WorkQueue:
    return WorkQueue(clock)


async def test_a_key_is_in_it_once(queue: WorkQueue) -> None:
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_in_work_comes_again_and_not_before_it_is_done(queue: WorkQueue) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_failures_wait_twice_as_long_each_time_until_success(queue: WorkQueue, clock: ManualClock) -> None:
    for wait in (0.005, 0.01, 0.02):
        queue.add_rate_limited("a")
        await clock.advance(wait * 0.9)
        assert len(queue) == 0
        await clock.advance(wait * 0.11)
        assert await queue.get() == "a"
        queue.done("a")
    queue.forget("a")
    queue.add_rate_limited("a")
    await clock.advance(0.0051)
    assert len(queue) == 1


async def test_the_earliest_of_several_times_holds(queue: WorkQueue, clock: ManualClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 2)
    queue.add_after("a", 5)
    await clock.advance(2)
    assert await queue.get() == "a"
    queue.done("a")
    await clock.advance(20)
    assert len(queue) == 0


async def test_closing_wakes_who_waits(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after("later", 60)
    await queue.close()
    assert await waiting is None
    queue.add("b")
    assert await queue.get() is None


@given(st.lists(st.tuples(st.sampled_from(["add", "get", "done"]), st.sampled_from("abc")), max_size=60))
def test_nothing_is_lost_and_nothing_is_worked_on_twice_at_a_time(steps: list[tuple[str, str]]) -> None:
    async def run() -> None:
        queue = WorkQueue(ManualClock())
        in_work: set[str] = set()
        owed: set[str] = set()
        for step, key in steps:
            if step == "add":
                queue.add(key)
                owed.add(key)
            elif step == "get" and len(queue):
                got = await queue.get()
                assert got is not None
                assert got not in in_work
                in_work.add(got)
                owed.discard(got)
            elif step == "done" and key in in_work:
                in_work.discard(key)
                queue.done(key)
        for key in list(in_work):
            queue.done(key)
        left = [await queue.get() for _ in range(len(queue))]
        assert sorted(str(key) for key in left) == sorted(owed)

    asyncio.run(run())
