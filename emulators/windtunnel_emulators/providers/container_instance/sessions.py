"""Permissions to open one WebSocket: an id in its address and a password, good for one use and a short time."""

from __future__ import annotations

import hmac
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock

LIFETIME_S = 60.0
_PASSWORD_BYTES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a WebSocket will be connected to."""

    id: str
    password: str
    uid: str
    """The deployment."""
    container: str
    command: tuple[str, ...] | None
    """What to run; None to follow the container's own output."""
    terminal: tuple[int, int] | None
    """Rows and columns."""
    expires: float

    def opens_with(self, password: str) -> bool:
        """Whether this is the password, compared in constant time."""
        return hmac.compare_digest(self.password.encode(), password.encode("utf-8", "replace"))


class Sessions:
    """The sessions that nobody has used yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Session] = {}

    def make(
        self, uid: str, container: str, command: tuple[str, ...] | None, terminal: tuple[int, int] | None
    ) -> Session:
        """A new session; those that have expired are forgotten."""
        now = self._clock.monotonic()
        self._open = {key: session for key, session in self._open.items() if session.expires > now}
        session = Session(
            id=str(uuid.uuid4()),
            password=secrets.token_urlsafe(_PASSWORD_BYTES),
            uid=uid,
            container=container,
            command=command,
            terminal=terminal,
            expires=now + LIFETIME_S,
        )
        self._open[session.id] = session
        return session

    def take(self, id: str) -> Session | None:
        """The session, which cannot be taken again; None for one that is unknown, used or too old."""
        session = self._open.pop(id.lower(), None)
        return session if session is not None and session.expires > self._clock.monotonic() else None

    def forget(self, uid: str) -> None:
        """A deployment is gone."""
        self._open = {key: session for key, session in self._open.items() if session.uid != uid}
