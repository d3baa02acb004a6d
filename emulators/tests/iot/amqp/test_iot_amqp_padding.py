"""The padding of Proton's frames: every performative is whole and says what it said. By chance, and by Proton."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from proton import Connection, Data, Transport

from windtunnel_emulators.iot.amqp.encoding import (
    AMQP_HEADER,
    BadEncoding,
    described,
    descriptor_at,
    end_of,
    fields_at,
    frame,
)
from windtunnel_emulators.iot.amqp.padding import SPARE, Padding, lowered, padded

FULL = {0x10: 10, 0x11: 8, 0x12: 14, 0x13: 11, 0x14: 11, 0x15: 6, 0x16: 3, 0x17: 1, 0x18: 1}
NULL = b"\x40"

texts = st.text(max_size=400)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 2**31), texts, st.binary(max_size=400), st.floats(width=32)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def encoded(value: Any) -> bytes:
    data = Data()
    data.put_object(value)
    return bytes(data.encode())


fields = st.lists(values.map(encoded), max_size=8)
performatives = st.tuples(st.sampled_from(sorted(FULL)), fields).map(lambda pair: (pair[0], pair[1][: FULL[pair[0]]]))


def taken_apart(whole: bytes) -> tuple[int, list[bytes], bytes]:
    code, at = descriptor_at(whole, whole[4] * 4)
    found, end = fields_at(whole, at)
    return code, found, whole[end:]


@given(performatives, st.binary(max_size=600), st.integers(0, 0xFFFF))
def test_a_performative_has_all_its_fields_and_keeps_those_it_had(
    performative: tuple[int, list[bytes]], payload: bytes, channel: int
) -> None:
    code, given_fields = performative
    payload = payload if code == 0x14 else b""
    before = frame(0, described(code, given_fields) + payload, channel)
    after = padded(before)
    assert int.from_bytes(after[:4], "big") == len(after)
    assert after[4:8] == before[4:8]
    missing = [NULL] * (FULL[code] - len(given_fields))
    assert taken_apart(after) == (code, given_fields + missing, payload)
    assert padded(after) == after
    assert len(after) <= len(before) + SPARE


@given(st.lists(performatives, max_size=5), st.data())
def test_the_pieces_in_which_bytes_come_make_no_difference(
    several: list[tuple[int, list[bytes]]], data: st.DataObject
) -> None:
    frames = [frame(0, described(code, inside)) for code, inside in several]
    empty = frame(0, b"")
    stream = AMQP_HEADER + b"".join(frames) + empty
    padding, at, out = Padding(), 0, b""
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        out += padding.feed(stream[at : at + size])
        at += size
    assert out == AMQP_HEADER + b"".join(map(padded, frames)) + empty


def test_errors_inside_have_all_their_fields_too() -> None:
    error = described(0x1D, [b"\xa3\x01x"])
    _, found, _ = taken_apart(padded(frame(0, described(0x18, [error]))))
    _, at = descriptor_at(found[0], 0)
    assert fields_at(found[0], at)[0] == [b"\xa3\x01x", NULL, NULL]


@given(st.integers(512, 2**32 - 1), texts, texts)
def test_proton_is_told_of_smaller_frames(largest: int, name: str, host: str) -> None:
    size = b"\x70" + largest.to_bytes(4, "big")
    before = frame(0, described(0x10, [encoded(name), encoded(host), size]))
    code, found, _ = taken_apart(lowered(before))
    assert (code, found[:2]) == (0x10, [encoded(name), encoded(host)])
    assert int.from_bytes(found[2][1:], "big") == max(512, largest - SPARE)


@given(st.binary(min_size=8, max_size=80))
def test_what_is_no_frame_is_left_to_proton(noise: bytes) -> None:
    if (noise[4] * 4 >= len(noise)) or noise[noise[4] * 4] != 0:
        assert lowered(noise) == noise


@given(st.binary(max_size=60))
def test_values_end_where_they_end_or_are_refused(noise: bytes) -> None:
    try:
        end = end_of(noise, 0)
    except BadEncoding:
        return
    assert 0 < end <= len(noise)


@given(values)
def test_values_of_proton_end_where_proton_ends_them(value: Any) -> None:
    whole = encoded(value)
    assert end_of(whole + b"\x40\x40", 0) == len(whole)


def test_what_proton_sends_is_understood_by_proton() -> None:
    """A session opened between two of Proton's engines, all that passes between them padded."""
    ends = [Transport(Transport.CLIENT), Transport(Transport.SERVER)]
    connections = [Connection(), Connection()]
    for transport, connection in zip(ends, connections, strict=True):
        transport.bind(connection)
        connection.open()
    session: Any = connections[0].session()
    session.open()
    link = session.sender("a link")
    link.target.address = "somewhere"
    link.open()
    paddings = [Padding(), Padding()]
    for _ in range(4):
        for number in (0, 1):
            size = ends[number].pending()
            if size > 0:
                data = bytes(ends[number].peek(size) or b"")
                ends[number].pop(size)
                ends[1 - number].push(paddings[number].feed(data))
    assert connections[1].link_head(0) is not None
    assert not ends[1].condition
