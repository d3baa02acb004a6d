"""Connections in memory: what nobody should send ends the connection it came by, and no other."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proton import Connection, Transport
from proton.reactor import AtLeastOnce

from mqtt_peers import KEY, Pipe
from windtunnel_emulators.iot.amqp.encoding import AMQP_HEADER, SASL_HEADER, described, frame
from windtunnel_emulators.iot.amqp.endpoint import Endpoint
from windtunnel_emulators.iot.hub.policies import SERVICE_CONNECT, Policy
from windtunnel_emulators.iot.service.access import Access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iot_place import Place
    from windtunnel_emulators.iot.amqp.connection import AmqpConnection

SILENT_S = 31.0
REMOTE_ACTIVE: int = getattr(Connection, "REMOTE_ACTIVE")  # noqa: B009  # from C, and without a type
FRAMING = b"amqp:connection:framing-error"


def no_entra(header: str, audiences: frozenset[str]) -> object:
    raise AssertionError((header[:6], audiences))


@pytest.fixture
def endpoint(place: Place) -> Iterator[Endpoint]:
    place.policies["service"] = Policy(name="service", keys=(KEY,), rights=frozenset((SERVICE_CONNECT,)))
    made = Endpoint(place.hub, Access(place.hub, no_entra))
    yield made
    made.stop()


class Socket(Pipe):
    """One that is asked how much it may hold back."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        assert low is None


class Client:
    """Proton's engine as a client, without a socket."""

    def __init__(self, endpoint: Endpoint, *, password: str | None = None) -> None:
        self.server: AmqpConnection = endpoint.connection()
        self.pipe = Socket()
        self.server.connection_made(self.pipe)
        self._read = 0
        self.amqp = Connection()
        self.amqp.container, self.amqp.hostname = "client", "127.0.0.9"
        self._engine = Transport(Transport.CLIENT)
        self._engine.bind(self.amqp)
        if password is not None:
            self.server.data_received(SASL_HEADER + plain(password))
            self._read = len(self.pipe.written)
        self.amqp.open()
        self.session = self.amqp.session()
        self.session.open()

    def sends(self) -> bytes:
        """What the engine would send now, taken from it."""
        found = bytearray()
        while (size := self._engine.pending()) > 0:
            data = bytes(self._engine.peek(size) or b"")
            self._engine.pop(len(data))
            found += data
        return bytes(found)

    def talk(self) -> None:
        """Until nobody has anything to say."""
        while True:
            out = self.sends()
            if out:
                self.server.data_received(out)
            back = bytes(self.pipe.written[self._read :])
            self._read += len(back)
            if back:
                self._engine.push(back)
            if not out and not back:
                return

    def receiver(self, address: str) -> str | None:
        """Attach; the condition with which the link was closed."""
        link = self.session.receiver(f"from {address}")
        link.source.address = address
        AtLeastOnce().apply(link)
        link.open()
        self.talk()
        return None if link.remote_condition is None else str(link.remote_condition.name)


def plain(password: str) -> bytes:
    shown = b"\0service\0" + password.encode()
    return frame(1, described(0x41, [b"\xa3\x05PLAIN", bytes((0xA0, len(shown))) + shown]))


def is_well(client: Client) -> bool:
    """A connection that has done nothing wrong still answers."""
    session = client.amqp.session()
    session.open()
    client.talk()
    well = not client.pipe.closing and bool(session.state & REMOTE_ACTIVE)
    session.close()
    client.talk()
    return well


async def test_who_has_shown_a_key_reads_and_others_do_not(endpoint: Endpoint) -> None:
    address = "hub1/ConsumerGroups/$Default/Partitions/0"
    assert Client(endpoint, password=KEY).receiver(address) is None
    assert Client(endpoint).receiver(address) == "amqp:unauthorized-access"


async def test_a_wrong_key_ends_the_connection(endpoint: Endpoint) -> None:
    client = Client(endpoint, password="bm90IGl0")
    assert client.pipe.closing


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=300), header=st.sampled_from([b"", AMQP_HEADER, SASL_HEADER]))
async def test_noise_disturbs_nobody_else(endpoint: Endpoint, noise: bytes, header: bytes) -> None:
    other, noisy = Client(endpoint), Client(endpoint)
    noisy.server.data_received(header + noise)
    noisy.server.eof_received()
    assert is_well(other)
    for one in (noisy, other):
        one.server.connection_lost(None)
    assert not endpoint.connections


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(8, 400), st.integers(0, 255)), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 400), max_size=4),
)
async def test_frames_with_wrong_bytes_disturb_nobody_else(
    endpoint: Endpoint, changes: list[tuple[int, int]], cuts: list[int]
) -> None:
    other, wrong = Client(endpoint), Client(endpoint)
    link = wrong.session.receiver("a")
    link.source.address = "$cbs"
    link.open()
    link.flow(10)
    sent = bytearray(wrong.sends())
    for place, value in changes:
        sent[place % len(sent)] = value
    ends = sorted({min(cut, len(sent)) for cut in cuts} | {len(sent)})
    start = 0
    for end in ends:
        if not wrong.pipe.closing:  # as no socket reads on then
            wrong.server.data_received(bytes(sent[start:end]))
        start = end
    wrong.server.eof_received()
    assert is_well(other)
    for one in (wrong, other):
        one.server.connection_lost(None)
    assert not endpoint.connections


async def test_a_frame_that_is_too_large_ends_the_connection(endpoint: Endpoint) -> None:
    other, large = Client(endpoint), Client(endpoint)
    large.talk()
    large.server.data_received((1 << 24).to_bytes(4, "big") + b"\x02\x00\x00\x00" + b"x" * 1000)
    assert FRAMING in large.pipe.written
    assert large.pipe.closing
    assert is_well(other)


async def test_a_frame_that_is_none_ends_the_connection(endpoint: Endpoint) -> None:
    other, wrong = Client(endpoint), Client(endpoint)
    wrong.talk()
    wrong.server.data_received(b"\x00\x00\x00\x08\x01\x00\x00\x00")  # its body would begin inside its head
    assert FRAMING in wrong.pipe.written
    assert wrong.pipe.closing
    assert is_well(other)


async def test_a_name_that_is_no_text_ends_the_connection(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    other, wrong = Client(endpoint), Client(endpoint)
    link = wrong.session.receiver("a")
    link.source.address = "$cbs"
    link.open()
    wrong.server.data_received(wrong.sends().replace(b"$cbs", b"\x80cbs"))
    assert b"amqp:decode-error" in wrong.pipe.written
    assert wrong.pipe.closing
    assert "is no UTF-8" in caplog.text
    assert is_well(other)


async def test_who_does_not_open_in_time_is_let_go(
    endpoint: Endpoint, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    half, whole = Client(endpoint), Client(endpoint)
    half.server.data_received(AMQP_HEADER + b"\x00\x00")
    whole.talk()
    await place.clock.advance(SILENT_S)
    with caplog.at_level(logging.INFO):
        for one in (half, whole):
            one.server.check()
    assert "has not opened its connection in time" in caplog.text
    assert half.pipe.closing
    assert is_well(whole)


async def test_all_are_told_when_the_hub_stops(endpoint: Endpoint) -> None:
    client = Client(endpoint)
    client.talk()
    endpoint.stop()
    await asyncio.sleep(0)
    assert b"amqp:connection:forced" in client.pipe.written
    assert client.pipe.closing
