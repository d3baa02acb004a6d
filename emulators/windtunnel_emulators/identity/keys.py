"""The key that tokens are signed with: made on first use, readable by its owner only, published without its secret.

``cryptography`` is imported when the key is first needed, not before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from windtunnel_emulators.files import private_folder, read_secret, write_secret
from windtunnel_emulators.identity import jws

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    from windtunnel_emulators.jsontypes import JsonObject


class SigningKey:
    """An RSA key of 2048 bits and its id, which follows from its public part."""

    def __init__(self, private: RSAPrivateKey) -> None:
        """For a key that is there."""
        self.private: RSAPrivateKey = private
        self.public: RSAPublicKey = private.public_key()
        numbers = self.public.public_numbers()
        self._modulus = jws.encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8))
        self._exponent = jws.encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8))
        # RFC 7638: the thumbprint of a key is that of its required members, in order of their names.
        members = f'{{"e":"{self._exponent}","kty":"RSA","n":"{self._modulus}"}}'
        self.id: str = jws.encode(hashlib.sha256(members.encode()).digest())

    @classmethod
    def load_or_create(cls, folder: Path) -> SigningKey:
        """The folder's key; a new one when there is none or it cannot be read as one (its tokens are then refused)."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        path = folder / "signing-key.pem"
        content = read_secret(path)
        if content is not None:
            try:
                private = serialization.load_pem_private_key(content, password=None)
            except ValueError:
                private = None  # damaged
            if isinstance(private, rsa.RSAPrivateKey):
                return cls(private)
        new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private_folder(folder)
        write_secret(
            path,
            new.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        return cls(new)

    def published(self) -> JsonObject:
        """The public part as a JSON Web Key."""
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": self._modulus, "e": self._exponent}
