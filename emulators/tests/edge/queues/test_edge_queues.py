"""The queues of a device: what is stored, in which order it is delivered, and what happens to what cannot be."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edge_queues import DONE, DROP, RETRY, SENDER, ScriptedSink, message, settled, store, to
from windtunnel_emulators.clock import ManualClock, Pace
from windtunnel_emulators.edge.interface import Kind, Message
from windtunnel_emulators.edge.queues import DurableQueues, Tally
from windtunnel_emulators.edge.queues.queues import CLEANUP_INTERVAL
from windtunnel_emulators.iot.hub.identity import Who

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from windtunnel_emulators.edge.interface import Outcome


class Device:
    """Queues that may be closed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "queues.db"
        self.clock = ManualClock()
        self.open()

    def open(self) -> None:
        self.queues = DurableQueues(self.file, self.clock)

    async def again(self) -> None:
        await self.queues.close()
        self.open()

    async def store(self, numbers: Sequence[int], *targets: object) -> None:
        await store(self.queues, self.clock, numbers, *targets)  # type: ignore[arg-type]  # targets


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[Device]:
    made = Device(tmp_path)
    yield made
    await made.queues.close()


async def test_messages_are_kept_whole(device: Device) -> None:
    sent = [
        Message(sender=Who("d"), bag="", body=b"", enqueued=1.5),
        Message(sender=Who("d", "m"), output="o", bag="%24.mid=1&a=%C3%A9", body=bytes(range(256)), enqueued=2.25),
        Message(sender=Who("d", "m"), kind=Kind.TWIN_CHANGE, body=b'{"a":1}', enqueued=3.0),
    ]
    taken = asyncio.Event()
    for one in sent:
        device.queues.append(one, (to(),), taken.set)
    await asyncio.wait_for(taken.wait(), 10)
    await device.again()
    sink = ScriptedSink()
    sink.send = receiving = Receiver()  # type: ignore[method-assign]
    device.queues.attach("x/in", sink)
    await settled(device.queues)
    assert receiving.messages == sent


