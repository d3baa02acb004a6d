"""Signed tokens in the compact form of RFC 7515, with RS256 and nothing else.

Written on ``cryptography`` alone: PyJWT imports three times as much for algorithms that are not used here, on the first
login of every start. The tests check what is made and what is refused here with PyJWT.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    from windtunnel_emulators.jsontypes import Json, JsonObject

_PART: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST: Final = 16 * 1024


class NotSigned(Exception):
    """A token that is malformed, or that the key did not sign; the message goes on after "the token"."""


def sign(claims: JsonObject, key: RSAPrivateKey, key_id: str) -> str:
    """The claims as a signed token."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    header = {"alg": "RS256", "typ": "JWT", "kid": key_id}
    content = f"{encode(msgspec.json.encode(header))}.{encode(msgspec.json.encode(claims))}"
    return f"{content}.{encode(key.sign(content.encode('ascii'), PKCS1v15(), SHA256()))}"


def verify(token: str, key: RSAPublicKey, key_id: str) -> JsonObject:
    """The claims of a token that the key signed; their meaning is the caller's to check. Raises ``NotSigned``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    header, claims, signature = parts(token)
    if header.get("kid") != key_id:
        raise NotSigned("was not signed by these emulators (but by Azure, or by emulators with another state folder)")
    # The algorithm is ours to say, never the token's; extensions that must be understood (crit) are not.
    if header.get("alg") != "RS256" or "crit" in header:
        raise NotSigned("is not signed with RS256")
    try:
        key.verify(signature, token.rpartition(".")[0].encode("ascii"), PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise NotSigned("has a signature that does not fit") from error
    return claims


def claimed(token: str) -> JsonObject:
    """What a token says, unchecked, for sentences only. Raises ``NotSigned`` when it is malformed."""
    return parts(token)[1]


def encode(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def parts(token: str) -> tuple[JsonObject, JsonObject, bytes]:
    """Header, claims and signature of a token, unchecked. Raises ``NotSigned`` when it is malformed."""
    if len(token) > _LONGEST:
        raise NotSigned("is too long")
    found = token.split(".")
    if len(found) != 3:
        raise NotSigned("is no JSON Web Token")
    try:
        header, claims, signature = (_decode(part) for part in found)
        return _object(header), _object(claims), signature
    except (ValueError, RecursionError) as error:
        raise NotSigned("is no JSON Web Token") from error


def _decode(part: str) -> bytes:
    if not _PART.fullmatch(part):
        raise ValueError("not base64 for URLs")
    data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    # The last character may have bits to spare: a token has one spelling, so that every change of it is noticed.
    if encode(data) != part:
        raise ValueError("bits to spare that are not zero")
    return data


def _object(data: bytes) -> JsonObject:
    value: Json = msgspec.json.decode(data)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
