"""Checking a chain of certificates; imported only when a device of an authority's connects.

As IoT Hub does: the common name is the device's id, every certificate is in time and signed by the next, and the last
is signed by an authority that the hub trusts, or is one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence


def chain_problem(certificates: Sequence[bytes], trusted: Sequence[bytes], device: str, now: float) -> str | None:
    """Why a chain does not hold; None when it does."""
    try:
        chain = [x509.load_der_x509_certificate(one) for one in certificates]
    except ValueError:
        return "a certificate that was shown cannot be read"
    names = [str(one.value) for one in chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if device not in names:
        return f"the certificate is for {', '.join(names)[:200] or 'nobody'} and not for '{device}'"
    moment = datetime.fromtimestamp(now, UTC)
    authorities = [_load(one) for one in trusted]
    current = chain[0]
    for following in (*chain[1:], None):
        if not current.not_valid_before_utc <= moment <= current.not_valid_after_utc:
            return f"the certificate of {current.subject.rfc4514_string()[:200]} is not valid now"
        if any(_signed(current, authority) for authority in authorities):
            return None
        if following is None or not _signed(current, following):
            break
        current = following
    return "the certificate is not signed by an authority that this hub has verified"


def _load(certificate: bytes) -> x509.Certificate:
    if certificate.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(certificate)
    return x509.load_der_x509_certificate(certificate)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Directly, by something that may sign certificates."""
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    if not constraints.ca:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
