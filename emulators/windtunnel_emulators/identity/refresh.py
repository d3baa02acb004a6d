"""Refresh tokens: kept as hashes, replaced at each use, taken back all at once.

A token that was replaced stays good for a few minutes: the processes of one user share a token cache, and two of them
may well use the same token at the same moment (``az`` run twice in parallel does).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Final

from windtunnel_emulators.identity import errors

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.store import Store

MIGRATIONS = (
    """
    CREATE TABLE refresh_tokens (
        digest TEXT PRIMARY KEY, object_id TEXT NOT NULL, client_id TEXT NOT NULL,
        expires REAL NOT NULL, retired REAL
    );
    """,
)

_LIFETIME: Final = 90 * 24 * 3600
_GRACE: Final = 300


class RefreshTokens:
    """The refresh tokens of one tenant."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Defines its table."""
        store.define("identity.refresh", MIGRATIONS)
        self._store = store
        self._clock = clock

    def issue(self, object_id: str, client_id: str) -> str:
        """A new one; those that ended are forgotten."""
        token = f"1.{secrets.token_urlsafe(48)}"
        now = self._now()
        with self._store.transaction():
            self._store.execute("DELETE FROM refresh_tokens WHERE expires < ?", (now - _LIFETIME,))
            self._store.execute(
                "INSERT INTO refresh_tokens VALUES (?, ?, ?, ?, NULL)",
                (_digest(token), object_id, client_id.lower(), now + _LIFETIME),
            )
        return token

    def redeem(self, token: str, client_id: str) -> tuple[str, str]:
        """Whose it is, and its successor. Raises ``TokenError``."""
        digest, now = _digest(token), self._now()
        row = self._store.row(
            "SELECT object_id, expires, retired FROM refresh_tokens WHERE digest = ? AND client_id = ?",
            (digest, client_id.lower()),
        )
        if row is None:
            raise errors.bad_refresh_token()
        object_id, expires, retired = str(row[0]), float(row[1] or 0), row[2]
        if expires <= now:
            raise errors.expired_refresh_token()
        if retired is not None and float(retired) + _GRACE <= now:
            raise errors.revoked_refresh_token()
        with self._store.transaction():
            self._store.execute(
                "UPDATE refresh_tokens SET retired = ? WHERE digest = ? AND retired IS NULL", (now, digest)
            )
            return object_id, self.issue(object_id, client_id)

    def revoke_all(self) -> int:
        """Sign everybody out: no token issued until now is good any more. Says how many that were."""
        return self._store.execute(
            "UPDATE refresh_tokens SET retired = 0 WHERE expires > ? AND (retired IS NULL OR retired > 0)",
            (self._now(),),
        )

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _digest(token: str) -> str:
    # A random token of 384 bits needs no salt and no slow hash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
