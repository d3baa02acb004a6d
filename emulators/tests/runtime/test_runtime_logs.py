"""The log files of containers: lines, however the bytes came; bounded; read back by tail and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.runtime import logs
from windtunnel_emulators.runtime.logs import LogWriter, read_log, stamp

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


class Ticking:
    """A clock that is one second later each time it is asked."""

    def __init__(self) -> None:
        self.time = START - timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


@given(
    data=st.binary(max_size=400).map(lambda data: data.replace(b"x", b"\n")),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=200,
)
def test_however_bytes_are_cut_the_lines_are_the_same(tmp_path: Path, data: bytes, cuts: list[int]) -> None:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    writer = LogWriter(path, lambda: START)
    at = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(at):
        writer.feed("stdout", data[start:end])
    writer.close()
    writer.close()
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    lines = path.read_bytes().split(b"\n")[:-1]
    assert [line.removeprefix(f"{stamp(START)} stdout ".encode()) for line in lines] == expected
    assert read_log(path) == "".join(line.decode("utf-8", "replace") + "\n" for line in expected)


def test_both_streams_keep_their_own_unfinished_lines(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", Ticking())
    writer.feed("stdout", b"out ")
    writer.feed("stderr", b"err\n")
    writer.feed("stdout", b"put\nend")
    writer.note("a note\nof two lines")
    writer.close()
    assert (tmp_path / "log").read_text().splitlines() == [
        "2026-01-02T03:04:05.000006Z stderr err",
        "2026-01-02T03:04:06.000006Z stdout out put",
        "2026-01-02T03:04:07.000006Z stdout end",
        "2026-01-02T03:04:08.000006Z stderr a note",
        "2026-01-02T03:04:08.000006Z stderr of two lines",
    ]


def test_a_line_without_end_is_cut_and_not_held_in_memory(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "log", lambda: START)
    for _ in range(10):
        writer.feed("stdout", b"y" * 100_000)
    writer.feed("stdout", b"\nz\n")
    writer.close()
    lines = read_log(tmp_path / "log").splitlines()
    assert [len(line) for line in lines] == [logs.LONGEST_LINE] * 3 + [1_000_000 - 3 * logs.LONGEST_LINE, 1]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_log_is_bounded_and_keeps_its_end(tmp_path: Path, at_once: bool) -> None:
    full = 20_000
    writer = LogWriter(tmp_path / "log", lambda: START, full=full)
    lines = [f"line {n}\n".encode() for n in range(5_000)]
    for data in [b"".join(lines)] if at_once else lines:
        writer.feed("stdout", data)
    writer.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log", "log.1"]
    assert all(file.stat().st_size <= full for file in files)
    kept = read_log(tmp_path / "log").splitlines()
    assert kept == [f"line {n}" for n in range(5_000 - len(kept), 5_000)]
    assert len(kept) > 300


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        writer = LogWriter(tmp_path / "deep" / "log", lambda: START)
        writer.feed("stdout", text)
        writer.close()
    assert read_log(tmp_path / "deep" / "log") == "one\ntwo\n"


def test_reading_by_tail_time_and_with_times(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert read_log(path) == ""
    writer = LogWriter(path, Ticking())
    for text in (b"one\n", b"\n", b"three \n"):
        writer.feed("stdout", text)
    writer.close()
    assert read_log(path) == "one\n\nthree \n"
    assert [read_log(path, tail=n) for n in (0, 1, 2, 99)] == ["", "three \n", "\nthree \n", "one\n\nthree \n"]
    assert read_log(path, since=START + timedelta(seconds=1)) == "\nthree \n"
    assert read_log(path, since=START + timedelta(seconds=1), tail=1, timestamps=True) == (
        "2026-01-02T03:04:07.000006Z three \n"
    )


def test_a_log_is_its_owners_alone(tmp_path: Path) -> None:
    LogWriter(tmp_path / "log", lambda: START).close()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
