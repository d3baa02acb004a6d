from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from windtunnel_emulators.kubernetes.certificates import CLIENTS, ClusterAuthority

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_who_shows_what(authority: ClusterAuthority) -> None:
    ca = load(authority.ca)
    for role, (name, groups) in CLIENTS.items():
        found = load(authority.client(role).certificate)
        found.verify_directly_issued_by(ca)
        assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name
        assert tuple(o.value for o in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)) == groups
    server = load(authority.api_server.certificate)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes.default.svc", "a.example"} <= set(names.get_values_for_type(x509.DNSName))
    load(authority.front_proxy_client.certificate).verify_directly_issued_by(load(authority.front_proxy_ca))


def test_what_was_made_is_read_again_and_nobody_else_may(authority: ClusterAuthority, tmp_path: Path) -> None:
    node = authority.node("n1", addresses=("127.1.2.3",), now=NOW)
    again = ClusterAuthority.load(tmp_path / "keys.json")
    assert again is not None
    assert again.ca == authority.ca
    assert again.tokens == authority.tokens
    assert again.node("n1", addresses=("127.1.2.3",), now=NOW).client.key == node.client.key
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(ValueError, match=r"keys\.json is damaged"):
        ClusterAuthority.load(tmp_path / "keys.json")
    assert ClusterAuthority.load(tmp_path / "none.json") is None


def test_a_request_is_signed_for_what_it_asks(authority: ClusterAuthority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = authority.sign_request(
        request.public_bytes(serialization.Encoding.PEM), now=NOW, life=timedelta(hours=2), usages=("client auth",)
    )
    found = load(pem)
    found.verify_directly_issued_by(load(authority.ca))
    assert found.subject == name
    assert found.not_valid_after_utc - NOW <= timedelta(hours=2)
    with pytest.raises(ValueError):  # noqa: PT011  # the sentence is the library's
        authority.sign_request(b"nonsense", now=NOW, life=timedelta(hours=2), usages=())


def test_secrets_are_not_printed(authority: ClusterAuthority) -> None:
    assert "PRIVATE" not in repr(authority.client("admin"))
