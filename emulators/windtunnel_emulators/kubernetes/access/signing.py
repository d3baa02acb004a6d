"""Tokens signed with the cluster's key (ES256, RFC 7515), and the documents by which others check them.

``cryptography`` is imported when the key is first used.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.identity import jws

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

    from windtunnel_emulators.jsontypes import JsonObject

_ALGORITHM = "ES256"
_HALF = 32
_LONGEST = 64 * 1024


class NotSigned(Exception):
    """A token that the key did not sign."""


class Signer:
    """The key of one cluster's service accounts, given as PEM."""

    def __init__(self, pem: str) -> None:
        self._pem = pem
        self._loaded: tuple[EllipticCurvePrivateKey, EllipticCurvePublicKey] | None = None
        self._key_id = ""

    def _keys(self) -> tuple[EllipticCurvePrivateKey, EllipticCurvePublicKey]:
        if self._loaded is None:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ec

            private = serialization.load_pem_private_key(self._pem.encode("ascii"), password=None)
            if not isinstance(private, ec.EllipticCurvePrivateKey):
                raise ValueError("the key of the service accounts is not an elliptic-curve key")
            self._loaded = (private, private.public_key())
        return self._loaded

    @property
    def key_id(self) -> str:
        """As kube-apiserver names keys: the hash of the public key in DER."""
        if not self._key_id:
            from cryptography.hazmat.primitives import serialization

            der = self._keys()[1].public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            self._key_id = jws.encode(hashlib.sha256(der).digest())
        return self._key_id

    def sign(self, claims: JsonObject) -> str:
        """The claims as a token."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        header = {"alg": _ALGORITHM, "kid": self.key_id}
        content = f"{jws.encode(msgspec.json.encode(header))}.{jws.encode(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._keys()[0].sign(content.encode("ascii"), ec.ECDSA(hashes.SHA256())))
        return f"{content}.{jws.encode(r.to_bytes(_HALF) + s.to_bytes(_HALF))}"

    def verify(self, token: str) -> JsonObject:
        """The claims of a token that this key signed; what they mean is the caller's to check. Raises ``NotSigned``."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if len(token) > _LONGEST:
            raise NotSigned
        try:
            header, claims, signature = jws.parts(token)
        except jws.NotSigned as problem:
            raise NotSigned from problem
        if header.get("alg") != _ALGORITHM or header.get("kid") != self.key_id or "crit" in header:
            raise NotSigned
        if len(signature) != 2 * _HALF:
            raise NotSigned
        dss = encode_dss_signature(int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:]))
        try:
            self._keys()[1].verify(dss, token.rpartition(".")[0].encode("ascii"), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as problem:
            raise NotSigned from problem
        return claims

    def published(self) -> JsonObject:
        """The public key as a JSON Web Key Set."""
        numbers = self._keys()[1].public_numbers()
        key: JsonObject = {
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": _ALGORITHM,
            "x": jws.encode(numbers.x.to_bytes(_HALF)),
            "y": jws.encode(numbers.y.to_bytes(_HALF)),
        }
        return {"keys": [key]}
