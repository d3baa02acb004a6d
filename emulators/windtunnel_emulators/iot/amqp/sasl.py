"""The SASL layer of a connection, answered by ourselves: ``azure-iot-hub`` wants MSSBCBS, which Proton does not know.

One exchange is enough for all mechanisms that Azure offers: the client names one with its first answer, and is told
the outcome. After it the connection begins anew with AMQP, which is Proton's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.iot.amqp.encoding import (
    AMQP_HEADER,
    FRAME_HEAD,
    PROTOCOL_HEAD,
    SASL_HEADER,
    BadEncoding,
    described,
    descriptor_at,
    fields_at,
    frame,
    octets,
    symbols,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ANONYMOUS, PLAIN, CBS, EXTERNAL = "ANONYMOUS", "PLAIN", "MSSBCBS", "EXTERNAL"
MECHANISMS = (CBS, PLAIN, ANONYMOUS, EXTERNAL)
"""As Azure offers them. All but PLAIN leave it to $cbs to show who the client is."""
_SASL = 1
_MECHANISMS, _INIT, _OUTCOME = 0x40, 0x41, 0x44
_OK, _AUTH, _SYS_PERM = 0, 1, 3
_LONGEST = 16 * 1024


class SaslFailed(Exception):
    """The connection has to end; the message says why, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """What a client shows with PLAIN."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Password(user={self.user!r})"


class Sasl:
    """The server's side of one exchange. ``outgoing`` is what has to be sent, and is emptied by who sends it."""

    def __init__(self, check: Callable[[Password], bool]) -> None:
        """``check`` says whether a name and a password are good."""
        self._check = check
        self._rest = bytearray()
        self._offered = False
        self.done = False
        """The exchange is over, and well; what follows is AMQP."""
        self.outgoing = b""

    def feed(self, data: bytes) -> bytes:
        """Bytes of the peer; returns those behind the exchange. Raises ``SaslFailed``; send ``outgoing`` even then."""
        self._rest += data
        if not self._offered and not self._begin():
            return b""
        if self.done:
            return self._left()
        if len(self._rest) < FRAME_HEAD:
            return b""
        size = int.from_bytes(self._rest[:4], "big")
        if not FRAME_HEAD <= size <= _LONGEST:
            raise SaslFailed(f"a SASL frame of {size} bytes")
        if len(self._rest) < size:
            return b""
        whole = bytes(self._rest[:size])
        del self._rest[:size]
        self._answer(whole)
        return self._left()

    def _begin(self) -> bool:
        if len(self._rest) < PROTOCOL_HEAD:
            return False
        head = bytes(self._rest[:PROTOCOL_HEAD])
        if head == AMQP_HEADER:
            # A client may do without SASL; it shows who it is at $cbs, like an anonymous one.
            self._offered = self.done = True
            return True
        self.outgoing += SASL_HEADER
        if head != SASL_HEADER:
            raise SaslFailed("it does not begin as AMQP 1.0 does")
        del self._rest[:PROTOCOL_HEAD]
        self._offered = True
        self.outgoing += frame(_SASL, described(_MECHANISMS, [symbols(MECHANISMS)]))
        return True

    def _answer(self, whole: bytes) -> None:
        try:
            if whole[5] != _SASL:
                raise BadEncoding("a frame of AMQP came before SASL was over")
            code, at = descriptor_at(whole, whole[4] * 4)
            if code != _INIT:
                raise BadEncoding(f"0x{code:x} came in place of a mechanism")
            fields, _ = fields_at(whole, at)
            mechanism = octets(fields[0]).decode("ascii") if fields else ""
            response = octets(fields[1]) if len(fields) > 1 else b""
        except (BadEncoding, UnicodeDecodeError) as problem:
            raise SaslFailed(f"SASL: {problem}") from None
        if mechanism not in MECHANISMS:
            self._end(_SYS_PERM)
            raise SaslFailed(f"the SASL mechanism {mechanism[:40]!r} is none of {', '.join(MECHANISMS)}")
        if mechanism == PLAIN:
            shown = _password(response)
            if shown is None or not self._check(shown):
                self._end(_AUTH)
                raise SaslFailed("the user name and password of PLAIN are refused")
        self._end(_OK)
        self.done = True

    def _end(self, code: int) -> None:
        self.outgoing += frame(_SASL, described(_OUTCOME, [bytes((0x50, code)), b"\x40"]))

    def _left(self) -> bytes:
        left = bytes(self._rest)
        self._rest.clear()
        return left


def _password(response: bytes) -> Password | None:
    parts = response.split(b"\0")
    if len(parts) != 3:  # RFC 4616: for whom, who, and the password
        return None
    try:
        return Password(user=parts[1].decode(), password=parts[2].decode())
    except UnicodeDecodeError:
        return None
