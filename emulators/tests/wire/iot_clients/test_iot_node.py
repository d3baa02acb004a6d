"""Microsoft's Node clients, device and service side, in one session with the hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edge_wire import EdgeDevice, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from iot_wire import Hub

    Starts = Callable[..., Any]

pytestmark = pytest.mark.iot_clients


@pytest.mark.parametrize("transport", ["mqtt", "websocket"], indirect=True)
def test_a_node_device_lives_its_life(hub: Hub, node: Starts, transport: str) -> None:
    name = f"node-{transport}"
    service = node("service.js", hub.connection_string)
    made = service.ask("create", "device", device=name)
    device = node("device.js", hub.device_string(name, made["key"]), SESSION_TRANSPORT=transport)
    device.hear("open")

    device.ask("send", "sent", body={"temperature": 21}, properties={"alert": "no/yes"})

    assert service.ask("patch", "twin", device=name, patch={"tags": {"site": "lab"}})["tags"] == {"site": "lab"}
    assert device.ask("twin", "twin")["desired"]["$version"] >= 1
    device.ask("report", "reported", patch={"firmware": "1.0"})
    service.tell("patch", device=name, patch={"properties": {"desired": {"interval": 5}}})
    assert device.hear("desired", patch={"interval": 5, "$version": 2})
    service.hear("twin")

    device.ask("methods", "listening", name="reboot", status=202, payload={"in": 3})
    answer = service.ask("method", "answer", device=name, name="reboot", payload={"soon": True})
    assert (answer["status"], answer["payload"]) == (202, {"in": 3})
    assert device.hear("method") == {"event": "method", "name": "reboot", "payload": {"soon": True}}

    found = service.ask("query", "found", query=f"SELECT * FROM devices WHERE deviceId = '{name}'")["found"]
    assert [(one["tags"], one["properties"]["reported"]["firmware"]) for one in found] == [({"site": "lab"}, "1.0")]

    device.ask("commands", "listening", answer="complete")
    service.ask("command", "accepted", device=name, id="c1", body="turn left", properties={"speed": "3"})
    command = device.hear("command")
    assert (command["id"], command["body"], command["properties"]) == ("c1", "turn left", {"speed": "3"})
    assert service.ask("get", "device", device=name)["state"] == "Connected"
    device.ask("close", "closed")
    service.ask("remove", "removed", device=name)


def test_node_is_told_why_it_may_not_connect(hub: Hub, node: Starts) -> None:
    hub.new_device("node-refused")
    device = node("device.js", hub.device_string("node-refused", "bm90IHRoZSBrZXk="))
    device.tell("twin")
    with pytest.raises(AssertionError, match=r"(?i)unauthorized|not authorized"):
        device.hear("open")


def test_node_modules_talk_through_an_edge_device(hub: Hub, node: Starts) -> None:
    device = EdgeDevice(hub, "node-edge")
    routes = {
        "between": 'FROM /messages/modules/talker/outputs/out INTO BrokeredEndpoint("/modules/hearer/inputs/in")',
        "up": "FROM /messages/modules/hearer/outputs/up INTO $upstream",
    }
    device.apply({}, routes)
    device.settled()
    modules: dict[str, Any] = {}
    for name in ("talker", "hearer"):
        made = hub.registry.create_module_with_sas(device.name, name, "", "", "")
        key = made.authentication.symmetric_key.primary_key
        modules[name] = node(
            "device.js",
            f"HostName={hub.name}.azure-devices.net;DeviceId={device.name};ModuleId={name};SharedAccessKey={key};"
            f"GatewayHostName={device.ready['address']}",
        )
        modules[name].hear("open")
    talker, hearer = modules["talker"], modules["hearer"]
    hearer.ask("inputs", "listening", name="in")
    talker.ask("send", "sent", body={"n": 1}, properties={}, output="out")
    assert json.loads(hearer.hear("input")["body"]) == {"n": 1}

    device.control("POST", "/cut")
    hearer.ask("send", "sent", body={"n": 2}, properties={}, output="up")
    assert device.status()["queues"]["$upstream"] == 1
    device.control("POST", "/restore")
    (event,) = Reader(hub, device.name).events(lambda found: len(found) >= 1)
    assert json.loads(event.body_as_str()) == {"n": 2}

    assert hearer.ask("twin", "twin")["desired"]["$version"] >= 1
    hearer.ask("report", "reported", patch={"ears": 2})
    hearer.ask("methods", "listening", name="ping", status=200, payload="pong")
    service = node("service.js", hub.connection_string)
    answer = service.ask("method", "answer", device=device.name, module="hearer", name="ping", payload=None)
    assert (answer["status"], answer["payload"]) == (200, "pong")
