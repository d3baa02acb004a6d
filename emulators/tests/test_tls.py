"""The local authority: what it makes, when it makes it anew, and that strict clients accept it."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from windtunnel_emulators.certificates import Certificate, make_authority, make_server
from windtunnel_emulators.tls import EMULATED_DOMAINS, SERVER_NAMES, CertificateAuthority

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("ca-key.pem", "server-key.pem", "facts.json")


def load(folder: Path, now: datetime | None = None, **environment: str) -> CertificateAuthority:
    return CertificateAuthority.load_or_create(folder, now=now or datetime.now(UTC), environment=environment)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """Connect over a pair of sockets; the TLS version, or the client's refusal as an exception."""
    near, far = socket.socketpair()
    near.settimeout(10)
    far.settimeout(10)

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as connection:
                connection.recv(1)
        except (ssl.SSLError, OSError):
            pass  # the client's side tells what happened

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near, server_hostname=name) as connection:
            version = connection.version()
            connection.sendall(b"x")
            return version
    finally:
        near.close()
        thread.join(10)


def strict_client(ca_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 and newer does by itself
    return context


@pytest.mark.parametrize(
    "name",
    ["localhost", "127.0.0.1", "::1", "management.azure.com", "login.microsoftonline.com", "wtreg.azurecr.io"],
)
def test_a_strict_client_accepts_the_server_under_each_emulated_name(tmp_path: Path, name: str) -> None:
    authority = load(tmp_path)
    for file in (authority.ca_file, authority.bundle_file):
        assert handshake(authority.server_context(), strict_client(file), name) == "TLSv1.3"


def test_a_name_that_is_not_emulated_is_refused(tmp_path: Path) -> None:
    authority = load(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(authority.server_context(), strict_client(authority.ca_file), "www.python.org")


def test_the_authority_cannot_vouch_for_other_names(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = make_authority(now=now, domains=EMULATED_DOMAINS)
    server = make_server(authority, now=now, names=("www.python.org",))
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    context = server_context(tmp_path, server)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(context, strict_client(tmp_path / "ca.pem"), "www.python.org")


def server_context(folder: Path, server: Certificate) -> ssl.SSLContext:
    (folder / "pair.pem").write_bytes(server.key + server.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    return context


def test_tls_below_1_2_is_refused(tmp_path: Path) -> None:
    authority = load(tmp_path)
    assert authority.server_context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_second_start_changes_nothing_and_does_not_import_cryptography(tmp_path: Path) -> None:
    load(tmp_path)
    before = contents(tmp_path)
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from windtunnel_emulators.tls import CertificateAuthority\n"
        f"CertificateAuthority.load_or_create(Path({str(tmp_path)!r}), now=datetime.now(UTC), environment={{}})"
        ".server_context()\n"
        "sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert contents(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps access in lists, not in modes")
def test_only_the_owner_reads_keys(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    load(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in KEYS:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        (folder / name).chmod(0o644)
    load(folder)
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in KEYS} == {0o600}


def test_the_server_certificate_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    start = datetime.now(UTC)
    load(tmp_path, start)
    before = contents(tmp_path)
    load(tmp_path, start + timedelta(days=410))
    assert contents(tmp_path) == before
    load(tmp_path, start + timedelta(days=430))
    after = contents(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"server.pem", "server-key.pem", "facts.json"}


def test_an_authority_that_ends_soon_is_made_anew_with_its_bundle(tmp_path: Path) -> None:
    start = datetime.now(UTC)
    load(tmp_path, start)
    before = contents(tmp_path)
    load(tmp_path, start + timedelta(days=3650 - 899))
    after = contents(tmp_path)
    assert {name for name in after if after[name] == before[name]} == set()
    assert after["ca.pem"] in after["bundle.pem"]


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "facts.json"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_damaged_files_are_replaced_by_ones_that_work(tmp_path: Path, name: str, damage: str) -> None:
    load(tmp_path)
    path = tmp_path / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else path.read_bytes()[:40])
    authority = load(tmp_path)
    assert handshake(authority.server_context(), strict_client(authority.bundle_file), "localhost")


def test_a_damaged_server_key_leaves_the_authority_that_clients_already_trust(tmp_path: Path) -> None:
    trusted = load(tmp_path).ca_file.read_bytes()
    (tmp_path / "server-key.pem").write_bytes(b"")
    assert load(tmp_path).ca_file.read_bytes() == trusted


def a_public_authority(folder: Path, name: str = "public.pem") -> tuple[Path, bytes]:
    content = make_authority(now=datetime.now(UTC), domains=("example.org",)).certificate
    (folder / name).write_bytes(b"# a comment\n" + content)
    return folder / name, content.strip()


def test_the_bundle_has_the_authorities_that_the_environment_names_and_ours(tmp_path: Path) -> None:
    one, first = a_public_authority(tmp_path, "one.pem")
    two, second = a_public_authority(tmp_path, "two.pem")
    authority = load(tmp_path / "tls", SSL_CERT_FILE=str(one), REQUESTS_CA_BUNDLE=str(two))
    bundle = authority.bundle_file.read_bytes()
    assert [bundle.count(part) for part in (first, second, authority.ca_file.read_bytes())] == [1, 1, 1]
    assert bundle.count(b"BEGIN CERTIFICATE") == 3


def test_the_bundle_follows_the_public_authorities(tmp_path: Path) -> None:
    file, first = a_public_authority(tmp_path)
    assert first in load(tmp_path / "tls", SSL_CERT_FILE=str(file)).bundle_file.read_bytes()
    file, second = a_public_authority(tmp_path)
    bundle = load(tmp_path / "tls", SSL_CERT_FILE=str(file)).bundle_file.read_bytes()
    assert second in bundle
    assert first not in bundle


def test_without_any_setting_the_machines_own_authorities_are_in_the_bundle(tmp_path: Path) -> None:
    assert load(tmp_path).bundle_file.read_bytes().count(b"BEGIN CERTIFICATE") > 20


def test_a_start_in_a_shell_that_points_at_emulators_keeps_the_public_part_and_drops_their_authority(
    tmp_path: Path,
) -> None:
    file, public = a_public_authority(tmp_path)
    first = load(tmp_path / "first", SSL_CERT_FILE=str(file))
    again = load(tmp_path / "first", SSL_CERT_FILE=str(first.bundle_file))
    assert again.bundle_file.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    second = load(tmp_path / "second", SSL_CERT_FILE=str(first.bundle_file), REQUESTS_CA_BUNDLE=str(first.bundle_file))
    bundle = second.bundle_file.read_bytes()
    assert public in bundle
    assert second.ca_file.read_bytes() in bundle
    assert first.ca_file.read_bytes() not in bundle


def test_an_environment_that_names_our_authority_alone_is_no_source_of_public_ones(tmp_path: Path) -> None:
    authority = load(tmp_path)
    again = load(tmp_path, SSL_CERT_FILE=str(authority.ca_file))
    assert again.bundle_file.read_bytes().count(b"BEGIN CERTIFICATE") > 20


def test_every_wildcard_leaves_two_labels() -> None:
    assert all(name.count(".") >= 2 for name in SERVER_NAMES if name.startswith("*."))


def own(authority: CertificateAuthority, address: str, now: datetime | None = None) -> ssl.SSLContext:
    names = ("localhost", "hub1.azure-devices.net")
    return authority.own_context("hub1", names=names, addresses=(address,), now=now or datetime.now(UTC))


@pytest.mark.parametrize("name", ["localhost", "hub1.azure-devices.net", "127.0.0.7"])
def test_a_listener_may_have_a_certificate_of_its_own(tmp_path: Path, name: str) -> None:
    authority = load(tmp_path)
    assert handshake(own(authority, "127.0.0.7"), strict_client(authority.ca_file), name) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority.server_context(), strict_client(authority.ca_file), "127.0.0.7")


def test_a_certificate_of_ones_own_is_kept_until_it_does_not_fit(tmp_path: Path) -> None:
    start = datetime.now(UTC)
    authority = load(tmp_path, start)
    own(authority, "127.0.0.7", start)
    before = contents(tmp_path)
    own(authority, "127.0.0.7", start + timedelta(days=410))
    assert contents(tmp_path) == before
    changed = {"hub1.pem", "hub1-key.pem", "hub1.json"}
    for later in (start, start + timedelta(days=430)):
        own(authority, "127.0.0.8", later)
        after = contents(tmp_path)
        assert {name for name in after if after[name] != before[name]} == changed
        before = after
    (tmp_path / "ca.pem").unlink()
    authority = load(tmp_path, start)
    context = own(authority, "127.0.0.8")
    assert handshake(context, strict_client(authority.ca_file), "127.0.0.8") == "TLSv1.3"
    authority.forget("hub1")
    authority.forget("hub1")
    assert not changed & set(contents(tmp_path))
