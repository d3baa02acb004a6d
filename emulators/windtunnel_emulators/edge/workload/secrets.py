"""What the workload API does with keys: signatures, encryption, and certificates of the device's own authority.

A device has an authority of its own, made at the first request for a certificate, as a device that was set up without
one by its owner has. Its key and the key of the encryption stay in the device's folder.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.files import private_folder, read_secret, write_secret

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from windtunnel_emulators.certificates import Certificate

_NONCE = 12


class CannotDecrypt(Exception):
    """What was to be decrypted was not encrypted so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate for a module."""

    chain: str
    key: str
    expires: datetime


class Secrets:
    """Of one device. ``folder`` is its own."""

    def __init__(self, folder: Path, ca_file: Path) -> None:
        """``ca_file`` is the authority that has signed the device's own server certificate."""
        self._folder = folder
        self._ca_file = ca_file
        self._authority: Certificate | None = None

    def trust_bundle(self, now: datetime) -> str:
        """What a module has to trust: who vouches for the device, and the device."""
        return self._ca_file.read_text("ascii").strip() + "\n" + self.authority(now).certificate.decode("ascii")

    def sign(self, key: str, data: bytes) -> str:
        """Base64 of the HMAC-SHA256 with a base64 key. Raises ``ValueError`` for a key that is none."""
        return base64.b64encode(hmac.digest(base64.b64decode(key, validate=True), data, hashlib.sha256)).decode()

    def encrypt(self, module: str, vector: bytes, plain: bytes) -> bytes:
        """Only the same module, with the same initialization vector, gets it back."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._key(module)).encrypt(nonce, plain, vector)

    def decrypt(self, module: str, vector: bytes, sealed: bytes) -> bytes:
        """Raises ``CannotDecrypt``."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key(module)).decrypt(sealed[:_NONCE], sealed[_NONCE:], vector)
        except (InvalidTag, ValueError) as problem:
            raise CannotDecrypt from problem

    def issue(self, name: str, *, now: datetime, identity: bool) -> Issued:
        """A certificate of the device's authority: a server's for a name or address, or a module's identity."""
        from windtunnel_emulators.edge.workload.issuing import issue

        return issue(self.authority(now), name, now=now, identity=identity)

    def authority(self, now: datetime) -> Certificate:
        """The device's own, made when there is none that lasts."""
        if self._authority is None or self._authority.ends <= now:
            from windtunnel_emulators.edge.workload.issuing import load, make_authority

            folder = private_folder(self._folder)
            certificate, key = read_secret(folder / "device-ca.pem"), read_secret(folder / "device-ca-key.pem")
            found = None if certificate is None or key is None else load(certificate, key)
            if found is None or found.ends <= now:
                found = make_authority(now)
                write_secret(folder / "device-ca-key.pem", found.key)
                write_secret(folder / "device-ca.pem", found.certificate)
            self._authority = found
        return self._authority

    def _key(self, module: str) -> bytes:
        """Of one module, derived from the device's."""
        file = private_folder(self._folder) / "encryption.key"
        key = read_secret(file)
        if key is None or len(key) != 32:
            key = os.urandom(32)
            write_secret(file, key)
        return hmac.digest(key, b"module " + module.encode(), hashlib.sha256)
