"""The control API of an edge device: its orders, its state, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from windtunnel_emulators.clock import ManualClock
from windtunnel_emulators.edge.control import EdgeControl
from windtunnel_emulators.edge.queues.queues import Tally
from windtunnel_emulators.edge.upstream.faults import Faults
from windtunnel_emulators.edge.upstream.link import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Parts:
    """What the control API asks of the device's other parts."""

    is_reachable = True
    clients: tuple[object, ...] = ()
    reported: Any = {  # noqa: RUF012  # never changed
        "lastDesiredVersion": 3,
        "lastDesiredStatus": {"code": 200, "description": ""},
        "systemModules": {"edgeHub": {"runtimeStatus": "running"}},
        "modules": {"a": {"runtimeStatus": "backoff"}},
    }

    def __init__(self) -> None:
        self.cloud = self.queues = self.reports = self.administration = self
        self.version = 5

    def depths(self) -> dict[str, int]:
        return {"$upstream": 12}

    def tallies(self) -> dict[str, Tally]:
        return {"$upstream": Tally(waiting=12, delivered=3, dropped=2, expired=1)}

    def waiting(self) -> int:
        return 1


class Device:
    def __init__(self, folder: Path) -> None:
        parts: Any = Parts()
        self.link = Link(folder / "link.json", ManualClock())
        self.control = EdgeControl(link=self.link, cloud=parts, hub=parts, queues=parts, agent=parts)
        transport = httpx.ASGITransport(cast("Any", self.control))  # httpx has types of its own for ASGI
        self.http = httpx.AsyncClient(transport=transport, base_url="http://device")
        self.http.headers["authorization"] = f"Bearer {self.control.token}"


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[Device]:
    made = Device(tmp_path)
    async with made.http:
        yield made


async def test_the_state_of_a_device(device: Device) -> None:
    answer = await device.http.get("/status")
    assert answer.status_code == 200
    found = answer.json()
    assert found["link"]["up"] is True
    assert found["link"]["reachable"] is True
    assert found["queues"] == {"$upstream": 12}
    assert found["messages"] == {"$upstream": {"waiting": 12, "delivered": 3, "dropped": 2, "expired": 1}}
    assert found["modules"] == {"edgeHub": "running", "a": "backoff"}
    assert found["deployment"] == {"version": 3, "status": {"code": 200, "description": ""}}
    assert (found["clients"], found["twinsWaiting"], found["configurationVersion"]) == ([], 1, 5)


async def test_the_link_is_cut_and_restored(device: Device) -> None:
    for _ in range(2):
        assert (await device.http.post("/cut")).json()["link"]["cut"] is True
        assert device.link.is_cut
    assert (await device.http.post("/restore")).json()["link"]["cut"] is False
    assert not device.link.is_cut


async def test_the_link_is_made_bad_and_good_again(device: Device) -> None:
    answer = await device.http.put("/faults", json={"latencyMs": 50, "lossPerSecond": 0.5, "seed": 7})
    assert answer.json()["link"]["faults"]["latencyMs"] == 50
    assert device.link.faults == Faults(latency_ms=50, loss_per_second=0.5, seed=7)
    await device.http.put("/faults", json={})
    assert device.link.faults == Faults()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "The body is no JSON"),
        (b"\xff", "The body is no JSON"),
        (b"[]", "A fault profile is a JSON object."),
        (b'{"latency":1}', "'latency' is nothing that a fault profile has"),
        (b'{"lossPerSecond":2}', "'lossPerSecond' is 2.0; it is a number from 0 to 1."),
        (b'{"upSeconds":2}', "needs both 'upSeconds' and 'downSeconds'"),
        (b'{"latencyMs":"1"}', "'latencyMs' has to be a number."),
        (b'{"seed":1.5}', "'seed' has to be a whole number."),
        (b'{"seed":1e30}', "'seed' is 1000000000000000019884624838656; it is a number of 64 bits."),
        (b'{"\xff":1}', "The body is no JSON"),
    ],
)
async def test_a_profile_that_is_none_changes_nothing(device: Device, body: bytes, said: str) -> None:
    device.link.set_faults(Faults(latency_ms=1))
    answer = await device.http.put("/faults", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["message"]
    assert device.link.faults == Faults(latency_ms=1)


async def test_what_is_not_there_says_what_is(device: Device) -> None:
    answer = await device.http.get("/nothing")
    assert (answer.status_code, "/status, /cut" in answer.json()["message"]) == (404, True)
    answer = await device.http.get("/cut")
    assert (answer.status_code, answer.json()["message"]) == (405, "/cut takes POST, and not GET.")
    assert not device.link.is_cut
    answer = await device.http.put("/faults", content=b" " * 20_000)
    assert answer.status_code == 413


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", "Basic x"])
async def test_nobody_may_do_anything_without_the_token(device: Device, given: str) -> None:
    for method, path in (("GET", "/status"), ("POST", "/cut"), ("GET", "/nothing")):
        answer = await device.http.request(method, path, headers={"authorization": given})
        assert answer.status_code == 401
        assert device.control.token not in answer.text
    assert not device.link.is_cut