class Receiver:
    """Takes everything."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        self.messages += messages
        return [DONE] * len(messages)


async def test_a_message_for_nobody_is_taken_at_once(device: Device) -> None:
    taken: list[bool] = []
    device.queues.append(message(1, device.clock), (), lambda: taken.append(True))
    assert taken == [True]
    assert device.queues.depths() == {}


async def test_order_is_kept_and_batches_are_no_larger_than_the_sink_wants(device: Device) -> None:
    await device.store(range(25))
    sink = ScriptedSink(batch=10)
    device.queues.attach("x/in", sink)
    await settled(device.queues)
    await device.store([25, 26])
    assert await sink.until(27) == list(range(27))
    assert [len(batch) for batch in sink.batches[:3]] == [10, 10, 5]


async def test_the_urgent_go_first_and_batches_are_of_one_priority(device: Device) -> None:
    await device.store(range(4), to(priority=9))
    await device.store(range(10, 14), to(priority=0))
    await device.store(range(20, 22), to(priority=5))
    sink = ScriptedSink(batch=3)
    device.queues.attach("x/in", sink)
    await settled(device.queues)
    assert sink.batches == [[10, 11, 12], [13], [20, 21], [0, 1, 2], [3]]


async def test_the_urgent_are_looked_at_after_every_batch(device: Device) -> None:
    await device.store(range(6), to(priority=9))
    sink = ScriptedSink(batch=2)
    sink.held = asyncio.Event()
    device.queues.attach("x/in", sink)
    await sink.until(2)
    await device.store([100], to(priority=0))
    sink.held.set()
    await settled(device.queues)
    assert sink.batches == [[0, 1], [100], [2, 3], [4, 5]]


async def test_what_comes_while_the_sink_is_not_ready_may_go_first(device: Device) -> None:
    sink = ScriptedSink(is_open=False)
    device.queues.attach("x/in", sink)
    await device.store([1], to(priority=9))
    await device.store([2], to(priority=0))
    sink.gate.set()
    await settled(device.queues)
    assert sink.batches == [[2], [1]]


async def test_every_endpoint_has_its_own_copy_and_pace(device: Device) -> None:
    await device.store(range(3), to("x/in"), to("$upstream", 0), to("y/in", 3))
    x, upstream = ScriptedSink(), ScriptedSink(is_open=False)
    device.queues.attach("x/in", x)
    device.queues.attach("$upstream", upstream)
    await settled(device.queues, "x/in")
    assert device.queues.depths() == {"x/in": 0, "$upstream": 3, "y/in": 3}
    upstream.gate.set()
    await settled(device.queues, "$upstream")
    assert upstream.numbers == x.numbers == [0, 1, 2]
    await device.again()
    assert device.queues.depths() == {"x/in": 0, "$upstream": 0, "y/in": 3}
    late = ScriptedSink()
    device.queues.attach("y/in", late)
    assert await late.until(3) == [0, 1, 2]
    await device.again()
    assert rows(device.file, "messages") == rows(device.file, "entries") == 0


def rows(file: Path, table: str) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


async def test_a_message_goes_when_its_last_endpoint_is_done_with_it(device: Device) -> None:
    await device.store(range(5), to("x/in"), to("y/in"))
    device.queues.attach("x/in", ScriptedSink())
    await settled(device.queues, "x/in")
    # Opened again between the two: how many still need a message is known from the file.
    await device.again()
    assert (rows(device.file, "messages"), rows(device.file, "entries")) == (5, 5)
    device.queues.attach("y/in", ScriptedSink())
    await settled(device.queues, "y/in")
    await device.again()
    assert (rows(device.file, "messages"), rows(device.file, "entries")) == (0, 0)


async def test_two_targets_of_one_endpoint_are_one_copy(device: Device) -> None:
    await device.store([1], to(priority=3), to(priority=3))
    sink = ScriptedSink()
    device.queues.attach("x/in", sink)
    await settled(device.queues)
    assert sink.numbers == [1]


async def test_what_fails_is_sent_again_with_all_behind_it(device: Device) -> None:
    await device.store(range(5))
    sink = ScriptedSink()
    answers = iter(([DONE, DONE, RETRY, DONE, RETRY], [DONE] * 3))
    sink.answer = lambda _: next(answers)
    device.queues.attach("x/in", sink)
    await sink.until(5)
    await device.clock.advance(0.9)
    assert device.queues.depths() == {"x/in": 3}
    assert len(sink.batches) == 1
    await device.clock.advance(0.2)
    await settled(device.queues)
    assert sink.batches == [[0, 1, 2, 3, 4], [2, 3, 4]]


async def test_waits_between_attempts_double_up_to_a_minute_and_begin_again(device: Device) -> None:
    await device.store([1])
    sink = ScriptedSink()
    sink.answer = lambda numbers: [RETRY] * len(numbers)
    device.queues.attach("x/in", sink)
    await sink.until(1)
    for attempt, wait in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
        await device.clock.advance(wait - 0.5)
        assert len(sink.batches) == attempt, wait
        await device.clock.advance(0.5)
        assert len(sink.batches) == attempt + 1, wait
    sink.answer = lambda numbers: [DONE] * len(numbers)
    await device.clock.advance(60)
    await settled(device.queues)
    sink.answer = lambda numbers: [RETRY] * len(numbers)
    await device.store([2])
    before = len(await sink.until(11))
    await device.clock.advance(1.01)
    assert len(sink.numbers) == before + 1


async def test_a_pace_makes_waits_shorter(tmp_path: Path) -> None:
    clock = ManualClock()
    queues = DurableQueues(tmp_path / "queues.db", clock, Pace.parse("10"))
    await store(queues, clock, [1])
    sink = ScriptedSink()
    sink.answer = lambda _: [RETRY]
    queues.attach("x/in", sink)
    await sink.until(1)
    await clock.advance(0.11)
    assert len(sink.batches) == 2
    await queues.close()


async def test_what_is_dropped_is_gone_and_logged(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    await device.store(range(3))
    sink = ScriptedSink()
    sink.answer = lambda _: [DONE, DROP, DONE]
    with caplog.at_level(logging.WARNING):
        device.queues.attach("x/in", sink)
        await settled(device.queues)
    assert f"a message of {SENDER} to x/in cannot be delivered and is dropped" in caplog.text
    assert device.queues.tallies() == {"x/in": Tally(waiting=0, delivered=2, dropped=1)}
    await device.again()
    assert device.queues.depths() == {"x/in": 0}


async def test_a_sink_that_breaks_its_word_loses_nothing(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    await device.store(range(3))
    sink = ScriptedSink()
    answers: list[Sequence[Outcome]] = [[DONE], [DONE, DONE]]

    def answer(_: Sequence[int]) -> Sequence[Outcome]:
        if not answers:
            raise RuntimeError("a mistake in a sink")
        return answers.pop()

    sink.answer = answer
    device.queues.attach("x/in", sink)
    with caplog.at_level(logging.ERROR):
        await sink.until(3)
        await device.clock.advance(1.01)
        await sink.until(4)
    assert "2 outcomes of 3 messages" in caplog.text
    await device.store([3])
    with caplog.at_level(logging.ERROR):
        await sink.until(5)
    assert "the delivery failed, and is tried again" in caplog.text
    assert device.queues.depths() == {"x/in": 1}
    sink.answer = lambda numbers: [DONE] * len(numbers)
    await device.clock.advance(1.01)
    await settled(device.queues)


async def test_another_sink_takes_over(device: Device) -> None:
    first, second = ScriptedSink(is_open=False), ScriptedSink()
    device.queues.attach("x/in", first)
    await device.store([1])
    device.queues.attach("x/in", second)
    assert await second.until(1) == [1]
    assert first.numbers == []


async def test_what_a_sink_has_in_its_hands_it_keeps_when_another_takes_over(device: Device) -> None:
    first, second = ScriptedSink(batch=1), ScriptedSink()
    first.held = asyncio.Event()
    await device.store([1, 2])
    device.queues.attach("x/in", first)
    await first.until(1)
    device.queues.attach("x/in", second)
    first.held.set()
    assert await second.until(1) == [2]
    assert first.numbers == [1]


async def test_the_old_are_skipped(device: Device) -> None:
    await device.store([1], to(ttl=10))
    await device.store([2], to(ttl=30))
    await device.store([3])
    await device.clock.advance(10)
    sink = ScriptedSink()
    device.queues.attach("x/in", sink)
    await settled(device.queues)
    assert sink.batches == [[2, 3]]
    assert device.queues.tallies() == {"x/in": Tally(delivered=2, expired=1)}


async def test_many_that_are_old_are_no_obstacle(device: Device) -> None:
    await device.store(range(2500), to(ttl=10))
    await device.clock.advance(11)
    await device.store(range(3000, 3025), to(ttl=10))
    sink = ScriptedSink(batch=10)
    device.queues.attach("x/in", sink)
    await settled(device.queues)
    assert sink.numbers == list(range(3000, 3025))
    assert max(map(len, sink.batches)) == 10
    assert device.queues.tallies() == {"x/in": Tally(delivered=25, expired=2500)}


async def test_the_default_time_to_live_is_of_messages_that_have_none(device: Device) -> None:
    await device.store([1])
    await device.store([2], to(ttl=1000))
    await device.clock.advance(100)
    device.queues.set_default_ttl(-1)
    assert await device.queues.clean() == 0
    device.queues.set_default_ttl(100)
    assert await device.queues.clean() == 1
    device.queues.set_default_ttl(None)
    sink = ScriptedSink()
    device.queues.attach("x/in", sink)
    assert await sink.until(1) == [2]


async def test_the_old_are_removed_at_the_start_and_every_half_hour(device: Device) -> None:
    await device.store([1], to(ttl=10))
    await device.store(range(2, 700), to(ttl=CLEANUP_INTERVAL))
    await device.store([700], to("y/in", ttl=1))
    await device.again()
    await device.clock.advance(10)
    running = asyncio.create_task(device.queues.run())
    await settled(device.queues, "x/in", 698)
    await settled(device.queues, "y/in", 0)
    await device.clock.advance(CLEANUP_INTERVAL - 1)
    assert device.queues.depths() == {"x/in": 698, "y/in": 0}
    await device.clock.advance(2)
    await settled(device.queues, "x/in", 0)
    await device.queues.close()
    await asyncio.wait_for(running, 10)
    assert rows(device.file, "messages") == 0


async def test_cleaning_up_ends_at_the_first_that_is_not_old(device: Device) -> None:
    await device.store([1], to(ttl=10))
    await device.store([2], to(ttl=1000))
    await device.store([3], to(ttl=10))
    await device.clock.advance(20)
    assert await device.queues.clean() == 1
    assert device.queues.depths() == {"x/in": 2}


async def test_what_is_with_a_sink_is_not_removed(device: Device) -> None:
    await device.store([1, 2], to(ttl=10))
    sink = ScriptedSink(batch=1)
    sink.held = asyncio.Event()
    device.queues.attach("x/in", sink)
    await sink.until(1)
    await device.clock.advance(20)
    assert await device.queues.clean() == 0
    sink.held.set()
    await settled(device.queues)
    assert device.queues.tallies() == {"x/in": Tally(delivered=1, expired=1)}


async def test_closing_waits_for_what_a_sink_has_and_repeats_nothing(device: Device) -> None:
    await device.store(range(10))
    sink = ScriptedSink(batch=4)
    sink.held = asyncio.Event()
    device.queues.attach("x/in", sink)
    await sink.until(4)
    closing = asyncio.create_task(device.queues.close())
    await asyncio.sleep(0)
    sink.held.set()
    await closing
    await device.queues.close()
    device.open()
    rest = ScriptedSink()
    device.queues.attach("x/in", rest)
    await settled(device.queues)
    assert sink.numbers + rest.numbers == list(range(10))


async def test_what_a_sink_never_gives_back_is_delivered_again(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("windtunnel_emulators.edge.queues.queues._PATIENCE", 0.01)
    await device.store([1])
    sink = ScriptedSink()
    sink.held = asyncio.Event()
    device.queues.attach("x/in", sink)
    await sink.until(1)
    await device.again()
    assert device.queues.depths() == {"x/in": 1}


async def test_what_was_appended_before_the_end_is_stored(device: Device) -> None:
    taken: list[int] = []
    for one in range(3):
        device.queues.append(message(one, device.clock), (to(),), lambda one=one: taken.append(one))  # type: ignore[misc]
    await device.again()
    assert taken == [0, 1, 2]
    assert device.queues.depths() == {"x/in": 3}


async def test_a_full_disk_takes_nothing_and_says_so(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    await device.store([1])
    commits = device.queues._store.commits  # pyright: ignore[reportPrivateUsage]  # how else is a disk made full
    commits.connection.execute("PRAGMA max_page_count = 8")
    taken: list[bool] = []
    large = Message(sender=SENDER, body=bytes(1 << 20), enqueued=device.clock.now().timestamp())
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            device.queues.append(large, (to(), to("$upstream")), lambda: taken.append(True))
            await asyncio.sleep(0.01)
    assert taken == []
    assert device.queues.lost == 3
    assert caplog.text.count("messages on the device cannot be stored: database or disk is full") == 1
    assert device.queues.depths() == {"x/in": 1, "$upstream": 0}
    # What was stored is still delivered, and once there is room again, all is well.
    sink = ScriptedSink()
    device.queues.attach("x/in", sink)
    assert await sink.until(1) == [1]
    commits.connection.execute("PRAGMA max_page_count = 100000")
    await device.store([2], to(), to("$upstream"))
    assert await sink.until(2) == [1, 2]
    await device.again()
    assert device.queues.depths() == {"x/in": 0, "$upstream": 1}


async def test_a_disk_that_fails_acknowledges_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    device.queues.on_failure(told.set_result)
    taken: list[bool] = []

    def fail(_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("os.fdatasync", fail)
        device.queues.append(message(1, device.clock), (to(),), lambda: taken.append(True))
        assert "Input/output error" in await asyncio.wait_for(told, 10)
    assert taken == []


async def test_a_text_that_cannot_be_stored_is_refused_and_the_next_is_taken(device: Device) -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    device.queues.on_failure(told.set_result)
    device.queues.append(Message(sender=SENDER, bag="\ud800", enqueued=0.0), (to(),), lambda: None)
    assert "surrogates not allowed" in await asyncio.wait_for(told, 10)
    await device.store([1])
    assert device.queues.depths() == {"x/in": 1}


async def test_a_log_that_grows_is_folded_into_the_file(device: Device) -> None:
    device.queues.attach("x/in", ScriptedSink(batch=100))
    for _ in range(40):
        await device.store(range(1000))
    await settled(device.queues)
    log = device.file.with_name("queues.db-wal")
    assert log.stat().st_size < 40 * 1024 * 1024


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "queues.db").write_bytes(b"nothing of SQLite's" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        DurableQueues(tmp_path / "queues.db", ManualClock())
