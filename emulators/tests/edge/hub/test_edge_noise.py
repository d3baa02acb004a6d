"""Connections that send arbitrary bytes, before and after they are let in: they end, and nobody else is disturbed."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from windtunnel_emulators.iot.hub.identity import Who
from windtunnel_emulators.iot.mqtt.packets import PingReq, PingResp, PubAck, Publish, SubAck, Subscribe, Unsubscribe
from windtunnel_emulators.iot.mqtt.writing import encode

if TYPE_CHECKING:
    from tests.edge.hub.conftest import Edge
    from windtunnel_emulators.iot.mqtt.packets import Packet

EVENTS = "devices/edge/modules/sensor/messages/events/"
ROUTES = {"in": 'FROM /messages/modules/sensor/outputs/o INTO BrokeredEndpoint("/modules/filter/inputs/i")'}
SENSIBLE: tuple[Packet, ...] = (
    Publish(f"{EVENTS}%24.on=o", b"a", 1, 7, False, False),
    Publish("$iothub/twin/GET/?$rid=1", b"", 1, 8, False, False),
    Subscribe(9, (("devices/edge/modules/sensor/inputs/#", 1),)),
    Unsubscribe(10, ("devices/edge/modules/sensor/inputs/#",)),
    PubAck(11),
    PingReq(),
)

_changed = st.tuples(st.sampled_from(SENSIBLE).map(encode), st.integers(0, 200), st.integers(0, 255)).map(
    lambda drawn: bytes(drawn[2] if place == drawn[1] % len(drawn[0]) else byte for place, byte in enumerate(drawn[0]))
)
_headers = st.tuples(st.integers(0, 255), st.binary(max_size=30)).map(
    lambda drawn: bytes((drawn[0], len(drawn[1]))) + drawn[1]
)
"""A kind and flags of any sort, a length that is true, and content of any sort."""
streams = st.lists(
    st.one_of(st.binary(max_size=40), _headers, _changed, st.sampled_from(SENSIBLE).map(encode)), max_size=12
).map(b"".join)
cuts = st.lists(st.integers(0, 500), max_size=6)


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


@given(streams, cuts, st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
async def test_arbitrary_bytes_disturb_nobody_else(edge: Edge, data: bytes, places: list[int], let_in: bool) -> None:
    await edge.deploy({**ROUTES})
    other = await edge.module("filter")
    await other.until(SubAck)
    rude = await edge.connected("edge", "sensor") if let_in else edge.peer(Who("edge", "sensor"))
    for piece in pieces(data, places):
        if rude.is_open:
            rude.feed(piece)
            await rude.take()
    assert not rude.is_open or rude.connection.is_open
    rude.leave()
    polite = await edge.connected("edge", "sensor")
    polite.publish(f"{EVENTS}%24.on=o", b"all is well")
    await polite.until(PubAck)
    other.feed(PingReq())
    await other.until(PingResp)
    assert other.is_open
    assert polite.is_open
    for peer in (polite, other):
        peer.leave()
    edge.peers.clear()
