"""Who may connect to an edge device, and when its hub ends a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from edge_fakes import ADDRESS, DEVICE, OWN
from mqtt_peers import HOST, OTHER
from windtunnel_emulators.edge.hub.status import status
from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.hub.topics import Feed
from windtunnel_emulators.iot.mqtt.packets import ConnAck, PingReq, PubAck, Publish, SubAck, Subscribe

if TYPE_CHECKING:
    from tests.edge.hub.conftest import Edge
    from windtunnel_emulators.iot.mqtt.packets import Packet

M = Who(DEVICE, "m")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, 0),
        ({"key": OTHER}, 0),
        ({"resource": f"{ADDRESS}/devices/edge/modules/m"}, 0),
        ({"resource": "HUB1.azure-devices.net/devices/edge/modules/m"}, 0),
        ({"username": f"{ADDRESS}/edge/m/?api-version=1"}, 0),
        ({"username": f"{HOST}/edge/m/api-version=1&DeviceClientType=x"}, 0),
        ({"resource": f"{HOST}/devices/edge"}, 0),  # the device's key is the same here, and speaks for its modules
        ({"key": "cG9saWN5cG9saWN5cG9saWN5cG9saWN5cG9saWN5MTI="}, 5),
        ({"lifetime": -1}, 5),
        ({"resource": f"{HOST}/devices/edge/modules/other"}, 5),
        ({"resource": "hub2.azure-devices.net/devices/edge/modules/m"}, 5),
        ({"username": "hub2.azure-devices.net/edge/m/?api-version=1"}, 5),
        ({"policy": "iothubowner"}, 5),
        ({"password": "secret"}, 5),
        ({"username": "nonsense"}, 4),
        ({"username": f"{HOST}/edge/m/?api-version="}, 4),
        ({"client_id": "edge/other"}, 2),
    ],
)
async def test_a_module_shows_a_token_of_its_own_or_of_its_device(
    edge: Edge, options: dict[str, object], code: int
) -> None:
    edge.identities.add(M)
    edge.cloud.is_reachable = False  # all of this is known here
    peer = edge.peer(M)
    assert (await peer.connect(**options)).code == code  # type: ignore[arg-type]  # of several types
    assert peer.is_open == (code == 0)


async def test_only_who_is_in_scope_and_enabled_may_connect(edge: Edge) -> None:
    edge.cloud.is_reachable = False
    edge.identities.add(Who("child"))
    edge.identities.add(Who("off"), enabled=False)
    edge.identities.add(Who("off", "m"))
    for who, code in ((Who("child"), 0), (Who("stranger"), 5), (Who("off"), 5), (Who("off", "m"), 5)):
        assert (await edge.peer(who).connect()).code == code
    assert edge.identities.asked == []  # nobody would answer


async def test_an_identity_that_is_newer_than_what_is_known_is_asked_for(edge: Edge) -> None:
    edge.identities.add(M, key=OTHER)
    edge.identities.add(M, newer=True)
    assert (await edge.peer(M).connect()).code == 0
    assert edge.identities.asked == [M]
    wrong = await edge.peer(M).connect(key="cG9saWN5cG9saWN5cG9saWN5cG9saWN5cG9saWN5MTI=")
    assert wrong.code == 5
    assert edge.identities.asked == [M]  # not asked again so soon: whoever guesses is no load for the cloud
    assert (await edge.peer(Who("nobody")).connect()).code == 5
    assert edge.identities.asked == [M, Who("nobody")]


async def test_before_the_hub_has_started_clients_are_told_to_try_again(edge: Edge) -> None:
    edge.identities.add(M)
    await edge.restart(begin=False)
    assert (await edge.peer(M).connect()).code == 3
    edge.hub.start()
    assert (await edge.peer(M).connect()).code == 0


async def test_there_are_so_many_clients_and_no_more(edge: Edge) -> None:
    edge.most_clients = 2
    await edge.restart()
    first = await edge.connected("edge", "a")
    await edge.connected("edge", "b")
    edge.identities.add(M)
    assert (await edge.peer(M).connect()).code == 3
    await edge.connected("edge", "a")  # takes the place of its own older connection
    assert not first.is_open


async def test_a_newer_connection_takes_the_place_of_the_older(edge: Edge) -> None:
    older = await edge.module("m")
    newer = await edge.connected("edge", "m")
    assert (older.is_open, newer.is_open) == (False, True)
    older.leave()
    client = edge.hub.connected(M)
    assert client is not None
    assert client.connection is newer.connection
    assert M in edge.cloud.attended
    newer.leave()
    assert M not in edge.cloud.attended


async def test_the_cloud_is_told_who_is_there_and_what_they_take(edge: Edge) -> None:
    assert edge.cloud.attended == {OWN: {Feed.TWIN_ANSWERS, Feed.DESIRED, Feed.METHODS}}
    peer = await edge.connected("edge", "m")
    assert edge.cloud.attended[M] == frozenset()
    peer.subscribe("$iothub/methods/POST/#", "$iothub/twin/res/#")
    assert edge.cloud.attended[M] == {Feed.METHODS, Feed.TWIN_ANSWERS}
    again = await edge.connected("edge", "m")
    assert edge.cloud.attended[M] == {Feed.METHODS, Feed.TWIN_ANSWERS}  # of its session
    again.leave()
    assert M not in edge.cloud.attended


async def test_who_is_removed_disabled_or_has_other_keys_is_disconnected(edge: Edge) -> None:
    names = ("gone", "off", "rekeyed", "stays")
    peers = {name: await edge.connected("edge", name) for name in names}
    del edge.identities.known[Who("edge", "gone")]
    edge.identities.add(Who("edge", "off"), enabled=False)
    edge.identities.add(Who("edge", "rekeyed"), key="cG9saWN5cG9saWN5cG9saWN5cG9saWN5cG9saWN5MTI=")
    edge.hub.identities_changed()
    assert {name for name, peer in peers.items() if peer.is_open} == {"stays"}
    edge.identities.add(Who("edge"), enabled=False)
    edge.hub.identities_changed()
    assert not peers["stays"].is_open


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(Publish("devices/edge/modules/m/messages/events/", b"", 2, 1), id="quality of service 2"),
        pytest.param(Publish("devices/edge/modules/o/messages/events/", b"", 1, 1), id="another's topic"),
        pytest.param(Publish("devices/edge/modules/m/messages/eventsX", b"", 1, 1), id="nearly a topic"),
        pytest.param(Publish("$iothub/twin/PUT/?$rid=1", b"", 1, 1), id="no request"),
        pytest.param(Publish("$iothub/methods/res/ok/?$rid=1", b"", 1, 1), id="no status"),
        pytest.param(Publish("$iothub/methods/res/²/?$rid=1", b"", 1, 1), id="a digit that is no number"),
        pytest.param(Subscribe(1, (("#", 1),)), id="every topic"),
        pytest.param(Subscribe(1, (("devices/edge/modules/o/inputs/#", 1),)), id="another's inputs"),
        pytest.param(Publish("devices/edge/modules/m/messages/events/a=1", b"x" * 262142, 1, 1), id="too large"),
        pytest.param(b"\x00\x00", id="no packet"),
        pytest.param(ConnAck(0), id="a packet of servers"),
    ],
)
async def test_who_breaks_the_rules_is_disconnected(edge: Edge, sent: Packet | bytes) -> None:
    peer = await edge.connected("edge", "m")
    peer.feed(sent)
    assert await peer.take() == []
    assert not peer.is_open
    await edge.connected("edge", "another")  # nobody else is disturbed


async def test_the_largest_message_is_taken(edge: Edge) -> None:
    peer = await edge.connected("edge", "m")
    packet_id = peer.publish("devices/edge/modules/m/messages/events/", b"x" * 262144)
    assert await peer.until(PubAck) == PubAck(packet_id)


async def test_silence_ends_a_connection_and_no_keep_alive_is_longer_than_ten_minutes(edge: Edge) -> None:
    peer = await edge.connected("edge", "m", keep_alive=0, lifetime=10_000)
    brief = await edge.connected("edge", "n", keep_alive=10, lifetime=10_000)
    care = asyncio.ensure_future(edge.hub.run())
    await edge.clock.advance(18)
    assert (peer.is_open, brief.is_open) == (True, False)
    await edge.clock.advance(880)
    assert peer.is_open
    peer.feed(PingReq())
    await edge.clock.advance(890)
    assert peer.is_open
    await edge.clock.advance(15)
    assert not peer.is_open
    care.cancel()


async def test_a_connection_ends_with_its_token(edge: Edge) -> None:
    peer = await edge.connected("edge", "m", lifetime=30)
    care = asyncio.ensure_future(edge.hub.run())
    await edge.clock.advance(28)
    assert peer.is_open
    await edge.clock.advance(4)
    assert not peer.is_open
    care.cancel()


async def test_the_status_tells_who_is_there_and_what_waits(edge: Edge) -> None:
    await edge.deploy({"up": "FROM /messages/* INTO $upstream"})
    peer = await edge.module("m")
    await peer.until(SubAck)
    edge.cloud.cut()
    peer.publish("devices/edge/modules/m/messages/events/", b"x")
    peer.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", b'{"a": 1}')
    await edge.settle()
    assert status(edge.hub) == {
        "cloud": "unreachable",
        "configurationVersion": 2,
        "clients": [{"id": "edge/m", "feeds": ["inputs"]}],
        "twinsWaiting": 1,
        "queues": {"$upstream": 1},
    }
