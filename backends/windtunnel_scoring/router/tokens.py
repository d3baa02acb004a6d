"""Tokens of a service: JSON Web Tokens (HS256) signed with the ``tokenKey`` of its Secret.

The adapter issues them (``POST .../token`` of Azure ML: ``accessToken, tokenType, refreshAfter, expiryOn``); the router
checks signature, service and expiry. A new ``tokenKey`` ends all tokens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final, cast

LIFETIME_S: Final = 12 * 3600
"""Azure ML's tokens held for some hours; clients ask for a new one at ``refresh_after``."""
_HEADER = b'{"alg":"HS256","typ":"JWT"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Times are seconds since 1970."""

    access_token: str = field(repr=False)
    refresh_after: int
    expiry_on: int
    token_type: str = "Bearer"  # noqa: S105 - a word of the protocol


def issue(key: str, service: str, now: float, lifetime_s: int = LIFETIME_S) -> Token:
    """A token for one service. Raises ``ValueError`` without a key, which would sign nothing."""
    if not key:
        raise ValueError(f"service {service!r} has no tokenKey")
    issued = int(now)
    claims = {"sub": service, "iat": issued, "nbf": issued, "exp": issued + lifetime_s}
    signed = _encode(_HEADER) + b"." + _encode(json.dumps(claims, separators=(",", ":")).encode())
    return Token(
        access_token=(signed + b"." + _encode(_sign(key, signed))).decode(),
        refresh_after=issued + lifetime_s // 2,
        expiry_on=issued + lifetime_s,
    )


def refusal(token: bytes, key: str, service: str, now: float) -> str | None:
    """Why a token is refused; None when it holds."""
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    if not key or not hmac.compare_digest(_encode(_sign(key, signed)), signature):
        return "wrong token"
    try:
        # Ours, since the signature is: only its content is looked at from here on.
        claims = cast("dict[str, object]", json.loads(_decode(payload)))
        algorithm = json.loads(_decode(header)).get("alg")
        expires = cast("int", claims["exp"])
    except (ValueError, KeyError, AttributeError):
        return "wrong token"
    if algorithm != "HS256" or claims.get("sub") != service:
        return "token of another service"
    return "expired token" if now >= expires else None


def _sign(key: str, signed: bytes) -> bytes:
    return hmac.new(key.encode(), signed, hashlib.sha256).digest()


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decode(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))
