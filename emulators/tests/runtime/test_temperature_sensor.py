"""What stands in for Microsoft's simulated temperature sensor, with a client of memory in place of the SDK's."""

from __future__ import annotations

import json
import runpy
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from windtunnel_emulators.images import distributions
from windtunnel_emulators.runtime.interface import ImageError
from windtunnel_emulators.standins import catalogue
from windtunnel_emulators.standins.catalogue import StandIns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE = "mcr.microsoft.com/azureiotedge-simulated-temperature-sensor"
PROGRAM = Path(catalogue.__file__).parent / "programs" / "temperature_sensor.py"


class Client:
    """Keeps what is sent; fails as it is told to."""

    def __init__(self, desired: dict[str, object]) -> None:
        self.desired = desired
        self.sent: list[Any] = []
        self.reported: list[dict[str, object]] = []
        self.responses: list[Any] = []
        self.troubles: list[Exception] = []
        self.on_method_request_received: Callable[[object], None] | None = None
        self.on_message_received: Callable[[object], None] | None = None
        self.on_twin_desired_properties_patch_received: Callable[[dict[str, object]], None] | None = None

    def connect(self) -> None:
        if self.troubles:
            raise self.troubles.pop()

    def shutdown(self) -> None: ...

    def get_twin(self) -> dict[str, object]:
        return {"desired": self.desired, "reported": {}}

    def send_message_to_output(self, message: object, output: str) -> None:
        assert output == "temperatureOutput"
        self.sent.append(message)

    def send_method_response(self, response: object) -> None:
        self.responses.append(response)

    def patch_twin_reported_properties(self, patch: dict[str, object]) -> None:
        self.reported.append(patch)


class Bench:
    """Runs sensors on threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names = runpy.run_path(str(PROGRAM))
        self._monkeypatch = monkeypatch
        self._running: list[tuple[Any, threading.Thread]] = []

    def start(self, desired: dict[str, object] | None = None, **environment: str) -> Client:
        for name, value in {"MessageDelay": "00:00:00.001", **environment}.items():
            self._monkeypatch.setenv(name, value)
        client = Client(desired or {})
        sensor = self.names["Sensor"](client, self.names["Machine"]())
        thread = threading.Thread(target=sensor.run)
        thread.start()
        self._running.append((sensor, thread))
        self.until(lambda: client.on_twin_desired_properties_patch_received)
        return client

    def until(self, condition: Callable[[], object]) -> None:
        ends = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends
            threading.Event().wait(0.001)

    def stop(self) -> None:
        for sensor, thread in self._running:
            sensor.end()
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.stop()


def test_readings_are_those_of_the_real_sensor(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    client = bench.start(MessageCount="3")
    bench.until(lambda: len(client.sent) == 3)
    bodies = [json.loads(message.data) for message in client.sent]
    for body in bodies:
        assert {name: set(value) for name, value in body.items() if name != "timeCreated"} == {
            "machine": {"temperature", "pressure"},
            "ambient": {"temperature", "humidity"},
        }
        assert body["timeCreated"].endswith("Z")
        assert 20 <= body["machine"]["temperature"] <= 26
        assert body["ambient"]["humidity"] in (24, 25, 26)
    assert [m.custom_properties["sequenceNumber"] for m in client.sent] == ["1", "2", "3"]
    assert len({m.custom_properties["batchId"] for m in client.sent}) == 1
    assert {(m.content_type, m.content_encoding) for m in client.sent} == {("application/json", "utf-8")}
    bench.until(lambda: "Done sending 3 messages" in capsys.readouterr().out)
    assert len(client.sent) == 3


def test_it_grows_hot_and_is_reset_by_a_method_and_by_a_message(bench: Bench) -> None:
    client = bench.start(MessageCount="-1", machineTempMax="23")

    def temperature() -> float:
        return float(json.loads(client.sent[-1].data)["machine"]["temperature"])

    def reset_by(handler: Callable[[Any], None] | None, value: object) -> None:
        bench.until(lambda: client.sent and temperature() > 23)
        before = len(client.sent)
        _given(handler)(value)
        bench.until(lambda: any(_cold(message) for message in client.sent[before:]))

    reset_by(client.on_method_request_received, SimpleNamespace(name="reset", request_id="1"))
    command = SimpleNamespace(input_name="control", data=b'[{"command": "reset"}]')
    reset_by(client.on_message_received, command)
    (response,) = client.responses
    assert response.status == 200


def test_desired_properties_stop_and_pace_it_and_are_reported(bench: Bench) -> None:
    client = bench.start({"SendData": False}, MessageCount="-1")
    assert client.sent == []
    _given(client.on_twin_desired_properties_patch_received)({"SendData": True, "SendInterval": 3600, "$version": 2})
    bench.until(lambda: client.sent)
    assert client.reported == [{"SendData": True, "SendInterval": 3600.0}]
    assert len(client.sent) == 1


def test_it_tries_until_the_hub_is_there(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client({})
    client.troubles.append(ConnectionError("refused"))
    bench.names["Sensor"].run.__globals__["FIRST_RETRY_S"] = 0.001
    sensor = bench.names["Sensor"](client, bench.names["Machine"]())
    thread = threading.Thread(target=sensor.run)
    thread.start()
    bench.until(lambda: client.sent)
    sensor.end()
    thread.join(20)
    assert "cannot reach the edge's hub, and will try again in 0.001 s: ConnectionError: refused" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(("name", "value"), [("MessageCount", "many"), ("MessageDelay", "5"), ("machineTempMax", "3")])
def test_nonsense_in_the_environment_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="must be"):
        bench.names["Sensor"](Client({}), bench.names["Machine"]())


async def test_its_image_brings_the_device_sdk_of_this_machine(tmp_path: Path) -> None:
    image = await StandIns(tmp_path).fetch(f"{IMAGE}:1.0", ())
    assert image.packages is not None
    assert list(image.packages.glob("lib/python*/site-packages/azure/iot/device/__init__.py"))


async def test_a_machine_without_the_sdk_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(path: object) -> dict[str, Path]:
        del path
        return {}

    monkeypatch.setattr(distributions, "find_installed", nothing)
    with pytest.raises(ImageError, match=r"needs azure-iot-device, .*pip install 'windtunnel\[iot\]'"):
        await StandIns(tmp_path).fetch(f"{IMAGE}:1.0", ())


def _given(handler: Callable[[Any], None] | None) -> Callable[[Any], None]:
    assert handler is not None
    return handler


def _cold(message: Any) -> bool:
    return float(json.loads(message.data)["machine"]["temperature"]) < 22.5
