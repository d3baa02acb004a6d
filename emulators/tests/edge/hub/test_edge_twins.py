"""Twins at the edge: read, reported and desired, with the cloud and without; and the hub's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_fakes import DEVICE, OWN
from windtunnel_emulators.edge.hub.merging import collapsed, difference
from windtunnel_emulators.edge.interface import Kind, Refused, Unreachable
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.twins import merged
from windtunnel_emulators.iot.mqtt.packets import PubAck, Publish

if TYPE_CHECKING:
    from mqtt_peers import Peer
    from tests.edge.hub.conftest import Edge

ANSWERS, DESIRED = "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"
REPORTED = "$iothub/twin/PATCH/properties/reported/?$rid="
M = Who(DEVICE, "m")


async def reader(edge: Edge, name: str = "m") -> Peer:
    """A module that takes its twin and what is desired of it, and has read it once."""
    peer = await edge.connected(DEVICE, name)
    peer.subscribe(ANSWERS, DESIRED)
    await edge.settle()
    return peer


async def read(peer: Peer) -> Any:
    """The twin as a client is answered."""
    packet_id = peer.publish("$iothub/twin/GET/?$rid=get", b" ")
    answer = await peer.until(Publish, lambda packet: "rid=get" in packet.topic)
    assert PubAck(packet_id) in peer.received
    assert answer.topic == "$iothub/twin/res/200/?$rid=get"
    return msgspec.json.decode(answer.payload)


async def report(peer: Peer, patch: object, rid: str = "1") -> str:
    """The topic of the answer."""
    peer.publish(f"{REPORTED}{rid}", patch if isinstance(patch, bytes) else msgspec.json.encode(patch))
    answer = await peer.until(Publish, lambda packet: f"rid={rid}" in packet.topic)
    return str(answer.topic)


async def test_a_twin_comes_from_the_cloud_and_without_it_as_last_known(edge: Edge) -> None:
    edge.cloud.desire(M, {"a": 1})
    peer = await reader(edge)
    known = {"desired": {"a": 1, "$version": 2}, "reported": {"$version": 1}}
    assert await read(peer) == known
    edge.cloud.desire(M, {"a": 2}, told=False)
    edge.cloud.cut()
    assert await read(peer) == known
    await edge.restart()
    peer = await edge.connected(DEVICE, "m")
    assert await read(peer) == known  # kept on disk


async def test_a_twin_that_was_never_read_is_empty_without_the_cloud(edge: Edge) -> None:
    edge.cloud.cut()
    peer = await reader(edge)
    assert await read(peer) == {"desired": {"$version": 0}, "reported": {"$version": 0}}


async def test_what_the_cloud_refuses_is_refused(edge: Edge) -> None:
    peer = await reader(edge)
    edge.cloud.refuse = Refused(404, "There is no such module.")
    peer.publish("$iothub/twin/GET/?$rid=9", b" ")
    answer = await peer.until(Publish)
    assert answer.topic == "$iothub/twin/res/404/?$rid=9"


async def test_reported_properties_are_sent_at_once_and_told_of_as_a_message(edge: Edge) -> None:
    await edge.deploy({"t": "FROM /twinChangeNotifications INTO $upstream"})
    peer = await reader(edge)
    assert await report(peer, {"a": {"b": 1}}) == "$iothub/twin/res/204/?$rid=1&$version=1"
    await edge.settle()
    assert [one for one in edge.cloud.reports if one[0] == M] == [(M, {"a": {"b": 1}})]
    (message,) = edge.queues.waiting["$upstream"]
    assert (message.kind, message.sender, msgspec.json.decode(message.body)) == (
        Kind.TWIN_CHANGE,
        M,
        {"a": {"b": 1}},
    )
    twin = await read(peer)
    assert twin["reported"] == {"a": {"b": 1}, "$version": 2}


async def test_reports_without_the_cloud_are_merged_and_sent_as_one_patch(edge: Edge) -> None:
    peer = await reader(edge)
    await report(peer, {"a": {"x": 1, "y": 2}, "c": 1})
    await edge.settle()
    edge.cloud.reports.clear()
    edge.cloud.cut()
    for number, patch in enumerate(({"a": None}, {"b": 1}, {"a": {"y": 3}}, {"b": 2, "c": None})):
        topic = await report(peer, patch, f"o{number}")
        assert topic == f"$iothub/twin/res/204/?$rid=o{number}&$version={3 + number}"
    twin = await read(peer)
    assert twin["reported"] == {"a": {"y": 3}, "b": 2, "$version": 6}
    await edge.restart()  # what waits is on disk
    edge.cloud.restore()
    await edge.settle()
    (sent,) = [patch for who, patch in edge.cloud.reports if who == M]
    assert sent == {"a": {"x": None, "y": 3}, "b": 2, "c": None}
    assert edge.cloud.reported(M) == {"a": {"y": 3}, "b": 2}
    assert edge.hub.reports.waiting() == 0


async def test_however_often_the_cloud_comes_back_a_twin_is_sent_every_five_seconds_at_most(edge: Edge) -> None:
    peer = await reader(edge)
    times: list[float] = []
    for number in range(6):
        edge.cloud.cut()
        await report(peer, {"n": number}, str(number))
        before = len(edge.cloud.reports)
        edge.cloud.restore()
        await edge.settle()
        if len(edge.cloud.reports) > before:
            times.append(edge.clock.monotonic())
        await edge.clock.advance(2)
    await edge.clock.advance(6)
    assert edge.cloud.reported(M) == {"n": 5}
    assert len([one for one in edge.cloud.reports if one[0] == M]) <= 4


async def test_what_is_reported_while_a_patch_is_on_its_way_follows_it(edge: Edge) -> None:
    peer = await reader(edge)
    edge.cloud.gate.clear()
    await report(peer, {"a": 1, "b": {"c": 1}}, "1")
    await edge.settle()
    await report(peer, {"b": None}, "2")
    await report(peer, {"b": {"d": 1}}, "3")
    edge.cloud.gate.set()
    await edge.settle()
    assert [patch for who, patch in edge.cloud.reports if who == M] == [
        {"a": 1, "b": {"c": 1}},
        {"b": {"c": None, "d": 1}},
    ]
    assert edge.cloud.reported(M) == {"a": 1, "b": {"d": 1}}


async def test_a_report_that_fails_is_sent_again_and_one_that_is_refused_is_not(edge: Edge) -> None:
    peer = await reader(edge)
    edge.cloud.refuse = Unreachable("this connection is not there yet")
    await report(peer, {"a": 1}, "1")
    await edge.settle()
    edge.cloud.refuse = None
    await edge.clock.advance(6)
    assert edge.cloud.reported(M) == {"a": 1}
    edge.cloud.refuse = Refused(503, "busy")
    await report(peer, {"a": 2}, "2")
    await edge.settle()
    edge.cloud.refuse = None
    await edge.clock.advance(6)
    assert edge.cloud.reported(M) == {"a": 2}
    edge.cloud.refuse = Refused(400, "bad")
    await report(peer, {"a": 3}, "3")
    await edge.settle()
    edge.cloud.refuse = None
    await edge.clock.advance(60)
    assert (edge.cloud.reported(M), edge.hub.reports.waiting()) == ({"a": 2}, 0)


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        (b"{", 400),
        (b"[1]", 400),
        (b'{"a.b": 1}', 400),
        (b'{"$a": 1}', 400),
        (b'{"a": 4503599627370496}', 400),
        (b'{"a": "%s"}' % (b"x" * 4097), 400),
        (b'{"a": ' * 11 + b"1" + b"}" * 11, 400),
        (msgspec.json.encode({f"k{number}": "x" * 4000 for number in range(9)}), 413),
    ],
)
async def test_a_twin_over_the_limits_is_refused_at_the_edge(edge: Edge, patch: bytes, status: int) -> None:
    peer = await reader(edge)
    assert await report(peer, patch) == f"$iothub/twin/res/{status}/?$rid=1"
    assert [one for one in edge.cloud.reports if one[0] == M] == []
    assert peer.is_open


async def test_desired_properties_are_passed_on_with_their_version(edge: Edge) -> None:
    peer = await reader(edge)
    await read(peer)
    edge.cloud.desire(M, {"a": {"b": 1}, "c": None})
    patch = await peer.until(Publish)
    assert patch.topic == "$iothub/twin/PATCH/properties/desired/?$version=2"
    assert msgspec.json.decode(patch.payload) == {"a": {"b": 1}, "c": None, "$version": 2}
    edge.hub.desired(M, {"a": {"b": 1}, "$version": 2})  # twice
    await edge.settle()
    assert not [packet for packet in await peer.take() if isinstance(packet, Publish)]


async def test_after_a_gap_the_whole_twin_is_read_and_one_patch_sent(edge: Edge) -> None:
    edge.cloud.desire(M, {"a": 1, "b": {"c": 1, "d": 2}})
    peer = await reader(edge)
    await read(peer)
    edge.cloud.desire(M, {"a": None}, told=False)
    edge.cloud.gate.clear()
    edge.cloud.desire(M, {"b": {"c": 5}})
    await edge.settle()
    edge.cloud.gate.set()
    edge.cloud.desire(M, {"e": 1})  # while the twin is being read
    patch = await peer.until(Publish)
    assert msgspec.json.decode(patch.payload) == {"a": None, "b": {"c": 5}, "e": 1, "$version": 5}
    await edge.settle()
    assert not [packet for packet in await peer.take() if isinstance(packet, Publish)]


@pytest.mark.parametrize(("away_s", "count"), [(100, 0), (130, 1)])
async def test_after_a_reconnection_a_client_is_told_what_has_changed_unless_its_twin_is_fresh(
    edge: Edge, away_s: float, count: int
) -> None:
    edge.cloud.desire(M, {"a": 1, "b": 1})
    peer = await reader(edge)
    await read(peer)
    edge.cloud.cut()
    edge.cloud.desire(M, {"a": 2, "b": None})
    edge.cloud.desire(M, {"c": 3})
    await edge.clock.advance(away_s)
    edge.cloud.restore()
    await edge.settle()
    patches = [packet for packet in await peer.take() if isinstance(packet, Publish)]
    assert len(patches) == count
    for patch in patches:
        assert msgspec.json.decode(patch.payload) == {"a": 2, "b": None, "c": 3, "$version": 4}


async def test_a_reading_that_fails_is_tried_again_while_the_client_is_there(edge: Edge) -> None:
    peer = await reader(edge)
    await read(peer)
    edge.cloud.desire(M, {"a": 1}, told=False)
    edge.cloud.refuse = Unreachable("not yet")
    edge.cloud.desire(M, {"b": 1})
    await edge.clock.advance(3)
    edge.cloud.refuse = None
    await edge.clock.advance(3)
    patch = await peer.until(Publish)
    assert msgspec.json.decode(patch.payload) == {"a": 1, "b": 1, "$version": 3}


# The hub's own twin.


async def test_routes_that_cannot_be_read_leave_the_former_and_are_reported(edge: Edge) -> None:
    care = asyncio.ensure_future(edge.hub.run())
    version = await edge.deploy({"r": "FROM /messages/* INTO $upstream"})
    await edge.clock.advance(1)
    assert edge.cloud.reported(OWN) == {
        "schemaVersion": "1.0",
        "version": {},
        "lastDesiredVersion": version,
        "lastDesiredStatus": {"code": 200, "description": ""},
        "clients": {},
    }
    edge.cloud.reports.clear()
    version = await edge.deploy({"bad": "FROM nowhere"})
    await edge.clock.advance(1)
    ((_, patch),) = edge.cloud.reports
    assert patch["lastDesiredVersion"] == version
    told: Any = patch["lastDesiredStatus"]
    assert told["code"] == 400
    assert told["description"].startswith("Error while parsing desired properties - Error parsing route bad - ")
    assert set(patch) == {"lastDesiredVersion", "lastDesiredStatus"}  # what has not changed is not sent again
    sensor = await edge.connected(DEVICE, "sensor")
    sensor.publish("devices/edge/modules/sensor/messages/events/", b"x")
    await sensor.until(PubAck)
    assert edge.queues.depths() == {"$upstream": 1}  # by the former routes
    await edge.restart()
    assert edge.hub.administration.version == version
    again = await edge.connected(DEVICE, "sensor")
    again.publish("devices/edge/modules/sensor/messages/events/", b"x")
    await again.until(PubAck)
    assert edge.queues.depths() == {"$upstream": 2}  # the last good ones are kept
    await edge.deploy({"bad": None})
    await edge.settle()
    assert edge.hub.administration.version == version + 1
    care.cancel()


async def test_the_time_that_messages_are_kept_is_that_of_the_deployment(edge: Edge) -> None:
    from windtunnel_emulators.edge.interface import Message

    message = Message(sender=Who(DEVICE, "s"), enqueued=0)
    routes = {"r": "FROM /messages/* INTO $upstream"}
    for seconds, ttl in ((60, 60.0), (-1, None)):
        await edge.deploy({**routes}, storeAndForwardConfiguration={"timeToLiveSecs": seconds})
        (target,) = edge.hub.intake.router.targets(message)
        assert target.ttl == ttl


async def test_who_is_connected_is_reported_as_it_changes(edge: Edge) -> None:
    care = asyncio.ensure_future(edge.hub.run())
    peer = await edge.connected("leaf.1")
    await edge.clock.advance(1)
    clients: Any = edge.cloud.reported(OWN)["clients"]
    assert clients["leaf%2E1"]["status"] == "Connected"
    assert clients["leaf%2E1"]["lastConnectedTimeUtc"].startswith("2026-01-01T00:00:0")
    edge.cloud.reports.clear()
    peer.leave()
    edge.peers.clear()
    await edge.clock.advance(1)
    ((_, patch),) = edge.cloud.reports
    changed: Any = patch["clients"]
    assert set(patch) == {"clients"}
    assert set(changed["leaf%2E1"]) == {"status", "lastDisconnectedTimeUtc"}
    assert changed["leaf%2E1"]["status"] == "Disconnected"
    care.cancel()


async def test_after_a_crash_nobody_is_reported_as_connected(edge: Edge) -> None:
    care = asyncio.ensure_future(edge.hub.run())
    await edge.connected(DEVICE, "m")
    await edge.clock.advance(1)
    care.cancel()
    edge.peers.clear()  # as after kill -9: nobody has said good-bye
    await edge.restart()
    care = asyncio.ensure_future(edge.hub.run())
    await edge.deploy({})
    await edge.clock.advance(1)
    clients: Any = edge.cloud.reported(OWN)["clients"]
    assert clients["edge/m"]["status"] == "Disconnected"
    care.cancel()


# Merge patches.

_VALUES = st.recursive(
    st.one_of(st.integers(0, 3), st.booleans(), st.just("s")),
    lambda below: st.one_of(st.dictionaries(st.sampled_from("abc"), below, max_size=3), st.lists(below, max_size=2)),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)
_PATCHES = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.one_of(st.none(), st.integers(0, 3), st.booleans()),
        lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)


@given(_DOCUMENTS, _DOCUMENTS)
def test_the_difference_makes_one_document_of_another(before: dict[str, Any], after: dict[str, Any]) -> None:
    patch = difference(before, after)
    assert msgspec.json.encode(merged(before, patch), order="sorted") == msgspec.json.encode(after, order="sorted")
    assert difference(after, after) == {}


@given(_DOCUMENTS, st.lists(_PATCHES, max_size=4))
def test_patches_made_one_do_what_they_do_one_by_one(base: dict[str, Any], patches: list[dict[str, Any]]) -> None:
    one: dict[str, Any] = {}
    expected = base
    for patch in patches:
        one = collapsed(one, patch, base)
        expected = merged(expected, patch)
    assert merged(base, one) == expected
