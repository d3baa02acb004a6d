"""Microsoft's Node clients, device and service side, in one session with the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from iot_wire import Hub

    Starts = Callable[..., Any]

pytestmark = pytest.mark.iot_clients


@pytest.mark.parametrize("transport", ["mqtt", "websocket"])
def test_a_node_device_lives_its_life(hub: Hub, node: Starts, transport: str) -> None:
    if transport == "websocket" and not hub.has_web_sockets:
        pytest.skip("port 443 may not be bound here, which is where WebSockets have to be")
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
