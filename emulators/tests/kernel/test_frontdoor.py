"""Which part answers which path, and what fault rules do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from windtunnel_emulators.asgi import respond
from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.faults import Fault, Faults
from windtunnel_emulators.frontdoor import FrontDoor
from windtunnel_emulators.identity.service import owns

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI, Message, Receive, Scope, Send


def says(name: str) -> ASGI:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await respond(send, 200, f"{name} {scope['path']}".encode())

    return app


class Asked:
    """A front door whose parts say their names."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.faults = Faults()
        self.controls = 0
        self.door = FrontDoor(
            arm=says("arm"),
            identity=says("identity"),
            owned_by_identity=owns,
            routes={"blobs": says("blobs"), "/ExecStream/": says("exec")},
            control=self._control,
            health=lambda: {"status": "ok"},
            faults=self.faults,
            clock=self.clock,
        )
        self.aborted = False

    async def _control(self) -> ASGI:
        self.controls += 1
        return says("control")

    async def ask(self, path: str, method: str = "GET", type: str = "http") -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": f"{type}.connect"}

        def abort() -> None:
            self.aborted = True

        scope: Scope = {"type": type, "method": method, "path": path, "headers": [], "state": {"abort": abort}}
        await self.door(scope, receive, send)
        return sent

    async def text(self, path: str) -> str:
        return bytes((await self.ask(path))[-1]["body"]).decode()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/subscriptions/s/x", "arm /subscriptions/s/x"),
        ("//Subscriptions", "arm //Subscriptions"),
        ("/providers/x/oauth2/token", "arm /providers/x/oauth2/token"),
        ("/", "arm /"),
        ("/nothing", "arm /nothing"),
        ("/common/discovery/instance", "identity /common/discovery/instance"),
        ("//metadata//endpoints", "identity /metadata/endpoints"),
        ("/blobs/a/b", "blobs /blobs/a/b"),
        ("/execstream/x", "exec /execstream/x"),
        ("/_windtunnel/docs", "control /_windtunnel/docs"),
        ("/_windtunnel", "control /_windtunnel"),
    ],
)
async def test_the_path_says_who_answers(path: str, answer: str) -> None:
    assert await Asked().text(path) == answer


async def test_health_needs_nothing_else() -> None:
    asked = Asked()
    assert msgspec.json.decode(await asked.text("/_windtunnel/health")) == {"status": "ok"}
    assert asked.controls == 0
    await asked.text("/_windtunnel/a")
    await asked.text("/_windtunnel/b")
    assert asked.controls == 1


async def test_websockets_are_for_mounted_paths_alone() -> None:
    asked = Asked()
    assert await asked.ask("/execstream/x", type="websocket") == [{"type": "websocket.accept"}]
    for path in ("/subscriptions/s", "/_windtunnel/x", "/x"):
        assert await asked.ask(path, type="websocket") == [{"type": "websocket.close", "code": 1008}]


async def test_a_fault_rule_answers_in_azures_shape() -> None:
    asked = Asked()
    asked.faults.add(Fault(path="/subscriptions", status=503, code="ServerBusy", retry_after_s=3, times=1))
    start, body = await asked.ask("/subscriptions/s")
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"3"
    assert msgspec.json.decode(body["body"])["error"]["code"] == "ServerBusy"
    assert (await asked.text("/subscriptions/s")).startswith("arm")


async def test_a_fault_rule_delays_and_then_lets_through() -> None:
    asked = Asked()
    asked.faults.add(Fault(delay_ms=2000))
    asking = asyncio.create_task(asked.text("/blobs/a"))
    await asked.clock.advance(1.9)
    assert not asking.done()
    await asked.clock.advance(0.2)
    assert await asking == "blobs /blobs/a"


async def test_a_fault_rule_drops_the_client() -> None:
    asked = Asked()
    asked.faults.add(Fault(abort=True))
    await asked.ask("/subscriptions/s")
    assert asked.aborted


async def test_the_control_api_is_exempt_from_faults() -> None:
    asked = Asked()
    asked.faults.add(Fault(status=500))
    assert await asked.text("/_windtunnel/faults") == "control /_windtunnel/faults"


async def test_requests_wait_outside_a_closed_door_but_not_those_to_the_control_api() -> None:
    asked = Asked()
    async with asked.door.closed():
        waiting = asyncio.create_task(asked.text("/subscriptions/s"))
        assert (await asked.text("/_windtunnel/x")).startswith("control")
        assert not waiting.done()
    assert await waiting == "arm /subscriptions/s"
