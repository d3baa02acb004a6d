"""What passes between a hub and its clients: telemetry, messages to devices, twins, methods; also after a restart."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from windtunnel_emulators.iot.hub import bags, twins
from windtunnel_emulators.iot.hub.errors import HubError
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.methods import Call, Result
from windtunnel_emulators.iot.mqtt.packets import PubAck, Publish, SubAck, UnsubAck, Unsubscribe, Will

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from iot_place import Place
    from mqtt_peers import Peer
    from windtunnel_emulators.iot.hub.messages import Message

EVENTS = "devices/d/messages/events/"
COMMANDS = "devices/d/messages/devicebound/#"
ANSWERS, DESIRED, METHODS = (
    "$iothub/twin/res/#",
    "$iothub/twin/PATCH/properties/desired/#",
    "$iothub/methods/POST/#",
)
D = Who("d")


def stored(place: Place, device: str = "d") -> list[Message]:
    return list(place.hub.messages.read(place.hub.partition_of(device), 0, 1000))


async def test_telemetry_is_acknowledged_once_it_is_stored(place: Place) -> None:
    peer = await place.connected()
    packet_id = peer.publish(f"{EVENTS}%24.mid=1%2F%C3%A9&%24.ct=application%2Fjson&a%2Bb=c%20d/", b"{}")
    assert [packet for packet in await peer.take() if isinstance(packet, PubAck)] == []
    assert await peer.until(PubAck) == PubAck(packet_id)
    (message,) = stored(place)
    found = bags.split(bags.decode(message.bag))
    assert (message.body, message.sequence, message.sender.device) == (b"{}", 0, "d")
    assert found.system == {"message-id": "1/é", "content-type": "application/json"}
    assert found.application == {"a+b": "c d"}
    assert msgspec.json.decode(message.sender.method) == {
        "scope": "device",
        "type": "sas",
        "issuer": "iothub",
        "acceptingIpFilterRule": None,
    }


async def test_all_messages_of_a_device_are_in_one_partition_in_order(place: Place) -> None:
    peers = [await place.connected(name) for name in ("d", "e", "f")]
    for number in range(30):
        for peer in peers:
            peer.publish(f"devices/{peer.who.device}/messages/events/", str(number).encode(), qos=number % 2)
    for peer in peers:
        last = peer.publish(f"devices/{peer.who.device}/messages/events/", b"30")
        while PubAck(last) not in peer.received:
            await peer.until(PubAck)
        name = peer.who.device
        of_it = [message.body for message in stored(place, name) if message.sender.device == name]
        assert of_it == [str(number).encode() for number in range(31)]


async def test_a_retained_message_is_marked_and_not_kept(place: Place) -> None:
    peer = await place.connected()
    peer.publish(f"{EVENTS}a=1", b"x", retain=True)
    await peer.until(PubAck)
    assert bags.decode(stored(place)[0].bag) == {"a": "1", "mqtt-retain": "true"}


@pytest.mark.parametrize(("topic", "count"), [(f"{EVENTS}a=1", 1), ("somewhere/else", 0)])
async def test_a_will_is_a_message_when_it_is_for_telemetry(place: Place, topic: str, count: int) -> None:
    peer = await place.connected(will=Will(topic=topic, payload=b"gone", qos=1, retain=False))
    peer.leave()
    place.peers.clear()
    await place.restart()
    found = stored(place)
    assert len(found) == count
    assert [bags.decode(message.bag) for message in found] == [{"a": "1", "iothub-MessageType": "Will"}][:count]


async def test_a_module_has_topics_of_its_own(place: Place) -> None:
    place.add("d")
    peer = await place.connected("d", "m")
    peer.publish("devices/d/modules/m/messages/events/%24.on=out/", b"x")
    await peer.until(PubAck)
    (message,) = stored(place)
    assert message.sender.module == "m"
    assert bags.split(bags.decode(message.bag)).system == {"output-name": "out"}
    peer.subscribe("devices/d/modules/m/inputs/#", "devices/d/modules/m/#")
    assert await peer.until(SubAck) == SubAck(2, (1, 1))
    peer.subscribe(COMMANDS)
    assert not peer.is_open


async def test_a_command_waits_for_its_device_and_is_gone_when_taken(place: Place) -> None:
    place.add("d")
    place.hub.command("d", {"$.mid": "7", "p": "q r"}, b"order")
    peer = await place.connected()
    peer.subscribe(COMMANDS, qos=2)
    assert await peer.until(SubAck) == SubAck(1, (1,))
    (command,) = [packet for packet in peer.received if isinstance(packet, Publish)]
    topic, _, bag = command.topic.rpartition("/")
    assert topic == "devices/d/messages/devicebound"
    assert bags.decode(bag) == {"$.to": "/devices/d/messages/deviceBound", "$.mid": "7", "p": "q r"}
    assert (command.payload, command.qos, command.duplicate) == (b"order", 1, False)
    assert place.hub.commands.count("d") == 1
    peer.feed(PubAck(command.packet_id))
    assert place.hub.commands.count("d") == 0
    peer.feed(PubAck(command.packet_id))  # twice is of no effect
    assert peer.is_open


async def test_a_command_that_was_not_taken_comes_again_as_a_duplicate_even_after_a_restart(place: Place) -> None:
    peer = await place.connected()
    peer.subscribe(COMMANDS)
    await peer.until(SubAck)
    place.hub.command("d", {}, b"order")
    first = await peer.until(Publish)
    await place.restart()
    again = await place.connected()  # it does not subscribe again
    second = again.received[-1] if isinstance(again.received[-1], Publish) else await again.until(Publish)
    assert (second.packet_id, second.duplicate, second.payload) == (first.packet_id, True, b"order")
    again.feed(PubAck(second.packet_id))
    assert place.hub.commands.count("d") == 0


async def test_commands_are_sent_in_order_and_not_too_many_at_once(place: Place) -> None:
    place.add("d")
    for number in range(25):
        place.hub.command("d", {}, str(number).encode())
    peer = await place.connected()
    peer.subscribe(COMMANDS)
    await peer.until(SubAck)
    found: list[bytes] = []
    while len(found) < 25:
        new = [packet for packet in peer.received if isinstance(packet, Publish)][len(found) :]
        assert 0 < len(new) <= 10
        for packet in new:
            found.append(packet.payload)
            peer.feed(PubAck(packet.packet_id))
        await peer.take()
    assert found == [str(number).encode() for number in range(25)]


async def test_a_command_is_given_up_when_it_expires_or_was_sent_too_often(place: Place) -> None:
    place.most_deliveries = 2
    place.add("d")
    place.hub.command("d", {}, b"short", place.clock.now() + timedelta(seconds=5))
    await place.clock.advance(6)
    place.hub.command("d", {}, b"long")
    for attempt in range(3):
        peer = await place.connected()
        if not attempt:
            peer.subscribe(COMMANDS)
        await peer.take()
        sent = [packet.payload for packet in peer.received if isinstance(packet, Publish)]
        assert sent == ([b"long"] if attempt < 2 else [])
        peer.leave()
    assert place.hub.commands.count("d") == 0


async def test_a_queue_has_room_for_fifty(place: Place) -> None:
    place.add("d")
    for _ in range(50):
        place.hub.command("d", {}, b"")
    with pytest.raises(HubError, match="50 messages wait"):
        place.hub.command("d", {}, b"")
    with pytest.raises(HubError, match="65536"):
        place.hub.command("d", {"a": "b" * 65536}, b"")
    with pytest.raises(HubError, match="no device 'e'"):
        place.hub.command("e", {}, b"")
    assert place.hub.commands.purge("d") == 50


async def test_a_device_reads_and_reports_its_twin(place: Place) -> None:
    peer = await place.connected()
    peer.subscribe(ANSWERS)
    await peer.until(SubAck)
    peer.publish("$iothub/twin/GET/?$rid=a%20b", b" ", qos=0)
    got = await peer.until(Publish)
    assert got.topic == "$iothub/twin/res/200/?$rid=a b"
    assert msgspec.json.decode(got.payload) == {"desired": {"$version": 1}, "reported": {"$version": 1}}
    peer.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", b'{"a":{"b":1,"c":2}}')
    assert (await peer.until(Publish)).topic == "$iothub/twin/res/204/?$rid=2&$version=2"
    peer.publish("$iothub/twin/PATCH/properties/reported/?$rid=3", b'{"a":{"b":null}}')
    assert (await peer.until(Publish)).topic == "$iothub/twin/res/204/?$rid=3&$version=3"
    twin = place.hub.twin(D)
    assert twin.reported.properties == {"a": {"c": 2}}
    assert set(twin.reported.metadata) == {"$lastUpdated", "a"}
    assert twin.version == 4


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        (b"[]", 400),
        (b"", 400),
        (b"{", 400),
        (b"[" * 10_000, 400),
        (b'{"a.b":1}', 400),
        (b'{"$version":1}', 400),
        (b'{"a":4503599627370496}', 400),
        (b'{"a":"%s"}' % (b"x" * 4097), 400),
        (b'{"a":' * 10 + b'{"b":1}' + b"}" * 10, 400),
        (b"{%s}" % b",".join(b'"k%d":"%s"' % (number, b"x" * 4000) for number in range(9)), 413),
    ],
)
async def test_reports_over_the_limits_are_refused(place: Place, patch: bytes, status: int) -> None:
    peer = await place.connected()
    peer.subscribe(ANSWERS)
    await peer.until(SubAck)
    peer.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", patch)
    answer = await peer.until(Publish)
    assert answer.topic == f"$iothub/twin/res/{status}/?$rid=1"
    assert place.hub.twin(D).reported.version == 1
    assert peer.is_open


def desire(place: Place, patch: dict[str, Any]) -> None:
    twin = place.hub.twin(D)
    section = twins.patched(twin.desired, patch, place.clock.now(), versions=True)
    place.hub.change_twin(D, msgspec.structs.replace(twin, desired=section), patch)


async def test_desired_properties_reach_who_has_subscribed_also_after_a_restart(place: Place) -> None:
    peer = await place.connected()
    desire(place, {"before": 1})
    peer.subscribe(DESIRED)
    await peer.until(SubAck)
    desire(place, {"a": {"b": None}})
    sent = await peer.until(Publish)
    assert sent.topic == "$iothub/twin/PATCH/properties/desired/?$version=3"
    assert msgspec.json.decode(sent.payload) == {"a": {"b": None}, "$version": 3}
    await place.restart()
    again = await place.connected()
    desire(place, {"c": 1})
    assert msgspec.json.decode((await again.until(Publish)).payload) == {"c": 1, "$version": 4}
    again.feed(Unsubscribe(9, (DESIRED,)))
    await again.until(UnsubAck)
    desire(place, {"c": 2})
    assert [packet for packet in await again.take() if isinstance(packet, Publish)] == []


async def called(place: Place, coroutine: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    task = asyncio.ensure_future(coroutine)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def answering(place: Place) -> Peer:
    peer = await place.connected()
    peer.subscribe(METHODS)
    await peer.until(SubAck)
    return peer


async def test_a_method_is_called_and_answered(place: Place) -> None:
    peer = await answering(place)
    task = await called(place, place.hub.calls.invoke(D, Call(name="do it", payload=b"[1]")))
    call = await peer.until(Publish)
    assert call.topic == "$iothub/methods/POST/do%20it/?$rid=1"
    assert call.payload == b"[1]"
    peer.publish("$iothub/methods/res/-3/?$rid=unknown", b"1")
    peer.publish("$iothub/methods/res/-3/?$rid=1", b'{"a":1}')
    peer.publish("$iothub/methods/res/200/?$rid=1", b"2")  # too late
    assert await task == Result(status=-3, payload={"a": 1})
    assert peer.is_open


async def test_nobody_there_is_told_at_once_or_waited_for(place: Place) -> None:
    place.add("d")
    with pytest.raises(HubError) as refused:
        await place.hub.calls.invoke(D, Call(name="x", payload=b"1"))
    assert (refused.value.status, refused.value.number) == (404, 404103)
    task = await called(place, place.hub.calls.invoke(D, Call(name="x", payload=b"1", connect_s=20)))
    await place.clock.advance(19)
    assert not task.done()
    await place.clock.advance(2)
    with pytest.raises(HubError, match="to connect"):
        await task
    task = await called(place, place.hub.calls.invoke(D, Call(name="x", payload=b"1", connect_s=20)))
    peer = await answering(place)
    if not any(isinstance(packet, Publish) for packet in peer.received):
        await peer.until(Publish)
    peer.publish("$iothub/methods/res/200/?$rid=1", b"")
    assert (await task).payload is None


async def test_no_answer_and_a_lost_connection_are_told(place: Place) -> None:
    peer = await answering(place)
    task = await called(place, place.hub.calls.invoke(D, Call(name="x", payload=b"1", response_s=5)))
    await place.clock.advance(6)
    with pytest.raises(HubError) as refused:
        await task
    assert (refused.value.status, refused.value.number) == (504, 504101)
    task = await called(place, place.hub.calls.invoke(D, Call(name="x", payload=b"1")))
    peer.leave()
    with pytest.raises(HubError, match="disconnected"):
        await task


@pytest.mark.parametrize(
    "call",
    [
        Call(name="", payload=b"1"),
        Call(name="x" * 101, payload=b"1"),
        Call(name="x", payload=b"1" * 131073),
        Call(name="x", payload=b"1", response_s=4),
        Call(name="x", payload=b"1", response_s=301),
        Call(name="x", payload=b"1", connect_s=301),
    ],
)
async def test_calls_over_the_limits_are_refused(place: Place, call: Call) -> None:
    place.add("d")
    with pytest.raises(HubError) as refused:
        await place.hub.calls.invoke(D, call)
    assert refused.value.status == 400
