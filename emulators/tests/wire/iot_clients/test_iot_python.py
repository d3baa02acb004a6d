"""Microsoft's Python clients, device, service and events, unmodified, in one session with the hub."""

from __future__ import annotations

import json
import queue
from datetime import UTC, datetime
from typing import Any

import pytest

from edge_wire import Reader
from iot_wire import DEVICE, HUB, MODELS, SDK_LEFTOVERS, Hub, eventually

pytestmark = [
    pytest.mark.iot_clients,
    *SDK_LEFTOVERS,
]
TELEMETRY = 20


@pytest.mark.parametrize("transport", ["mqtt", "websocket"], indirect=True)
def test_a_python_device_lives_its_life(hub: Hub, transport: str) -> None:
    name = f"python-{transport}"
    registry = hub.registry
    client: Any = DEVICE.IoTHubDeviceClient.create_from_connection_string(
        hub.new_device(name), websockets=transport == "websocket"
    )
    patches: queue.Queue[Any] = queue.Queue()
    commands: queue.Queue[Any] = queue.Queue()
    client.connect()
    client.on_twin_desired_properties_patch_received = patches.put
    client.on_message_received = commands.put

    def answer(request: Any) -> None:
        response = DEVICE.MethodResponse.create_from_method_request(request, 202, {"was": request.payload})
        client.send_method_response(response)

    client.on_method_request_received = answer
    try:
        for number in range(TELEMETRY):
            message = DEVICE.Message(json.dumps({"number": number}))
            message.content_type, message.content_encoding = "application/json", "utf-8"
            message.custom_properties["alert"] = "yes" if number % 2 else "no"
            client.send_message(message)

        twin = registry.get_twin(name)
        changed = MODELS.Twin(tags={"site": "lab"}, properties=MODELS.TwinProperties(desired={"interval": 5}))
        registry.update_twin(name, changed, twin.etag)
        assert patches.get(timeout=10)["interval"] == 5
        client.patch_twin_reported_properties({"firmware": "1.0"})
        assert client.get_twin()["reported"]["firmware"] == "1.0"

        method = MODELS.CloudToDeviceMethod(
            method_name="reboot", payload={"soon": True}, response_timeout_in_seconds=10
        )
        result = registry.invoke_device_method(name, method)
        assert (result.status, result.payload) == (202, {"was": {"soon": True}})

        query = MODELS.QuerySpecification(query=f"SELECT deviceId, tags FROM devices WHERE deviceId = '{name}'")
        (found,) = registry.query_iot_hub(query).items
        assert found.additional_properties["tags"] if found.tags is None else found.tags == {"site": "lab"}

        registry.send_c2d_message(name, "turn left", properties={"messageId": "c1", "speed": "3"})
        command = commands.get(timeout=10)
        assert (command.data, command.custom_properties["speed"]) == (b"turn left", "3")

        events = Reader(hub, name).events(lambda sent: len(sent) >= TELEMETRY)
        assert [json.loads(event.body_as_str())["number"] for event in events] == list(range(TELEMETRY))
        assert [event.properties[b"alert"] for event in events[:2]] == [b"no", b"yes"]
        assert registry.get_device(name).connection_state == "Connected"
    finally:
        client.shutdown()
    eventually(lambda: registry.get_device(name).connection_state == "Disconnected", "the device is still connected")
    registry.delete_device(name)


def test_configurations_and_jobs_by_the_service_client(hub: Hub) -> None:
    registry = hub.registry
    hub.new_device("fleet-1")
    registry.update_twin("fleet-1", MODELS.Twin(tags={"fleet": "north"}), "*")
    manager = HUB.IoTHubConfigurationManager.from_connection_string(hub.connection_string)
    content = MODELS.ConfigurationContent(device_content={"properties.desired.level": {"set": 3}})
    manager.create_configuration(
        MODELS.Configuration(
            id="level", schema_version="2.0", content=content, target_condition="tags.fleet='north'", priority=10
        )
    )
    eventually(
        lambda: registry.get_twin("fleet-1").properties.desired.get("level") == {"set": 3},
        "the configuration is not applied",
    )
    assert manager.get_configuration("level").target_condition == "tags.fleet='north'"
    manager.delete_configuration("level")

    jobs = HUB.IoTHubJobManager.from_connection_string(hub.connection_string)
    update = MODELS.JobRequest(
        job_id="tag-all",
        type="scheduleUpdateTwin",
        update_twin=MODELS.Twin(etag="*", tags={"fleet": "south"}),
        query_condition="tags.fleet='north'",
        start_time=datetime.now(UTC),
        max_execution_time_in_seconds=60,
    )
    jobs.create_scheduled_job("tag-all", update)
    eventually(lambda: jobs.get_scheduled_job("tag-all").status == "completed", "the job does not end")
    assert registry.get_twin("fleet-1").tags == {"fleet": "south"}
