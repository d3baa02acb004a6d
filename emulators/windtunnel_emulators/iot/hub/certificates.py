"""Certificates that devices show: thumbprints, and chains to an authority that the hub trusts.

TLS takes any certificate (``peers``); whether it is the device's is found out here.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DEEPEST = 8


class Chains:
    """The authorities of one hub."""

    def __init__(self, trusted: Callable[[], Sequence[bytes]]) -> None:
        """``trusted`` tells the verified authorities of the hub as they are now, in PEM or DER."""
        self._trusted = trusted

    def has_thumbprint(self, certificate: bytes, allowed: Sequence[str]) -> bool:
        """``allowed`` are SHA-1 or SHA-256, hexadecimal in capitals; empty ones count for nothing."""
        shown = (
            hashlib.sha1(certificate, usedforsecurity=False).hexdigest().upper(),
            hashlib.sha256(certificate).hexdigest().upper(),
        )
        return any(hmac.compare_digest(one, known) for known in filter(None, allowed) for one in shown)

    def problem(self, certificates: Sequence[bytes], device: str, now: float) -> str | None:
        """Why a chain, the device's own certificate first, is not that of a device; None when it is."""
        from windtunnel_emulators.iot.hub.chains import chain_problem

        return chain_problem(certificates[:_DEEPEST], self._trusted(), device, now)
