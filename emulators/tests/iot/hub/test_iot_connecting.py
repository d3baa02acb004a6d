"""Who may connect to a hub, how they say who they are, and when the hub ends a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.iot.hub import tokens, usernames
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.policies import Policy
from windtunnel_emulators.iot.mqtt.packets import ConnAck, Connect, Disconnect, PingReq, PingResp, Publish, Subscribe

if TYPE_CHECKING:
    from iot_place import Place
    from windtunnel_emulators.iot.mqtt.packets import Packet

HOST = "hub1.azure-devices.net"
OTHER = "b29vb29vb29vb29vb29vb29vb29vb29vb29vb29vb28="


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("hub1/d/?api-version=1&DeviceClientType=x%2F1", Who("d")),
        ("hub1/d?api-version=1", Who("d")),
        ("hub1/d/m/?api-version=1", Who("d", "m")),
        ("hub1/d/api-version=1&DeviceClientType=x", Who("d")),
        ("hub1/d/m/api-version=1", Who("d", "m")),
        ("hub1/d/api-version=1/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1", Who("d")),
        ("hub1/d/m/api-version=1/DeviceClientType=py/1.0", Who("d", "m")),
        ("HUB1/d.x:1/?api-version=1", Who("d.x:1")),
        ("hub1/d/?DeviceClientType=x&api-version=1&api-version=", Who("d")),
        ("hub1/d/$edgeHub/?api-version=1", Who("d", "$edgeHub")),
    ],
)
def test_user_names_that_clients_send(text: str, who: Who) -> None:
    found = usernames.parse(text)
    assert (found.who, found.host) == (who, "hub1")
    assert found.options["api-version"] == "1"


@pytest.mark.parametrize(
    "text",
    ["", "hub1", "hub1/d", "hub1/d/?", "hub1/d/?api-version=", "hub1/d/?api-version=%20", "hub1//?api-version=1",
     "/d/?api-version=1", "hub1/d/m/x/?api-version=1", "hub1/?api-version=1", "?api-version=1"],
)  # fmt: skip
def test_user_names_that_say_not_who_connects(text: str) -> None:
    with pytest.raises(usernames.BadUsername):
        usernames.parse(text)


def test_the_old_form_of_a_product_has_slashes() -> None:
    found = usernames.parse("h/d/api-version=1/DeviceClientType=Microsoft.Azure.Devices.Client/1.5.1-preview")
    assert found.options["DeviceClientType"] == "Microsoft.Azure.Devices.Client/1.5.1-preview"


@given(st.text(max_size=80))
def test_any_user_name_is_taken_apart_or_refused(text: str) -> None:
    try:
        found = usernames.parse(text)
    except usernames.BadUsername:
        return
    assert found.who.device
    assert found.chain is not None


@given(st.text(max_size=80).map("SharedAccessSignature {}".format) | st.text(max_size=80))
def test_any_token_is_taken_apart_or_refused(text: str) -> None:
    try:
        found = tokens.parse(text)
        found.expires()
    except tokens.BadToken:
        return
    tokens.split_audience(found.audience)
    assert not found.is_signed_with("not base64")


async def test_the_right_key_connects_and_the_session_lasts(place: Place) -> None:
    place.add("d")
    first = place.peer(Who("d"))
    assert await first.connect() == ConnAck(0, False)
    first.leave()
    again = place.peer(Who("d"))
    assert await again.connect(key=OTHER) == ConnAck(0, True)  # the secondary key
    again.leave()
    clean = place.peer(Who("d"))
    assert await clean.connect(clean=True) == ConnAck(0, False)
    clean.leave()
    assert await place.peer(Who("d")).connect() == ConnAck(0, False)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"key": "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nMTI="}, 5),
        ({"lifetime": -1}, 5),
        ({"resource": f"{HOST}/devices/other"}, 5),
        ({"resource": "hub2.azure-devices.net/devices/d"}, 5),
        ({"username": "hub2.azure-devices.net/d/?api-version=1"}, 5),
        ({"password": "secret"}, 5),
        ({"password": "SharedAccessSignature sr=a&sig=YQ%3D%3D&se=tomorrow"}, 5),
        ({"username": "nonsense"}, 4),
        ({"client_id": "other"}, 2),
        ({"policy": "absent"}, 5),
    ],
)
async def test_who_shows_something_wrong_is_refused(place: Place, options: dict[str, object], code: int) -> None:
    place.add("d")
    peer = place.peer(Who("d"))
    assert (await peer.connect(**options)).code == code  # type: ignore[arg-type]  # of several types
    assert not peer.is_open


async def test_the_unknown_and_the_disabled_are_refused(place: Place) -> None:
    assert (await place.peer(Who("nobody")).connect()).code == 5
    place.add("off", enabled=False)
    assert (await place.peer(Who("off")).connect()).code == 5
    place.add("off", "m")
    assert (await place.peer(Who("off", "m")).connect()).code == 5


@pytest.mark.parametrize("host", [HOST, "HUB1.azure-devices.net", "127.0.0.9", "localhost:28443", "127.0.0.9:443"])
async def test_the_audience_may_be_any_name_of_the_hub(place: Place, host: str) -> None:
    place.add("d")
    assert (await place.peer(Who("d")).connect(resource=f"{host}/devices/d")).code == 0


async def test_a_module_may_show_its_own_token_or_its_devices(place: Place) -> None:
    place.add("d", key=OTHER)
    place.add("d", "m")
    assert (await place.peer(Who("d", "m")).connect()).code == 0
    assert (await place.peer(Who("d", "m")).connect(key=OTHER, resource=f"{HOST}/devices/d")).code == 0
    assert (await place.peer(Who("d")).connect(resource=f"{HOST}/devices/d/modules/m")).code == 5


async def test_a_policy_of_the_hub_connects_any_device(place: Place) -> None:
    place.add("d")
    key = "cG9saWN5cG9saWN5cG9saWN5cG9saWN5cG9saWN5MTI="
    place.policies = {
        "device": Policy(name="device", keys=(key,), rights=frozenset(("DeviceConnect",))),
        "service": Policy(name="service", keys=(key,), rights=frozenset(("ServiceConnect",))),
    }
    for resource, policy, code in (
        (HOST, "device", 0),
        (f"{HOST}/devices", "device", 0),
        (f"{HOST}/devices/d", "device", 0),
        (f"{HOST}/devices/other", "device", 5),
        (HOST, "service", 5),
    ):
        assert (await place.peer(Who("d")).connect(key=key, resource=resource, policy=policy)).code == code


async def test_an_edge_device_speaks_for_its_children_only(place: Place) -> None:
    scope = "ms-azure-iot-edge://edge-1"
    edge_key = "ZWRnZWVkZ2VlZGdlZWRnZWVkZ2VlZGdlZWRnZWVkZ2U="
    place.add("edge", edge=True, scope=scope)
    place.add("edge", "$edgeHub", key=edge_key)
    place.add("child", scope=scope, parents=(scope,))
    place.add("stranger")
    for device, code in (("child", 0), ("stranger", 5)):
        answer = await place.peer(Who(device)).connect(
            key=edge_key,
            resource=f"{HOST}/devices/edge/modules/$edgeHub",
            username=f"{HOST}/{device}/?api-version=1&auth-chain={device}%3Bedge",
        )
        assert answer.code == code


async def test_a_newer_connection_takes_the_place_of_the_older(place: Place) -> None:
    older = await place.connected()
    newer = await place.connected()
    assert (older.is_open, newer.is_open) == (False, True)
    older.leave()
    client = place.hub.connected(Who("d"))
    assert client is not None
    assert client.connection is newer.connection


def publishing(topic: str, size: int = 0, qos: int = 1) -> Packet:
    return Publish(topic, b"x" * size, qos, 1)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(publishing("devices/d/messages/events/", qos=2), id="quality of service 2"),
        pytest.param(publishing("devices/other/messages/events/"), id="another's topic"),
        pytest.param(publishing("devices/d/messages/eventsX"), id="nearly a topic"),
        pytest.param(publishing("$iothub/twin/PUT/?$rid=1"), id="no request"),
        pytest.param(publishing("$iothub/methods/res/ok/?$rid=1"), id="no status"),
        pytest.param(Subscribe(1, (("#", 1),)), id="every topic"),
        pytest.param(Subscribe(1, (("devices/other/messages/devicebound/#", 1),)), id="another's messages"),
        pytest.param(publishing("devices/d/messages/events/", 262145), id="too large"),
        pytest.param(publishing("devices/d/messages/events/a=1", 262142), id="too large with its bag"),
        pytest.param(b"\x30\xff\xff\xff\x7f", id="announced too large"),
        pytest.param(b"\x00\x00", id="no packet"),
        pytest.param(ConnAck(0), id="a packet of servers"),
    ],
)
async def test_who_breaks_the_rules_is_disconnected(place: Place, sent: Packet | bytes) -> None:
    peer = await place.connected()
    peer.feed(sent)
    assert await peer.take() == []
    assert not peer.is_open
    await place.connected("another")  # nobody else is disturbed


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_arbitrary_bytes_disturb_nobody_else(place: Place, pieces: list[bytes]) -> None:
    for peer in (place.peer(Who("d")), await place.connected("d")):
        for piece in pieces:
            peer.feed(piece)
        await peer.take()
        peer.leave()
    other = await place.connected("another")
    other.feed(PingReq())
    assert await other.take() == [PingResp()]
    other.leave()
    place.peers.clear()


async def test_the_largest_message_is_taken(place: Place) -> None:
    peer = await place.connected()
    peer.publish("devices/d/messages/events/", b"x" * 262144)
    await peer.until(object)
    assert peer.is_open


async def test_the_first_packet_is_connect_and_comes_once(place: Place) -> None:
    early = place.peer(Who("d"))
    early.feed(PingReq())
    assert not early.is_open
    twice = await place.connected()
    twice.feed(Connect(client_id="d", clean_session=False, keep_alive=60, username=f"{HOST}/d/?api-version=1"))
    assert not twice.is_open


async def test_a_version_that_is_not_spoken_is_told_so(place: Place) -> None:
    peer = place.peer(Who("d"))
    peer.feed(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01d")
    assert await peer.take() == [ConnAck(1)]
    assert not peer.is_open


async def test_silence_ends_a_connection_after_one_and_a_half_keep_alives(place: Place) -> None:
    peer = await place.connected(keep_alive=10)
    care = asyncio.ensure_future(place.hub.run())
    await place.clock.advance(12)
    peer.feed(PingReq())
    assert await peer.take() == [PingResp()]
    await place.clock.advance(14)
    assert peer.is_open
    await place.clock.advance(4)
    assert not peer.is_open
    silent = place.peer(Who("d"))
    await place.clock.advance(40)
    assert not silent.is_open
    care.cancel()


async def test_a_connection_ends_with_its_token(place: Place) -> None:
    peer = await place.connected(lifetime=30, keep_alive=0)
    care = asyncio.ensure_future(place.hub.run())
    await place.clock.advance(28)
    assert peer.is_open
    await place.clock.advance(4)
    assert not peer.is_open
    care.cancel()


async def test_who_is_deleted_or_disabled_is_disconnected(place: Place) -> None:
    device, module = await place.connected("d"), await place.connected("d", "m")
    other = await place.connected("e")
    place.hub.drop(Who("d"), "it was disabled")
    assert (device.is_open, module.is_open, other.is_open) == (False, False, True)


async def test_a_peer_that_takes_nothing_is_dropped(place: Place) -> None:
    peer = await place.connected()
    peer.pipe.unsent = 5 * 1024 * 1024
    peer.feed(PingReq())
    await peer.take()
    assert not peer.is_open


async def test_a_peer_that_sends_more_than_can_be_stored_waits(place: Place) -> None:
    peer = await place.connected()
    message = b"x" * 100_000
    for _ in range(22):
        peer.publish("devices/d/messages/events/", message)
    assert not peer.pipe.reading
    acknowledged = 0
    while acknowledged < 22:
        await peer.until(object)
        acknowledged = sum(type(packet).__name__ == "PubAck" for packet in peer.received)
    assert peer.pipe.reading


async def test_good_bye_leaves_the_session(place: Place) -> None:
    peer = await place.connected()
    peer.subscribe("$iothub/twin/res/#")
    peer.feed(Disconnect())
    assert not peer.is_open
    peer.leave()
    assert place.hub.sessions.get(Who("d")) == {"$iothub/twin/res/#": 1}
    assert not [packet for packet in peer.received if isinstance(packet, Publish)]
