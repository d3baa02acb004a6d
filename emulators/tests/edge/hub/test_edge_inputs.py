"""Messages from module to module, and to the cloud: where they go, how they arrive, what happens when they do not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.edge.hub.intake import split
from windtunnel_emulators.edge.interface import UPSTREAM, Kind, Outcome
from windtunnel_emulators.iot.hub import bags
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.mqtt.packets import PingReq, PingResp, PubAck, Publish, SubAck, Unsubscribe, Will

if TYPE_CHECKING:
    from mqtt_peers import Peer
    from tests.edge.hub.conftest import Edge

EVENTS = "devices/edge/modules/sensor/messages/events/"
INPUTS = "devices/edge/modules/filter/inputs/"
INTO = 'INTO BrokeredEndpoint("/modules/filter/inputs/in")'
ROUTES = {"r": f"FROM /messages/modules/sensor/outputs/out {INTO}"}


async def flow(edge: Edge, **options: bool) -> tuple[Peer, Peer]:
    """A sensor, a filter, and the route between them."""
    await edge.deploy({**ROUTES})
    sensor = await edge.connected("edge", "sensor")
    wanting = await edge.module("filter", **options)
    await wanting.until(SubAck)
    return sensor, wanting


async def test_an_output_arrives_at_an_input_with_its_properties_and_its_sender(edge: Edge) -> None:
    sensor, wanting = await flow(edge)
    # As Node writes it, with a slash at the end.
    packet_id = sensor.publish(f"{EVENTS}%24.mid=1%2F%C3%A9&a%2Bb=c%20d&%24.on=out/", b"21.5")
    message = await wanting.until(Publish)
    assert PubAck(packet_id) in sensor.received or await sensor.until(PubAck) == PubAck(packet_id)
    assert (message.payload, message.qos, message.duplicate) == (b"21.5", 1, False)
    topic, _, bag = message.topic.rpartition("/")
    assert topic == f"{INPUTS}in"
    assert bag.startswith("%24.mid=1%2F%C3%A9&a%2Bb=c%20d&")  # as it came
    assert bags.decode(bag) == {"$.mid": "1/é", "a+b": "c d", "$.cdid": "edge", "$.cmid": "sensor"}
    wanting.feed(PubAck(message.packet_id))
    await edge.settle()
    assert edge.queues.depths() == {}


async def test_nobody_can_say_to_be_another(edge: Edge) -> None:
    sensor, wanting = await flow(edge)
    sensor.publish(f"{EVENTS}%24.on=out&%24.cdid=other&$.cmid=other", b"x")
    message = await wanting.until(Publish)
    assert message.topic == f"{INPUTS}in/%24.cdid=edge&%24.cmid=sensor"


async def test_a_child_device_has_no_outputs(edge: Edge) -> None:
    await edge.deploy({"leaf": f"FROM /messages/* WHERE NOT IS_DEFINED($connectionModuleId) {INTO}"})
    leaf = await edge.connected("leaf")
    wanting = await edge.module("filter")
    leaf.publish("devices/leaf/messages/events/%24.on=out&a=1", b"x", retain=True)
    message = await wanting.until(Publish)
    assert message.topic == f"{INPUTS}in/a=1&mqtt-retain=true&%24.cdid=leaf"


async def test_a_message_that_no_route_wants_is_acknowledged(edge: Edge) -> None:
    sensor, _ = await flow(edge)
    packet_id = sensor.publish(f"{EVENTS}%24.on=other", b"x")
    assert await sensor.until(PubAck) == PubAck(packet_id)
    assert edge.queues.depths() == {}


async def test_what_is_for_the_cloud_is_left_to_who_sends_it_there(edge: Edge) -> None:
    await edge.deploy({"up": "FROM /messages/* INTO $upstream"})
    sensor = await edge.connected("edge", "sensor")
    sensor.publish(f"{EVENTS}%24.on=out&a=1", b"x")
    await sensor.until(PubAck)
    (message,) = edge.queues.waiting[UPSTREAM]
    assert (message.sender, message.output, message.bag, message.body, message.kind) == (
        Who("edge", "sensor"),
        "out",
        "a=1",
        b"x",
        Kind.TELEMETRY,
    )
    assert message.enqueued == edge.clock.now().timestamp()


async def test_messages_wait_for_a_module_and_come_in_order(edge: Edge) -> None:
    await edge.deploy({**ROUTES})
    sensor = await edge.connected("edge", "sensor")
    for number in range(600):
        sensor.publish(f"{EVENTS}%24.on=out", str(number).encode())
    await sensor.take()
    wanting = await edge.connected("edge", "filter")
    await edge.settle()
    assert not [packet for packet in await wanting.take() if isinstance(packet, Publish)]  # not subscribed yet
    wanting.subscribe(f"{INPUTS}#")
    found = await wanting.messages(600, acknowledge=True)
    assert [int(message.payload) for message in found] == list(range(600))
    await edge.settle()
    assert edge.queues.depths() == {}


async def test_a_batch_needs_no_round_trip_for_each_message_and_its_bytes_are_bounded(edge: Edge) -> None:
    await edge.deploy({**ROUTES})
    sensor = await edge.connected("edge", "sensor")
    for _ in range(10):
        sensor.publish(f"{EVENTS}%24.on=out", b"x" * 200_000)
    await sensor.take()
    await sensor.take()
    wanting = await edge.module("filter")
    await wanting.until(SubAck)
    await edge.settle()
    await wanting.take()
    messages = [packet for packet in wanting.received if isinstance(packet, Publish)]
    assert len(messages) == 5  # of 10, as the sixth would make it more than a mebibyte
    wanting.feed(PubAck(messages[0].packet_id))
    assert len([packet for packet in await wanting.take() if isinstance(packet, Publish)]) == 1


async def test_what_was_not_acknowledged_comes_again_as_a_duplicate(edge: Edge) -> None:
    sensor, wanting = await flow(edge)
    for number in range(3):
        sensor.publish(f"{EVENTS}%24.on=out", str(number).encode())
    first, *_ = await wanting.messages(3)
    wanting.feed(PubAck(first.packet_id))
    wanting.leave()
    sensor.publish(f"{EVENTS}%24.on=out", b"3")
    again = await edge.connected("edge", "filter")  # it does not subscribe again
    found = await again.messages(3, acknowledge=True)
    assert [(message.payload, message.duplicate) for message in found] == [(b"1", True), (b"2", True), (b"3", False)]
    await edge.settle()
    assert edge.queues.depths() == {}


async def test_a_module_that_does_not_acknowledge_is_sent_it_again_after_a_while(edge: Edge) -> None:
    sensor, wanting = await flow(edge)
    care = asyncio.ensure_future(edge.hub.run())
    sensor.publish(f"{EVENTS}%24.on=out", b"x")
    await wanting.until(Publish)
    await edge.clock.advance(29)
    assert not [packet for packet in await wanting.take() if isinstance(packet, Publish)]
    await edge.clock.advance(3)
    again = await wanting.until(Publish)
    assert (again.payload, again.duplicate) == (b"x", True)
    assert Outcome.RETRY in edge.queues.outcomes
    care.cancel()


async def test_a_module_that_wants_no_acknowledgements_is_sent_each_message_once(edge: Edge) -> None:
    await edge.deploy({**ROUTES})
    sensor = await edge.connected("edge", "sensor")
    wanting = await edge.connected("edge", "filter")
    wanting.subscribe(f"{INPUTS}#", qos=0)
    for number in range(300):
        sensor.publish(f"{EVENTS}%24.on=out", str(number).encode(), qos=0)
    assert [int(message.payload) for message in await wanting.messages(300)] == list(range(300))
    await edge.settle()
    assert edge.queues.depths() == {}


async def test_a_module_that_unsubscribes_is_sent_nothing(edge: Edge) -> None:
    sensor, wanting = await flow(edge)
    wanting.feed(Unsubscribe(9, (f"{INPUTS}#",)))
    sensor.publish(f"{EVENTS}%24.on=out", b"x")
    await sensor.until(PubAck)
    await edge.settle()
    assert not [packet for packet in await wanting.take() if isinstance(packet, Publish)]
    assert edge.queues.depths() == {"filter/in": 1}


async def test_after_a_restart_of_the_hub_a_module_receives_what_waited_without_subscribing(edge: Edge) -> None:
    sensor, wanting = await flow(edge)
    sensor.publish(f"{EVENTS}%24.on=out", b"before")
    await wanting.until(Publish)  # and no acknowledgement
    edge.cloud.is_reachable = False
    await edge.restart()
    again = await edge.connected("edge", "filter")
    message = next((packet for packet in again.received if isinstance(packet, Publish)), None)
    message = message or await again.until(Publish)
    assert message.payload == b"before"
    again.feed(PubAck(message.packet_id))
    sensor = await edge.connected("edge", "sensor")
    sensor.publish(f"{EVENTS}%24.on=out", b"after")  # the routes are the last good ones
    assert (await again.until(Publish)).payload == b"after"


async def test_a_clean_session_is_not_kept(edge: Edge) -> None:
    _, wanting = await flow(edge, clean=True)
    wanting.leave()
    await edge.restart()
    again = await edge.connected("edge", "filter")
    client = edge.hub.connected(Who("edge", "filter"))
    assert client is not None
    assert client.feeds == frozenset()
    assert again.is_open


@pytest.mark.parametrize(("topic", "count"), [(f"{EVENTS}%24.on=out&a=1", 1), ("somewhere/else", 0)])
async def test_a_will_is_a_message_when_it_is_for_telemetry(edge: Edge, topic: str, count: int) -> None:
    await edge.deploy({**ROUTES})
    sensor = await edge.connected("edge", "sensor", will=Will(topic=topic, payload=b"gone", qos=1, retain=False))
    sensor.leave()
    found = edge.queues.waiting["filter/in"]
    assert [(message.body, bags.decode(message.bag)) for message in found] == (
        [(b"gone", {"a": "1", "iothub-MessageType": "Will"})] * count
    )
    edge.peers.clear()


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00+#"), max_size=30)


@given(
    st.lists(
        st.tuples(
            st.one_of(
                _TEXT.map(lambda bag: f"{EVENTS}{bag}"),
                _TEXT.map(lambda rest: f"$iothub/twin/GET/{rest}"),
                _TEXT.map(lambda rest: f"$iothub/twin/PATCH/properties/reported/{rest}"),
                _TEXT.map(lambda rest: f"$iothub/methods/res/{rest}"),
                _TEXT.filter(bool),
            ),
            st.binary(max_size=40),
            st.sampled_from((0, 1)),
        ),
        max_size=8,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
async def test_arbitrary_messages_disturb_nobody_else(edge: Edge, messages: list[tuple[str, bytes, int]]) -> None:
    other = await edge.module("filter")
    await other.until(SubAck)
    rude = await edge.connected("edge", "sensor")
    for topic, payload, qos in messages:
        if rude.is_open:
            rude.publish(topic, payload, qos=qos)
            await rude.take()
    rude.leave()
    other.feed(PingReq())
    await other.until(PingResp)
    assert other.is_open
    other.leave()
    edge.peers.clear()


@given(st.dictionaries(st.text(min_size=1), st.text()), st.booleans())
def test_a_bag_keeps_all_that_is_not_the_hubs_to_say(entries: dict[str, str], node: bool) -> None:
    bag = bags.encode({**entries, "$.on": "a b"}) + ("/" if node else "")
    output, rest = split(bag)
    assert output == "a b"
    ours = {"$.on", "$.cdid", "$.cmid"}
    assert bags.decode(rest) == {name: value for name, value in entries.items() if name not in ours}
