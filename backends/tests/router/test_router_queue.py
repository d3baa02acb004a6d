"""Queue, traffic and scaling as rules that hold for every sequence of events."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windtunnel_scoring.frontend.upstream import Upstream
from windtunnel_scoring.router.objects import Pod
from windtunnel_scoring.router.slots import NoReplicas, Overloaded, Slots
from windtunnel_scoring.router.traffic import Sample, Split

if TYPE_CHECKING:
    from windtunnel_scoring.router.slots import Replica


class Time:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pod(name: str, *, ready: bool = True) -> Pod:
    return Pod(
        uid=name,
        name=name,
        namespace="azureml",
        service="svc",
        version="svc",
        address="127.0.0.1",
        port=1,
        ready=ready,
        terminating=not ready,
    )


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.just(0)),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("pods"), st.integers(0, 4)),
        st.tuples(st.just("drain"), st.integers(0, 4)),
        st.tuples(st.just("limit"), st.integers(1, 3)),
    ),
    max_size=60,
)


@given(events=EVENTS)
@settings(max_examples=150, deadline=None)
def test_no_replica_over_its_limit_first_come_first_served_nothing_lost(events: list[tuple[str, int]]) -> None:
    asyncio.run(_play(events))


async def _play(events: list[tuple[str, int]]) -> None:
    slots = Slots(1, Upstream, Time())
    limit, pods = 1, list[Pod]()
    waiting: list[tuple[int, asyncio.Task[Replica]]] = []
    working: list[tuple[int, Replica]] = []
    arrived, served = 0, list[int]()

    async def settle() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        for entry in list(waiting):
            number, task = entry
            if task.done():
                waiting.remove(entry)
                working.append((number, task.result()))
                served.append(number)
                taken = Counter(id(replica) for _, replica in working)
                # A limit that was lowered holds for what comes after.
                assert taken[id(task.result())] <= max(limit, highest)

    highest = 1
    for event, number in events:
        if event == "arrive":
            waiting.append((arrived, asyncio.create_task(slots.acquire(3600))))
            arrived += 1
        elif event == "finish" and working:
            _, replica = working.pop(number % len(working))
            slots.release(replica)
        elif event == "leave" and waiting:
            _, task = waiting.pop(number % len(waiting))
            task.cancel()
            await asyncio.wait((task,))
        elif event == "pods":
            pods = [pod(f"p{index}") for index in range(number)]
            slots.set_pods(pods)
        elif event == "drain":
            pods = [pod(each.name, ready=index != number) for index, each in enumerate(pods)]
            slots.set_pods(pods)
        elif event == "limit":
            highest, limit = max(highest, number), number
            slots.set_limit(number)
        await settle()
        assert served == sorted(served), "who waits longest is next"
        assert slots.busy == len(working)
        assert slots.queued == len(waiting)
        free = [r for r in slots.replicas if r.open and r.busy < limit]
        assert not (waiting and free), "nobody waits while a place is free"
    highest = limit = 1000
    slots.set_limit(limit)
    slots.set_pods([*pods, pod("last")])
    await settle()
    assert not waiting, "everybody is served in the end"
    for _, replica in working:
        slots.release(replica)
    assert slots.busy == 0


async def test_one_who_gives_up_takes_no_place(anyio_backend: str) -> None:
    slots = Slots(1, Upstream, Time())
    slots.set_pods([pod("a")])
    first = await slots.acquire(1)
    second = asyncio.create_task(slots.acquire(3600))
    await asyncio.sleep(0)
    slots.release(first)
    second.cancel()
    await asyncio.wait((second,))
    assert slots.busy == 0, "the place that it was given at that moment went back"


async def test_why_there_was_no_place(anyio_backend: str) -> None:
    slots = Slots(1, Upstream, Time())
    with pytest.raises(NoReplicas):
        await slots.acquire(0)
    slots.set_pods([pod("a")])
    replica = await slots.acquire(0)
    with pytest.raises(Overloaded):
        await slots.acquire(0)
    slots.refused(replica)
    with pytest.raises(NoReplicas):
        await slots.acquire(0)


async def test_the_load_is_an_average_over_time(anyio_backend: str) -> None:
    time = Time()
    slots = Slots(1, Upstream, time)
    slots.set_pods([pod("a"), pod("b")])
    replica = await slots.acquire(0)
    time.now = 0.5
    await slots.acquire(0)
    time.now = 1.0
    slots.release(replica)
    time.now = 2.0
    assert slots.average_load() == pytest.approx((0.5 * 1 + 0.5 * 2 + 1 * 1) / 2)
    time.now = 3.0
    assert slots.average_load() == pytest.approx(1.0)


@given(
    weights=st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(lambda w: sum(w) > 0), skip=st.integers(0, 99)
)
def test_of_any_hundred_requests_each_version_gets_its_percentage(weights: list[int], skip: int) -> None:
    total = sum(weights)
    shares = {f"v{index}": weight * 100 // total for index, weight in enumerate(weights)}
    shares["v0"] += 100 - sum(shares.values())
    split = Split(shares)
    for _ in range(skip):
        split.choose()
    chosen = Counter(split.choose() for _ in range(100))
    assert {name: chosen[name] for name in shares} == shares


@given(percent=st.integers(0, 50))
def test_of_a_hundred_requests_so_many_are_copied(percent: int) -> None:
    sample = Sample(percent)
    assert sum(sample.take() for _ in range(100)) == percent
