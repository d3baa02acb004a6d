"""Certificates of authorities whose devices a hub lets in, once it is proven that their key is there."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Change, Removal, Reply, Resource
from windtunnel_emulators.jsontypes import JsonObject, as_object, as_str

from .times import etag, rfc1123

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, View

    from .service import IotHubs

TYPE = "Microsoft.Devices/IotHubs/certificates"
_CODE = "code"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MOST = 25


def put(call: Call, existing: Resource | None, service: IotHubs) -> Change:
    """Another certificate of the same name has to be verified anew."""
    assert call.id is not None
    if not _NAME.fullmatch(call.id.name):
        raise _bad(f"The certificate name '{call.id.name[:80]}' has other characters than letters, digits, . _ and -.")
    _check_etag(call, existing)
    parent = call.id.parent
    if existing is None and parent is not None and service.world.resources.count(TYPE, parent=parent) >= _MOST:
        raise ArmError(409, "CertificateLimitReached", f"A hub has at most {_MOST} certificates.")
    asked = as_object(as_object(call.body).get("properties"))
    facts = _read(as_str(asked.get("certificate")))
    same = existing is not None and existing.properties["thumbprint"] == facts["thumbprint"]
    verified = asked.get("isVerified") is True or bool(same and existing and existing.properties["isVerified"])
    now = rfc1123(call.now)
    resource = Resource(
        id=call.id,
        location=None,
        tags=None,
        properties={
            **facts,
            "isVerified": verified,
            "created": existing.properties["created"] if existing else now,
            "updated": now,
        },
        secrets=existing.secrets if existing and same else {},
        etag=existing.etag if existing else "",
    )
    return Change(resource=resource, status=200 if existing else 201)


def delete(call: Call, existing: Resource, _: IotHubs) -> Removal:
    _check_etag(call, existing)
    return Removal(status=200)


def view(resource: Resource, _: IotHubs, __: View) -> JsonObject:
    return {"etag": etag(resource.etag), "properties": resource.properties}


async def generate_code(call: Call, certificate: Resource | None, service: IotHubs) -> Reply:
    """``generateVerificationCode``: the common name of a certificate that proves possession."""
    assert certificate is not None
    _check_etag(call, certificate)
    code = secrets.token_hex(24).upper()
    changed = replace(certificate, secrets={_CODE: code})
    body = _shown(changed, service)
    body["properties"] = {**certificate.properties, "verificationCode": code}
    return Reply(status=200, body=body, resource=changed)


async def verify(call: Call, certificate: Resource | None, service: IotHubs) -> Reply:
    """``verify``: with a certificate whose common name is the code, signed by the authority."""
    assert certificate is not None
    _check_etag(call, certificate)
    code = as_str(certificate.secrets.get(_CODE))
    if not code:
        raise _bad("There is no verification code; ask for one by generateVerificationCode first.")
    _check_proof(as_str(as_object(call.body).get("certificate")), certificate, code)
    changed = replace(
        certificate,
        properties={**certificate.properties, "isVerified": True, "updated": rfc1123(call.now)},
        secrets={},
    )
    return Reply(status=200, body=_shown(changed, service), resource=changed)


def trusted(service: IotHubs, hub: Resource) -> list[bytes]:
    """The verified authorities of a hub, as DER."""
    return [
        base64.b64decode(as_str(one.properties["certificate"]))
        for one in service.world.resources.list(TYPE, parent=hub.id)
        if one.properties["isVerified"] is True
    ]


def _shown(certificate: Resource, service: IotHubs) -> JsonObject:
    return {
        "id": str(certificate.id),
        "name": certificate.id.name,
        "type": "Microsoft.Devices/IotHubs/Certificates",
        "etag": etag(certificate.etag),
        "properties": certificate.properties,
    }


def _decoded(text: str) -> bytes:
    """DER of what clients send: base64 of DER or of PEM, or PEM itself. Raises ``ArmError`` 400."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    raw = text.strip().encode()
    try:
        if not raw.startswith(b"-----BEGIN"):
            raw = base64.b64decode(raw, validate=True)
        if raw.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(raw).public_bytes(Encoding.DER)
        x509.load_der_x509_certificate(raw)
    except ValueError:
        raise _bad("'properties.certificate' is no X.509 certificate (base64 of DER or PEM).") from None
    return raw


def _read(text: str) -> JsonObject:
    import hashlib

    from cryptography import x509

    der = _decoded(text)
    certificate = x509.load_der_x509_certificate(der)
    return {
        "subject": certificate.subject.rfc4514_string(),
        "expiry": rfc1123(certificate.not_valid_after_utc),
        "thumbprint": hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
        "certificate": base64.b64encode(der).decode(),
    }


def _check_proof(text: str, certificate: Resource, code: str) -> None:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.x509.oid import NameOID

    proof = x509.load_der_x509_certificate(_decoded(text))
    authority = x509.load_der_x509_certificate(base64.b64decode(as_str(certificate.properties["certificate"])))
    names = [str(one.value) for one in proof.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if code not in names:
        raise _bad("The certificate's common name is not the verification code.")
    try:
        proof.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise _bad(f"The certificate is not signed by '{certificate.id.name}'.") from None


def _check_etag(call: Call, existing: Resource | None) -> None:
    asked = call.headers.get("if-match", "").strip('"')
    if existing is not None and asked and asked not in ("*", etag(existing.etag)):
        raise ArmError(412, "PreconditionFailed", f"The certificate '{existing.id.name}' has another etag.")


def _bad(message: str) -> ArmError:
    return ArmError(400, "InvalidCertificate", message, target="properties.certificate")
