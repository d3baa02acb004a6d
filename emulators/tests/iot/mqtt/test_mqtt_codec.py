"""Packets of MQTT 3.1.1: what is written is read again in any pieces, and arbitrary bytes do no harm."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.iot.mqtt.errors import MalformedPacket, MqttProblem, PacketTooLarge, UnsupportedProtocol
from windtunnel_emulators.iot.mqtt.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from windtunnel_emulators.iot.mqtt.reading import Reader
from windtunnel_emulators.iot.mqtt.writing import encode

LARGEST = 300_000

ids = st.integers(1, 0xFFFF)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
topics = st.text(st.characters(codec="utf-8", exclude_characters="\0#+"), min_size=1, max_size=60)
levels = st.text(st.characters(codec="utf-8", exclude_characters="\0#+/"), max_size=8)
filters = st.lists(st.one_of(levels, st.just("+")), min_size=1, max_size=5).map("/".join).filter(bool) | topics.map(
    lambda topic: f"{topic}/#"
)
qualities = st.integers(0, 2)
payloads = st.binary(max_size=300)


@st.composite
def publishes(draw: st.DrawFn) -> Publish:
    qos = draw(qualities)
    topic, payload, retain = draw(topics), draw(payloads), draw(st.booleans())
    if not qos:
        return Publish(topic, payload, 0, 0, False, retain)
    return Publish(topic, payload, qos, draw(ids), draw(st.booleans()), retain)


@st.composite
def connects(draw: st.DrawFn) -> Connect:
    will = st.builds(Will, topic=topics, payload=payloads, qos=qualities, retain=st.booleans())
    username = draw(st.none() | texts)
    return Connect(
        client_id=draw(texts),
        clean_session=draw(st.booleans()),
        keep_alive=draw(st.integers(0, 0xFFFF)),
        username=username,
        password=None if username is None else draw(st.none() | st.binary(max_size=80)),
        will=draw(st.none() | will),
    )


def several(one: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(one, min_size=1, max_size=4).map(tuple)


packets: st.SearchStrategy[Packet] = st.one_of(
    publishes(),
    connects(),
    st.builds(ConnAck, st.just(0), st.booleans()),
    st.builds(ConnAck, st.integers(1, 5)),
    st.builds(Subscribe, ids, several(st.tuples(filters, qualities))),
    st.builds(SubAck, ids, several(st.sampled_from((0, 1, 2, 0x80)))),
    st.builds(Unsubscribe, ids, several(filters)),
    *(st.builds(kind, ids) for kind in (PubAck, PubRec, PubRel, PubComp, UnsubAck)),
    *(st.builds(kind) for kind in (PingReq, PingResp, Disconnect)),
)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


@given(st.lists(packets, max_size=6), st.lists(st.integers(0, 5000), max_size=12))
def test_what_is_written_is_read_in_any_pieces(sent: list[Packet], cuts: list[int]) -> None:
    reader = Reader(LARGEST)
    stream = b"".join(map(encode, sent))
    assert [packet for piece in pieces(stream, cuts) for packet in reader.feed(piece)] == sent
    assert reader.pending == 0


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_arbitrary_bytes_end_the_stream_or_wait_for_more(data: list[bytes]) -> None:
    reader = Reader(500)
    with contextlib.suppress(MqttProblem):
        for piece in data:
            for _ in reader.feed(piece):
                pass
            assert reader.pending <= 500 + 5


@given(packets, st.data())
def test_a_changed_byte_does_no_harm(packet: Packet, data: st.DataObject) -> None:
    changed = bytearray(encode(packet))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MqttProblem):
        list(Reader(LARGEST).feed(bytes(changed)))


def test_packets_before_a_malformed_one_are_read() -> None:
    reader = Reader(LARGEST)
    found: list[Packet] = []
    stream = reader.feed(encode(PingReq()) + encode(PubAck(7)) + b"\x00\x00")
    with pytest.raises(MalformedPacket):
        found.extend(stream)
    assert found == [PingReq(), PubAck(7)]


def test_a_packet_that_announces_too_much_is_refused_at_once() -> None:
    with pytest.raises(PacketTooLarge, match="268435455"):
        list(Reader(LARGEST).feed(b"\x30\xff\xff\xff\x7f"))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00",  # reserved types
        b"\xf0\x00",
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x36\x05\x00\x01a\x00\x01",  # quality of service 3
        b"\x38\x03\x00\x01a",  # a duplicate that asks for no acknowledgement
        b"\x30\x00",  # no topic
        b"\x30\x02\x00\x00",  # an empty topic
        b"\x30\x05\x00\x03a/#",
        b"\x32\x03\x00\x01a",  # no packet identifier
        b"\x32\x05\x00\x01a\x00\x00",
        b"\x30\x04\x00\x02\xed\xa0",  # a surrogate
        b"\x80\x06\x00\x01\x00\x01a\x00",  # SUBSCRIBE without its flags
        b"\x82\x02\x00\x01",  # no filter
        b"\x82\x06\x00\x01\x00\x01a\x03",
        b"\x82\x08\x00\x01\x00\x03a#b\x00",
        b"\x82\x09\x00\x01\x00\x04a/#/\x00",
        b"\xc0\x01\x00",  # PINGREQ with a body
        b"\x40\x01\x00",
        b"\x20\x02\x02\x00",
        b"\x90\x03\x00\x01\x03",
        b"\x10\x0c\x00\x04MQTT\x04\x01\x00\x00\x00\x00",  # the reserved flag
        b"\x10\x0e\x00\x04MQTT\x04\x40\x00\x00\x00\x00\x00\x00",  # a password and no user name
        b"\x10\x0c\x00\x04MQTT\x04\x20\x00\x00\x00\x00",  # a will's flag without a will
        b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00\x00",  # a byte behind the end
    ],
)
def test_malformed_packets_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        list(Reader(LARGEST).feed(data))


@pytest.mark.parametrize("opening", [b"\x00\x06MQIsdp\x03", b"\x00\x04MQTT\x05"])
def test_other_versions_are_told_apart_from_damage(opening: bytes) -> None:
    body = opening + b"\x02\x00\x3c\x00\x00\x00"
    with pytest.raises(UnsupportedProtocol, match=r"3\.1\.1"):
        list(Reader(LARGEST).feed(bytes((0x10, len(body))) + body))


def test_a_password_is_never_shown() -> None:
    packet = Connect(client_id="d", clean_session=False, keep_alive=60, username="h/d", password=b"SharedAccessX")
    assert "SharedAccessX" not in repr(packet)
