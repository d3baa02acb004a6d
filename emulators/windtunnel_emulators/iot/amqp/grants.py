"""What a connection has shown tokens for, and until when. Each link needs a grant as long as it is there."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.iot.amqp.addresses import path_of
from windtunnel_emulators.iot.amqp.errors import UNAUTHORIZED, AmqpRefusal
from windtunnel_emulators.iot.hub import tokens
from windtunnel_emulators.iot.hub.errors import HubError, unauthorized
from windtunnel_emulators.iot.hub.policies import SERVICE_CONNECT

if TYPE_CHECKING:
    from windtunnel_emulators.iot.amqp.sasl import Password
    from windtunnel_emulators.iot.hub.hub import Hub
    from windtunnel_emulators.iot.service.access import Access

NEEDED = SERVICE_CONNECT
"""The right that everything over AMQP needs."""
_SIGNED = "SharedAccessSignature"


class _Claims(msgspec.Struct):
    exp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """For a path and everything below it."""

    path: str
    rights: frozenset[str]
    expires: float | None
    """Seconds since 1970; None for a password, which does not end."""

    def covers(self, path: str) -> bool:
        """Whether it is for a path, which is in lower case."""
        return not self.path or path == self.path or path.startswith(f"{self.path}/")


class Grants:
    """Of one connection."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._access = access
        self._grants: dict[str, Grant] = {}

    def put(self, name: str, kind: str, token: str) -> None:
        """What a client sends to $cbs: a token for what is called ``name``. Raises ``HubError`` 401."""
        path = self._path(name)
        if token.startswith(_SIGNED):
            caller, expires = self._access.caller(token, path, event_hubs=True), _expiry(token)
        elif kind.lower() in ("jwt", "bearer"):
            plain = token.removeprefix("Bearer ")
            caller, expires = self._access.caller(f"Bearer {plain}", path), _jwt_expiry(plain)
        else:
            raise unauthorized(
                f"The token is of the type '{kind[:80]}'; shared access signatures and bearer tokens are known."
            )
        if NEEDED not in caller.rights:
            raise unauthorized(f"The token's policy has not the right {NEEDED}.")
        self._grants[path.lower()] = Grant(path=path.lower(), rights=caller.rights, expires=expires)

    def show(self, password: Password) -> bool:
        """A name and a password, of SASL's PLAIN: a policy's name with its key, or with a token of that policy."""
        name = password.user.partition("@")[0]
        expires: float | None = None
        if password.password.startswith(_SIGNED):
            try:
                signature = tokens.parse(password.password)
                path = tokens.split_audience(signature.audience)[1]
                rights = self._access.caller(password.password, path, event_hubs=True).rights
                expires = signature.expires()
            except (HubError, tokens.BadToken):
                return False
            if (signature.policy or "").lower() != name.lower():
                return False
        else:
            policy = self._hub.definition.policies.get(name)
            if policy is None or password.password not in policy.keys:
                return False
            path, rights = "", policy.rights
        if NEEDED not in rights:
            return False
        self._grants[path.lower()] = Grant(path=path.lower(), rights=rights, expires=expires)
        return True

    def _path(self, name: str) -> str:
        """What a token is for, below the host: clients write a URI, the host alone, or a path."""
        host, path = tokens.split_audience(name)
        is_host = "://" in name or (host in self._hub.definition.names and "." in host)
        return path if is_host else path_of(name)

    def check(self, path: str) -> None:
        """Raises ``AmqpRefusal`` unless there is a grant for a path now."""
        now = self._hub.clock.now().timestamp()
        covering = [grant for grant in self._grants.values() if grant.covers(path.lower())]
        if any(grant.expires is None or grant.expires > now for grant in covering):
            return
        if covering:
            raise AmqpRefusal(UNAUTHORIZED, "ExpiredToken: the token has expired. Send a new one to $cbs.")
        raise AmqpRefusal(
            UNAUTHORIZED,
            f"Unauthorized access. '{NEEDED}' claim(s) are required to perform this operation on '{path[:200]}'. Send a"
            " token for it to $cbs first.",
        )

    def check_any(self) -> None:
        """Raises ``AmqpRefusal`` unless there is a grant for anything now."""
        now = self._hub.clock.now().timestamp()
        if not any(grant.expires is None or grant.expires > now for grant in self._grants.values()):
            raise AmqpRefusal(
                UNAUTHORIZED, f"Unauthorized access. '{NEEDED}' claim(s) are required; send a token to $cbs."
            )


def _expiry(token: str) -> float:
    """Of a signature that was checked."""
    return tokens.parse(token).expires()


def _jwt_expiry(token: str) -> float:
    """Of a token that was checked."""
    payload = token.split(".")[1]
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims).exp
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError) as problem:
        raise unauthorized("The token tells no expiry.") from problem
