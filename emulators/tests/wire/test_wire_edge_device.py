"""An edge device from end to end: emulators with a hub and a registry, and the device's own process.

Its deployment is set by Microsoft's azure-iot-hub; its modules' image comes from the emulated registry by the wire, and
they are written on azure-iot-device; what they send is read by azure-eventhub.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edge_wire import SENSOR, EdgeDevice, Images, Probe, Reader, module, numbers, processes_of
from iot_wire import MODELS, SDK_LEFTOVERS, Hub, eventually, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.wire.conftest import Launch, Launched

pytestmark = SDK_LEFTOVERS
ROUTES = {
    "in": (
        "FROM /messages/modules/sensor/outputs/temperatureOutput"
        ' INTO BrokeredEndpoint("/modules/model/inputs/amlInput")'
    ),
    "out": "FROM /messages/modules/model/outputs/amlOutput INTO $upstream",
}
NUMBERS = {
    "raw": "FROM /messages/modules/probe/outputs/numbers INTO $upstream",
    "in": 'FROM /messages/modules/probe/outputs/numbers INTO BrokeredEndpoint("/modules/model/inputs/amlInput")',
    "out": ROUTES["out"],
}


@pytest.fixture(scope="module")
def launched(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    with launch(tmp_path_factory.mktemp("edge")) as found, trusting(found):
        yield found


@pytest.fixture(scope="module")
def hub(launched: Launched) -> Hub:
    return Hub(launched, "edgeHub1")


@pytest.fixture(scope="module")
def images(hub: Hub) -> Images:
    return Images(hub)


def twin(desired: dict[str, Any]) -> Any:
    """A patch of desired properties."""
    return MODELS.Twin(properties=MODELS.TwinProperties(desired=desired))


def test_a_deployment_runs_and_its_messages_arrive(hub: Hub, images: Images) -> None:
    device = EdgeDevice(hub, "line1")
    sensor = module(SENSOR, env={"MessageDelay": {"value": "00:00:00.1"}, "MessageCount": {"value": "20"}})
    device.apply({"sensor": sensor, "model": module(images.image)}, ROUTES, images=images)
    device.settled()
    modules = device.running("sensor", "model")
    assert modules["model"]["settings"]["image"] == images.image
    assert modules["model"]["restartCount"] == 0
    device.connected("model")
    events = Reader(hub, "line1").events(lambda found: len(found) >= 5)
    first = events[0]
    assert first.properties[b"AzureMLResponse"] == b"OK"
    assert json.loads(json.loads(first.body_as_str())["answer"])["machine"]["temperature"] > 0
    assert first.system_properties[b"iothub-connection-module-id"] == b"model"
    answer = device.call("score", {"a": 1}, module="model")
    assert (answer.status, answer.payload) == (200, {"scored": {"a": 1}})
    eventually(
        lambda: hub.registry.get_module("line1", "model").connection_state == "Connected", "the module is not shown"
    )


def test_a_device_without_its_cloud_goes_on_also_when_it_is_killed(hub: Hub, images: Images) -> None:
    device = EdgeDevice(hub, "line2")
    device.apply({"model": module(images.image)}, NUMBERS, images=images)
    device.running("model")
    with Probe(device) as probe:
        probe.send(5)
        device.connected("model", "probe")
        assert device.control("POST", "/cut")["link"]["cut"]
        probe.send(20)
        # Its own numbers, and the model's answers.
        eventually(lambda: device.status()["queues"]["$upstream"] == 40, "the answers are not kept")
        former = processes_of(device, "model")
        device.kill()
        assert device.status()["link"]["cut"], "what was ordered is kept"
        eventually(lambda: device.status()["modules"].get("model") == "running", "the deployment is not kept")
        assert not former & processes_of(device, "model"), "modules end with their device"
        probe.send(5)
        device.connected("model")
        eventually(lambda: device.status()["queues"]["$upstream"] == 50, "the answers are not kept")
        hub.registry.update_module_twin("line2", "model", twin({"wanted": 7}), "*")
        assert device.control("POST", "/restore")["link"]["up"]
        wanted = list(range(probe.sent))
        Reader(hub, "line2").events(lambda found: numbers(found, "probe") == sorted(numbers(found, "model")) == wanted)
    eventually(lambda: device.reported("model").get("seen") == 7, "the twin is not brought up to date")
    eventually(lambda: device.status()["queues"]["$upstream"] == 0, "what was delivered is still kept")


def test_the_agent_answers_direct_methods_and_reports_what_it_is_told(hub: Hub, images: Images) -> None:
    device = EdgeDevice(hub, "line3")
    device.apply({"model": module(images.image)}, NUMBERS, images=images)
    device.running("model")
    device.connected("model")
    assert (device.call("ping").status, device.call("PING").payload) == (200, None)
    logs = device.call(
        "GetModuleLogs",
        {
            "schemaVersion": "1.0",
            "items": [{"id": "model", "filter": {"tail": 2}}],
            "encoding": "none",
            "contentType": "text",
        },
    )
    assert logs.status == 200
    assert logs.payload == [{"id": "model", "payload": "module model\nconnected\n", "payloadBytes": None}]
    former = processes_of(device, "model")
    assert device.call("RestartModule", {"schemaVersion": "1.0", "id": "model"}).status == 200
    eventually(lambda: (now := processes_of(device, "model")) and not now & former, "the module is not started again")
    device.connected("model")
    assert device.running("model")["model"]["restartCount"] == 0, "a restart by order does not count"

    unknown = device.call("Reboot", {})
    assert unknown.status == 400
    assert unknown.payload["message"].startswith("Command 'Reboot' not found. The supported commands are - ping")
    assert device.call("RestartModule", {"schemaVersion": "1.0", "id": "other"}).status == 400
    assert device.call("RestartModule", {"id": "model"}).status == 400
    assert device.call("GetTaskStatus", {"schemaVersion": "1.0", "correlationId": "none"}).status == 400
    upload = {"schemaVersion": "1.0", "sasUrl": "ftp://somewhere", "items": [{"id": ".*"}]}
    assert device.call("UploadModuleLogs", upload).status == 400


@pytest.mark.parametrize(
    ("properties", "code", "description"),
    [
        ({"schemaVersion": "2.0"}, 412, "The desired properties schema version 2.0 is not compatible"),
        ({"modules": {"model": {"type": "docker"}}}, 400, "Agent configuration format is invalid."),
    ],
)
def test_a_deployment_that_cannot_be_read_changes_nothing(
    hub: Hub, images: Images, properties: dict[str, Any], code: int, description: str
) -> None:
    device = EdgeDevice(hub, f"line4-{code}")
    device.apply({"model": module(images.image)}, NUMBERS, images=images)
    device.running("model")
    running = processes_of(device, "model")
    whole = hub.registry.get_module_twin(device.name, "$edgeAgent").properties.desired
    good = {name: value for name, value in whole.items() if not name.startswith("$")}
    hub.registry.replace_module_twin(device.name, "$edgeAgent", twin({**good, **properties}), "*")
    reported = device.settled(code)
    assert reported["lastDesiredStatus"]["description"].startswith(description)
    assert reported["modules"]["model"]["runtimeStatus"] == "running"
    assert processes_of(device, "model") == running
    hub.registry.replace_module_twin(device.name, "$edgeAgent", twin(good), "*")
    device.settled()
    assert processes_of(device, "model") == running, "nothing of it has changed"


def test_an_image_that_cannot_be_had_is_reported_with_the_reason(hub: Hub, images: Images) -> None:
    device = EdgeDevice(hub, "line5")
    device.apply({"model": module(f"{images.server}/reply:v2")}, NUMBERS, images=images)
    reported = device.settled(500)
    assert "reply:v2" in reported["lastDesiredStatus"]["description"]
    assert reported["modules"]["model"]["runtimeStatus"] == "backoff"
    device.apply({"model": module(images.image)}, NUMBERS)
    reported = device.settled(500)
    assert "refuses the credentials" in reported["lastDesiredStatus"]["description"], "none are given"
    device.apply({"model": module(images.image)}, NUMBERS, images=images)
    device.settled()
    device.running("model")
    device.apply({}, {})
    reported = device.settled()
    assert reported["modules"] == {}
    assert not processes_of(device, "model")
    assert [one.module_id for one in hub.registry.get_modules("line5")] == ["$edgeAgent", "$edgeHub"]
