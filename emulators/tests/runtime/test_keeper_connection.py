"""What the keeper reports of a child that nobody waits for any more."""

from __future__ import annotations

import asyncio

import pytest

from windtunnel_emulators.runtime.connection import KeeperConnection

# A keeper that starts nothing before it is told to kill the first child, and answers by events alone.
KEEPER = """
import socket, sys
sys.path.append(sys.argv[1])
from windtunnel_emulators.runtime.keeper import protocol
channel, frames = socket.socket(fileno=0), protocol.Frames()
def say(event, told, **more):
    protocol.send(channel, {"event": event, "id": told["id"], "files": 0, **more}, ())
while frames.receive(channel):
    for message, _ in frames.messages():
        if message["do"] == "kill":
            say(message["id"], message, message="too late", pid=6)
        elif message["id"] == "second":
            say("started", message, pid=7)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("event", ["started", "failed"])
async def test_a_report_of_a_child_whose_start_was_cancelled_is_nobodys(
    monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    monkeypatch.setattr("windtunnel_emulators.runtime.connection._CODE", KEEPER)
    keeper = KeeperConnection()
    try:
        starting = asyncio.ensure_future(keeper.launch({"do": "start", "id": event}, ()))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        # Reports come in order: that of the first has been taken when the second has started.
        async with asyncio.timeout(10):
            second = await keeper.launch({"do": "start", "id": "second"}, ())
        assert second.pid.result() == 7
    finally:
        await keeper.close()
