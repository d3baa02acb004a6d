"""Making the local authority and its server certificate; imported only when one has to be made.

Rules of RFC 5280 that clients check (Python 3.13 and newer by default, as ``VERIFY_X509_STRICT``): the authority has
critical basicConstraints and keyUsage and a subject key identifier, the server's certificate names the authority's key
identifier. The authority may only vouch for this machine and for the Azure names that are emulated (nameConstraints),
so whoever trusts it for a shell trusts it for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY_LIFE = timedelta(days=3650)
_SERVER_LIFE = timedelta(days=820)
"""Apple's clients accept at most 825 days, from authorities that a user added too."""
_EARLIER = timedelta(hours=1)
"""Certificates begin a little in the past: clocks of virtual machines differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key, as PEM, and when it ends."""

    certificate: bytes
    key: bytes
    ends: datetime


def make_authority(*, now: datetime, domains: tuple[str, ...]) -> Certificate:
    """A new authority that may vouch for loopback addresses and for ``domains`` with everything below them."""
    key = ec.generate_private_key(ec.SECP256R1())
    ends = now + _AUTHORITY_LIFE
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Windtunnel"),
            # Two authorities of one name confuse clients that were told to trust both.
            x509.NameAttribute(NameOID.COMMON_NAME, f"Windtunnel local authority {now:%Y-%m-%d %H:%M:%S}"),
        ]
    )
    permitted: list[x509.GeneralName] = [x509.DNSName(domain) for domain in domains]
    permitted += [x509.IPAddress(IPv4Network("127.0.0.0/8")), x509.IPAddress(IPv6Network("::1/128"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return paired(certificate, key)


def make_server(
    authority: Certificate,
    *,
    now: datetime,
    names: tuple[str, ...],
    addresses: tuple[str, ...] = ("127.0.0.1", "::1"),
) -> Certificate:
    """A server's certificate for ``addresses`` and ``names``, signed by the authority; ends before it does."""
    signer = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(min(now + _SERVER_LIFE, authority.ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return paired(certificate, key)


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Of an authority, or of whom a certificate authenticates."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def paired(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
    """A certificate and its key, as files have them."""
    return Certificate(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        ends=certificate.not_valid_after_utc,
    )
