"""The last good deployment, kept encrypted in the device's folder: the device boots from it when its hub is away.

AES-GCM with a key of the folder's own (``backup.key``), as a deployment holds passwords of registries.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import read_secret, write_secret
from windtunnel_emulators.jsontypes import as_object

if TYPE_CHECKING:
    from pathlib import Path

    from windtunnel_emulators.jsontypes import Json, JsonObject

_NONCE = 12
_log = logging.getLogger(__name__)


class Backup:
    """Of one device."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "backup.json"
        self._key_file = folder / "backup.key"
        self._last: bytes | None = None

    def save(self, desired: JsonObject) -> None:
        """Keep desired properties; nothing is written when they are those that were kept last."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        content = msgspec.json.encode(desired)
        if content == self._last:
            return
        nonce = os.urandom(_NONCE)
        sealed = nonce + AESGCM(self._key()).encrypt(nonce, content, None)
        write_secret(self._file, msgspec.json.encode({"version": 1, "sealed": sealed}))
        self._last = content

    def load(self) -> JsonObject | None:
        """What was kept; None when there is nothing, or it cannot be read, which is logged."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        content = read_secret(self._file)
        if content is None:
            return None
        try:
            sealed = msgspec.json.decode(content, type=_Sealed).sealed
            plain = AESGCM(self._key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
            value: Json = msgspec.json.decode(plain)
        except (msgspec.DecodeError, InvalidTag, ValueError) as problem:
            _log.error("the deployment that was kept for times without a hub cannot be read: %s", problem or "damaged")
            return None
        self._last = plain
        return as_object(value)

    def _key(self) -> bytes:
        key = read_secret(self._key_file)
        if key is None or len(key) != 32:
            key = os.urandom(32)
            write_secret(self._key_file, key)
        return key


class _Sealed(msgspec.Struct):
    version: int
    sealed: bytes
