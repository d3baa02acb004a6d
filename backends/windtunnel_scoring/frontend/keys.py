"""The two keys of a service: either opens it, compared in constant time.

They come from the environment and stay for the life of the process: on Azure Container Instances a regenerated key
means an updated container group. One key can be replaced while clients use the other.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

NO_KEY: Final = "no key"
WRONG_KEY: Final = "wrong key"


class Keys:
    """Keys as digests of one length, so that neither a key's length nor its beginning shows in the time taken."""

    def __init__(self, *keys: str) -> None:
        """Empty keys are no keys."""
        self._digests = tuple(_digest(key.encode()) for key in keys if key)

    def refusal(self, authorization: bytes | None) -> str | None:
        """Why a request with this ``Authorization`` header is refused; None when one of the keys is right."""
        scheme, _, credential = (authorization or b"").strip().partition(b" ")
        if scheme.lower() != b"bearer" or not credential.strip():
            return NO_KEY
        given = _digest(credential.strip())
        # Every key is compared, also after a match.
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return None if any(matches) else WRONG_KEY


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
