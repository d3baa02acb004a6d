"""Signed URLs, as Azure Storage's shared access signatures: a path, what may be done with it, and until when."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from windtunnel_emulators.files import private_folder, read_secret, write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from windtunnel_emulators.clock import Clock

VERSION = "2024-08-04"
_KEY_BYTES = 32


class Signer:
    """Makes and checks signed URLs; its key is kept, so that they outlive a restart."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._key: bytes | None = None

    def url(self, base: str, path: str, permissions: str, lifetime: timedelta) -> str:
        """``base`` and ``path`` with a signature that holds for ``lifetime``."""
        expiry = (self._clock.now() + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {"sv": VERSION, "sr": "b", "se": expiry, "sp": permissions}
        query["sig"] = self._sign(path, query)
        return f"{base}{quote(path)}?{urlencode(query)}"

    def allows(self, path: str, query: Mapping[str, str], permission: str) -> str | None:
        """None when the signature is ours, holds now and has the permission; otherwise why not, in a sentence."""
        if not hmac.compare_digest(query.get("sig", ""), self._sign(path, query)):
            return "Signature did not match."
        try:
            expiry = datetime.fromisoformat(query["se"])
        except (KeyError, ValueError):
            return "The expiry (se) is no time."
        if expiry <= self._clock.now():
            return f"Signature not valid in the specified time frame: it ended at {query['se']}."
        if permission not in query.get("sp", ""):
            return "The permission that is needed is not in the signature."
        return None

    def _sign(self, path: str, query: Mapping[str, str]) -> str:
        if self._key is None:
            file = self._folder / "url-key"
            self._key = read_secret(file)
            if self._key is None or len(self._key) != _KEY_BYTES:
                self._key = secrets.token_bytes(_KEY_BYTES)
                private_folder(self._folder)
                write_secret(file, self._key)
        text = "\n".join((path, *(query.get(name, "") for name in ("sv", "sr", "se", "sp"))))
        digest = hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.b64encode(digest).decode()
