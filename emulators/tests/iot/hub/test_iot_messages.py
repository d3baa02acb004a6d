"""The log of messages: order, numbers, what is found by offset and time, retention, restarts, a disk that is full."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.iot.hub.messages import MessageLog, Sender

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime
    from pathlib import Path

SENDER = Sender("d", "", "1", "{}")


class Log:
    """A log that may be closed and opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.open()

    def open(self) -> None:
        self.log = MessageLog(self.folder / "messages.db", 2, self.clock)
        self.sender = self.log.sender(SENDER)

    async def add(self, *bodies: bytes, partition: int = 0) -> None:
        """Store messages, and wait until they are."""
        done = [asyncio.get_running_loop().create_future() for _ in bodies]
        for body, future in zip(bodies, done, strict=True):
            self.log.append(partition, self.sender, "a=1", body, self._set(future))
        await asyncio.wait_for(asyncio.gather(*done), 10)

    @staticmethod
    def _set(future: asyncio.Future[None]) -> Callable[[], None]:
        return lambda: future.set_result(None)

    def bodies(self, partition: int = 0, start: int = 0) -> list[bytes]:
        return [message.body for message in self.log.read(partition, start, 100)]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    made = Log(tmp_path)
    yield made
    await made.log.close()


async def test_an_empty_partition_says_so(log: Log) -> None:
    state = log.log.state(1)
    assert (state.is_empty, state.first_sequence, state.last_sequence, state.last_offset) == (True, 0, -1, -1)


async def test_messages_are_numbered_per_partition(log: Log) -> None:
    await log.add(b"0", b"1")
    await log.add(b"x", partition=1)
    await log.add(b"2")
    assert (log.bodies(0), log.bodies(1)) == ([b"0", b"1", b"2"], [b"x"])
    found = log.log.read(0, 1, 1)[0]
    assert (found.partition, found.sequence, found.sender, found.bag) == (0, 1, SENDER, "a=1")
    offsets = [message.offset for message in log.log.read(0, 0, 9)]
    assert offsets == sorted(set(offsets))
    assert log.log.state(0).last_offset == offsets[-1]


async def test_numbers_and_messages_go_on_after_a_restart(log: Log) -> None:
    await log.add(b"0", b"1")
    before = log.log.state(0)
    await log.log.close()
    log.open()
    assert log.log.state(0) == before
    await log.add(b"2")
    assert log.bodies() == [b"0", b"1", b"2"]
    assert [message.sender for message in log.log.read(0, 0, 9)] == [SENDER] * 3


async def test_messages_are_found_by_offset_and_by_time(log: Log) -> None:
    moments: list[datetime] = []
    for number in range(9):
        moments.append(log.clock.now())
        await log.add(str(number).encode())
        await log.clock.advance(10)
    offsets = [message.offset for message in log.log.read(0, 0, 9)]
    assert [log.log.sequence_after_offset(0, offset) for offset in offsets] == list(range(1, 10))
    assert log.log.sequence_after_offset(0, -1) == 0
    assert [log.log.sequence_since(0, moment) for moment in moments] == list(range(9))
    assert log.log.sequence_since(0, moments[3] + timedelta(seconds=1)) == 4
    assert log.log.sequence_since(0, log.clock.now()) == 9


async def test_what_is_old_goes_and_the_numbers_stay(log: Log) -> None:
    await log.add(b"old", b"old")
    await log.clock.advance(3600)
    await log.add(b"new")
    assert log.log.expire(log.clock.now() - timedelta(seconds=60)) == 2
    state = log.log.state(0)
    assert (log.bodies(), state.first_sequence, state.last_sequence) == ([b"new"], 2, 2)
    await log.clock.advance(3600)
    assert log.log.expire(log.clock.now()) == 1
    assert log.log.state(0).is_empty
    assert log.log.sequence_since(0, log.clock.now()) == 3
    await log.log.close()
    log.open()
    await log.add(b"next")
    assert log.log.read(0, 0, 9)[0].sequence == 3


async def test_who_listens_is_told_once_messages_can_be_read(log: Log) -> None:
    seen: list[list[bytes]] = []
    end = log.log.listen(lambda: seen.append(log.bodies()))
    await log.add(b"a", b"b")
    await log.add(b"c")
    end()
    await log.add(b"d")
    assert seen == [[b"a", b"b"], [b"a", b"b", b"c"]]


async def test_the_clock_may_go_back(log: Log) -> None:
    await log.clock.advance(1000)
    await log.add(b"a")
    log.clock._elapsed = 0  # pyright: ignore[reportPrivateUsage]  # no clock of ours does; the machine's may
    await log.add(b"b")
    first, second = log.log.read(0, 0, 9)
    assert second.enqueued == first.enqueued


async def test_what_cannot_be_stored_is_not_acknowledged(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    log.log.on_failure(told.set_result)
    taken: list[bool] = []

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdatasync", full)
    log.log.append(0, log.sender, "", b"lost", lambda: taken.append(True))
    assert "No space left" in await asyncio.wait_for(told, 10)
    assert taken == []


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "messages.db").write_bytes(b"nothing of SQLite's" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        MessageLog(tmp_path / "messages.db", 2, ManualClock())
