"""The SASL layer: every mechanism that Azure offers, whatever the pieces; what is refused, and noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel_emulators.iot.amqp.encoding import AMQP_HEADER, SASL_HEADER, described, descriptor_at, fields_at, frame
from windtunnel_emulators.iot.amqp.sasl import MECHANISMS, Password, Sasl, SaslFailed


def initial(mechanism: str, response: bytes | None = None) -> bytes:
    name = mechanism.encode()
    answer = b"\x40" if response is None else bytes((0xA0, len(response))) + response
    return frame(1, described(0x41, [bytes((0xA3, len(name))) + name, answer]))


def sasl() -> Sasl:
    return Sasl(lambda shown: (shown.user, shown.password) == ("me", "secret"))


def outcome(exchange: Sasl) -> int:
    """The code of the outcome, the last thing that was sent."""
    last = exchange.outgoing[exchange.outgoing.rindex(b"\x00\x53\x44") :]
    _, at = descriptor_at(last, 0)
    return fields_at(last, at)[0][0][1]


def test_a_client_is_offered_what_azure_offers() -> None:
    exchange = sasl()
    assert exchange.feed(SASL_HEADER) == b""
    assert exchange.outgoing.startswith(SASL_HEADER)
    assert all(name.encode() in exchange.outgoing for name in MECHANISMS)


@pytest.mark.parametrize("mechanism", ["MSSBCBS", "ANONYMOUS", "EXTERNAL"])
def test_who_a_client_is_may_be_shown_later(mechanism: str) -> None:
    exchange = sasl()
    assert exchange.feed(SASL_HEADER + initial(mechanism) + AMQP_HEADER) == AMQP_HEADER
    assert exchange.done
    assert outcome(exchange) == 0


@pytest.mark.parametrize(
    ("response", "good"), [(b"\0me\0secret", True), (b"\0me\0wrong", False), (b"me secret", False)]
)
def test_a_password_is_checked(response: bytes, *, good: bool) -> None:
    exchange = sasl()
    if good:
        exchange.feed(SASL_HEADER + initial("PLAIN", response))
    else:
        with pytest.raises(SaslFailed, match="PLAIN"):
            exchange.feed(SASL_HEADER + initial("PLAIN", response))
    assert (exchange.done, outcome(exchange)) == (good, 0 if good else 1)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Password(user="me", password="secret"))


def test_another_mechanism_is_refused() -> None:
    exchange = sasl()
    with pytest.raises(SaslFailed, match="'SCRAM'"):
        exchange.feed(SASL_HEADER + initial("SCRAM"))
    assert outcome(exchange) == 3


def test_a_client_may_do_without() -> None:
    exchange = sasl()
    assert exchange.feed(AMQP_HEADER + b"rest") == AMQP_HEADER + b"rest"
    assert (exchange.done, exchange.outgoing) == (True, b"")


def test_what_is_no_amqp_is_told_what_is_spoken_here() -> None:
    exchange = sasl()
    with pytest.raises(SaslFailed, match="begin"):
        exchange.feed(b"GET / HTTP/1.1\r\n\r\n")
    assert exchange.outgoing == SASL_HEADER


@given(st.data())
def test_the_pieces_in_which_it_comes_make_no_difference(data: st.DataObject) -> None:
    exchange, rest = sasl(), SASL_HEADER + initial("PLAIN", b"\0me\0secret") + AMQP_HEADER
    left = b""
    while rest and not exchange.done:
        size = data.draw(st.integers(1, len(rest)))
        left += exchange.feed(rest[:size])
        rest = rest[size:]
    assert (exchange.done, left + rest) == (True, AMQP_HEADER)


@given(st.binary(max_size=200))
def test_noise_ends_in_a_refusal_or_waits_for_more(noise: bytes) -> None:
    exchange = sasl()
    try:
        exchange.feed(SASL_HEADER + noise)
    except SaslFailed:
        return
    assert not exchange.done or initial("ANONYMOUS")[8:11] in noise
