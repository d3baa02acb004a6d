"""Shared access signatures, as devices, modules and services write them.

``SharedAccessSignature sr={resource}&sig={signature}&se={expiry}[&skn={policy}]``, the fields in any order. Clients
quote the resource differently (wire-iot, trap 23), and the signature is over what they wrote: the text stays as it
came until the signature is checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import quote, unquote

_PREFIX = "SharedAccessSignature"
_LONGEST = 4096


class BadToken(Exception):
    """It is no shared access signature, or does not hold; the message goes on after "the token"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A token that was taken apart and not checked."""

    resource: str
    """As it was written, which is what is signed."""
    expiry: str
    signature: bytes
    policy: str | None

    @property
    def audience(self) -> str:
        """The resource, plainly."""
        return unquote(self.resource)

    def expires(self) -> float:
        """Seconds since 1970. Raises ``BadToken``."""
        try:
            return float(int(self.expiry))
        except ValueError:
            raise BadToken("has an expiry that is no number of seconds") from None

    def is_signed_with(self, key: str) -> bool:
        """Whether the signature is that of a base64 key."""
        try:
            secret = base64.b64decode(key)
        except (binascii.Error, ValueError):
            return False
        return self._is_signed(secret)

    def is_signed_with_text(self, key: str) -> bool:
        """Whether the signature is that of a key's text itself, as Event Hubs' clients sign."""
        return self._is_signed(key.encode())

    def _is_signed(self, secret: bytes) -> bool:
        digest = hmac.digest(secret, f"{self.resource}\n{self.expiry}".encode(), hashlib.sha256)
        return hmac.compare_digest(digest, self.signature)


def parse(text: str) -> Signature:
    """Raises ``BadToken``."""
    prefix, _, rest = text.strip().partition(" ")
    if prefix != _PREFIX or len(text) > _LONGEST:
        raise BadToken("is no shared access signature")
    fields: dict[str, str] = {}
    for part in rest.strip().split("&"):
        name, _, value = part.partition("=")
        fields.setdefault(name, value)
    for name in ("sr", "sig", "se"):
        if not fields.get(name):
            raise BadToken(f"has no {name}")
    try:
        signature = base64.b64decode(unquote(fields["sig"]), validate=True)
    except (binascii.Error, ValueError):
        raise BadToken("has a signature that is not base64") from None
    return Signature(
        resource=fields["sr"],
        expiry=fields["se"],
        signature=signature,
        policy=unquote(fields["skn"]) if fields.get("skn") else None,
    )


def make(resource: str, key: str, expires: float) -> str:
    """A token of a device or module, as Microsoft's clients write it. Raises ``ValueError`` for no base64 key."""
    audience, expiry = quote(resource, safe=""), int(expires)
    digest = hmac.digest(base64.b64decode(key), f"{audience}\n{expiry}".encode(), hashlib.sha256)
    return f"{_PREFIX} sr={audience}&sig={quote(base64.b64encode(digest), safe='')}&se={expiry}"


def split_audience(audience: str) -> tuple[str, str]:
    """The host in lower case, without a port, and the path without slashes around it."""
    plain = audience.partition("://")[2] or audience
    host, _, path = plain.partition("/")
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower(), path.strip("/")
