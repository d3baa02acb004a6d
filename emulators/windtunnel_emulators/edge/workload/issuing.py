"""Making a device's own authority, and certificates for its modules; imported only when one has to be made."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from windtunnel_emulators.certificates import Certificate, key_usage, paired
from windtunnel_emulators.edge.workload.secrets import Issued

_AUTHORITY_LIFE = timedelta(days=365)
_LIFE = timedelta(days=90)
"""What IoT Edge gives module certificates by default."""
_EARLIER = timedelta(hours=1)


def make_authority(now: datetime) -> Certificate:
    """A new one. It signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Windtunnel edge device {now:%Y-%m-%d %H:%M:%S}")])
    ends = now + _AUTHORITY_LIFE
    certificate = (
        _builder(name, name, key.public_key(), now, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return paired(certificate, key)


def load(certificate: bytes, key: bytes) -> Certificate | None:
    """A pair that was made before; None when it cannot be read."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
        serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError):
        return None
    return Certificate(certificate=certificate, key=key, ends=found.not_valid_after_utc)


def issue(authority: Certificate, name: str, *, now: datetime, identity: bool) -> Issued:
    """``identity`` is for clients, else for a server of that name or address."""
    signer = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + _LIFE, authority.ends)
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if identity else ExtendedKeyUsageOID.SERVER_AUTH
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]), issuer.subject, key.public_key(), now, ends
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    alternative = _alternative(name)
    if alternative is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    pair = paired(certificate, key)
    chain = pair.certificate + authority.certificate
    return Issued(chain=chain.decode("ascii"), key=pair.key.decode("ascii"), expires=ends)


def _alternative(name: str) -> x509.GeneralName | None:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name) if name.isascii() and name and not name.startswith("%") else None


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
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
