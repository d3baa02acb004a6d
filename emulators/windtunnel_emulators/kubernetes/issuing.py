"""Making the keys and certificates of a cluster; imported only when one has to be made, as ``cryptography`` is slow.

All keys are elliptic-curve keys (P-256): one costs a fraction of a millisecond, an RSA key a tenth of a second.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_EARLIER = timedelta(hours=1)
"""Certificates begin a little in the past: clocks of virtual machines differ."""
_AUTHORITY_LIFE = timedelta(days=30 * 365)
"""What AKS gives its clusters' authorities."""

Pem = tuple[str, str]
"""Certificate and key."""


def new_key() -> str:
    """A key of its own, as PEM."""
    return _text(ec.generate_private_key(ec.SECP256R1()))


def public_key(key: str) -> str:
    """The public half of a key, as PEM."""
    return (
        _loaded(key)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode("ascii")
    )


def authority(common_name: str, *, now: datetime) -> Pem:
    """A new authority for the certificates of one cluster."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _begun(name, name, key.public_key(), now=now, ends=now + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _certificate(certificate), _text(key)


def leaf(
    signer: Pem,
    *,
    now: datetime,
    life: timedelta,
    common_name: str,
    organizations: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    addresses: tuple[str, ...] = (),
    server: bool = False,
    client: bool = False,
) -> Pem:
    """A key and its certificate: for a server of ``names`` and ``addresses``, for a client, or for both."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in organizations]
        + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    )
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if server else []
    usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if client else []
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
    extensions: list[x509.ExtensionType] = [x509.ExtendedKeyUsage(usages)]
    if alternatives:
        extensions.append(x509.SubjectAlternativeName(alternatives))
    return _certificate(_signed(signer, subject, key.public_key(), extensions, now=now, life=life)), _text(key)


def from_request(signer: Pem, request: bytes, *, now: datetime, life: timedelta, usages: tuple[str, ...]) -> str:
    """The certificate that a request (PEM or DER) asks for, with the extended usages given by their Kubernetes names.

    Raises ``ValueError`` for a request that cannot be read or whose signature does not hold.
    """
    load = x509.load_pem_x509_csr if request.lstrip().startswith(b"-----") else x509.load_der_x509_csr
    asked = load(request)
    if not asked.is_signature_valid:
        raise ValueError("the signature of the certificate request does not hold")
    key = asked.public_key()
    extended = [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]
    extensions: list[x509.ExtensionType] = [x509.ExtendedKeyUsage(extended)] if extended else []
    with contextlib.suppress(x509.ExtensionNotFound):  # a client has no names but its subject
        extensions.append(asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    return _certificate(_signed(signer, asked.subject, key, extensions, now=now, life=life))


_EXTENDED = {"server auth": ExtendedKeyUsageOID.SERVER_AUTH, "client auth": ExtendedKeyUsageOID.CLIENT_AUTH}
"""What CertificateSigningRequest calls them."""


def _signed(
    signer: Pem,
    subject: x509.Name,
    key: object,
    extensions: list[x509.ExtensionType],
    *,
    now: datetime,
    life: timedelta,
) -> x509.Certificate:
    issuer = x509.load_pem_x509_certificate(signer[0].encode("ascii"))
    ends = min(now + life, issuer.not_valid_after_utc)
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = _begun(subject, issuer.subject, key, now=now, ends=ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(_loaded(signer[1]), hashes.SHA256())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: object, *, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise ValueError("only elliptic-curve, RSA and Ed25519 keys are signed")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _loaded(key: str) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(key.encode("ascii"), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not an elliptic-curve key")
    return loaded


def _certificate(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _text(key: ec.EllipticCurvePrivateKey) -> str:
    # Traditional form ("EC PRIVATE KEY"): what kube-apiserver's service-account key files must be.
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode("ascii")
