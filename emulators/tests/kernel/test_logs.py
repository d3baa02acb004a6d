"""The log's lines: readable or JSON, gathered, in order, and never two from one message."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
import re
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators import logs
from windtunnel_emulators.logs import configure, log_request

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = "windtunnel_emulators.test_logs"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give logging back as it was."""
    monkeypatch.setattr(logs, "_configured", None)
    names = ("", "windtunnel_emulators")
    before = {name: (list(logging.getLogger(name).handlers), logging.getLogger(name).level) for name in names}
    yield
    for name, (handlers, level) in before.items():
        logging.getLogger(name).handlers[:] = handlers
        logging.getLogger(name).setLevel(level)


def request(path: str = "/p", status: int = 200) -> None:
    log_request({"type": "http", "method": "GET", "path": path, "query_string": b"sig=secret"}, status, 0.0123, "id-1")


def test_a_request_is_one_line_without_its_query() -> None:
    stream = io.StringIO()
    configure(json=False, level="info", stream=stream)
    request()
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO requests: GET /p 200 in 12\.3 ms request id-1\n"
    assert re.fullmatch(line, stream.getvalue())


def test_json_lines_are_json() -> None:
    stream = io.StringIO()
    configure(json=True, level="info", stream=stream)
    request("/a\nb")
    logging.getLogger(LOGGER).error("it %s", "broke", exc_info=ValueError("why"))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["level"], first["message"]) == ("INFO", "GET /a\nb 200 in 12.3 ms request id-1")
    assert (second["logger"], second["message"]) == (LOGGER, "it broke")
    assert second["traceback"].endswith("ValueError: why")


def test_what_a_client_sent_cannot_make_lines_of_its_own() -> None:
    stream = io.StringIO()
    configure(json=False, level="info", stream=stream)
    request("/a\r\n2026-01-01T00:00:00.000Z INFO host: forged\x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_a_level_leaves_lines_out() -> None:
    stream = io.StringIO()
    tail = configure(json=False, level="warning", stream=stream)
    request()
    logging.getLogger(LOGGER).warning("shown")
    logging.getLogger("somebody.else").info("not ours")
    assert stream.getvalue().endswith("WARNING test_logs: shown\n")
    assert stream.getvalue().count("\n") == 1
    assert len(tail.lines(10)) == 1


async def test_lines_are_gathered_and_come_in_their_order() -> None:
    stream = _Told()
    tail = configure(json=False, level="info", stream=stream)
    request("/1")
    request("/2")
    assert stream.getvalue() == ""
    logging.getLogger(LOGGER).error("now")
    request("/3")
    assert [line.rpartition(": ")[2][:6] for line in stream.getvalue().splitlines()] == ["GET /1", "GET /2", "now"]
    stream.written.clear()
    await asyncio.wait_for(stream.written.wait(), 5)  # a fifth of a second is all it waits
    assert "GET /3" in stream.getvalue()
    request("/4")
    assert [line.split()[4] for line in tail.lines(2)] == ["/3", "/4"]


class _Told(io.StringIO):
    """Tells when something is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def test_without_a_configuration_requests_are_logged_as_anything_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        request()
    assert caplog.messages == ["GET /p 200 in 12.3 ms request id-1"]


def test_the_tail_is_bounded() -> None:
    tail = configure(json=False, level="info", stream=io.StringIO())
    for number in range(1500):
        request(f"/{number}")
    lines = tail.lines(2000)
    assert len(lines) == 1000
    assert "/1499 " in lines[-1]


class _Full(io.StringIO):
    """A file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_nobody_from_an_answer() -> None:
    tail = configure(json=False, level="info", stream=_Full())
    request()
    logging.getLogger(LOGGER).error("a defect")
    assert [line.split()[3] for line in tail.lines(2)] == ["GET", "a"]
