"""The device code flow (RFC 8628): a program shows a code, a person enters it on a page, the program gets tokens."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.identity import errors

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.store import Store

MIGRATIONS = (
    """
    CREATE TABLE device_codes (
        digest TEXT PRIMARY KEY, user_code TEXT NOT NULL UNIQUE, client_id TEXT NOT NULL, scope TEXT NOT NULL,
        resource TEXT NOT NULL, decision TEXT, expires REAL NOT NULL, interval INTEGER NOT NULL, polled REAL
    );
    """,
)

LIFETIME: Final = 900
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels and no digits: no words, and nothing to mistake (RFC 8628, 6.1)."""
_LENGTH: Final = 9
_TOO_FAST: Final = 0.5
"""Of the interval: clients count from the answer and the server from the request, so a little less is no offence."""
_SLOWER: Final = 5
"""Seconds that RFC 8628 (3.5) adds to the interval of a client that polls too fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """What a program is told."""

    device_code: str
    user_code: str
    interval: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What a person said yes to."""

    client_id: str
    scope: str
    """As the program asked for it at the v2.0 endpoint, or empty."""
    resource: str
    """As the program asked for it at the v1.0 endpoint, or empty."""


class DeviceCodes:
    """The codes that are waiting for a person, or for their program."""

    def __init__(self, store: Store, clock: Clock, *, interval: int) -> None:
        """Defines its table. ``interval`` is what programs are told to wait between polls, in seconds."""
        store.define("identity.device", MIGRATIONS)
        self._store = store
        self._clock = clock
        self._interval = interval

    def issue(self, *, client_id: str, scope: str, resource: str) -> DeviceCode:
        """A new pair of codes; those that ended a while ago are forgotten."""
        device_code = secrets.token_urlsafe(32)
        user_code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        now = self._now()
        with self._store.transaction():
            self._store.execute("DELETE FROM device_codes WHERE expires < ?", (now - LIFETIME,))
            self._store.execute(
                "INSERT INTO device_codes VALUES (?, ?, ?, ?, ?, NULL, ?, ?, NULL)",
                (_digest(device_code), user_code, client_id, scope, resource, now + LIFETIME, self._interval),
            )
        return DeviceCode(device_code=device_code, user_code=user_code, interval=self._interval)

    def waiting(self, user_code: str) -> str | None:
        """The client id of the program that shows this code and waits for a decision; None when none does."""
        row = self._store.row(
            "SELECT client_id FROM device_codes WHERE user_code = ? AND decision IS NULL AND expires > ?",
            (_typed(user_code), self._now()),
        )
        return None if row is None else str(row[0])

    def decide(self, user_code: str, *, approved: bool) -> str | None:
        """Keep the person's decision and return the program's client id; None when nothing waits for that code."""
        client_id = self.waiting(user_code)
        if client_id is not None:
            self._store.execute(
                "UPDATE device_codes SET decision = ? WHERE user_code = ?",
                ("approved" if approved else "declined", _typed(user_code)),
            )
        return client_id

    def redeem(self, device_code: str, client_id: str) -> Approval:
        """What was approved, once. Raises ``TokenError``, as a rule that the person has not decided yet."""
        digest, now = _digest(device_code), self._now()
        row = self._store.row(
            "SELECT client_id, scope, resource, decision, expires, interval, polled FROM device_codes WHERE digest = ?",
            (digest,),
        )
        if row is None or str(row[0]).lower() != client_id.lower():
            raise errors.bad_code()
        decision, expires, interval, polled = row[3], float(row[4] or 0), int(row[5] or 0), row[6]
        if expires <= now:
            raise errors.expired_code()
        if decision == "declined":
            raise errors.declined()
        if decision == "approved":
            self._store.execute("DELETE FROM device_codes WHERE digest = ?", (digest,))
            return Approval(client_id=str(row[0]), scope=str(row[1]), resource=str(row[2]))
        too_fast = polled is not None and now - float(polled) < interval * _TOO_FAST
        if too_fast:
            interval += _SLOWER
        self._store.execute(
            "UPDATE device_codes SET polled = ?, interval = ? WHERE digest = ?", (now, interval, digest)
        )
        raise errors.slow_down(interval) if too_fast else errors.authorization_pending()

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _typed(user_code: str) -> str:
    """As people type it: in any case, with spaces and dashes."""
    return "".join(character for character in user_code.upper() if character.isalnum())


def _digest(device_code: str) -> str:
    return hashlib.sha256(device_code.encode("utf-8", "surrogatepass")).hexdigest()
