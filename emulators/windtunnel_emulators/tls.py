"""TLS of this machine: a local authority made on first use, its server certificate, and the file that clients trust.

Files in the folder, none of which names the machine:

    ca.pem, ca-key.pem          the authority, alone
    server.pem, server-key.pem  what the listeners show
    facts.json                  what the four were made for, and until when
    NAME.pem, -key.pem, .json   the same for a listener that has a certificate of its own
    bundle.pem                  the public authorities and ours, for other programs of a shell

Keys are readable by their owner only. A later start reads and compares; it makes nothing, and imports nothing that it
does not need (``cryptography`` costs a tenth of a second).
"""

from __future__ import annotations

import hashlib
import re
import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import private_folder, read_secret, write_atomically, write_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from windtunnel_emulators.certificates import Certificate

EMULATED_DOMAINS = (
    "localhost",
    "management.azure.com",
    "management.core.windows.net",
    "login.microsoftonline.com",
    "login.microsoft.com",
    "login.windows.net",
    "sts.windows.net",
    "graph.microsoft.com",
    "graph.windows.net",
    "azurecr.io",
    "azurecontainer.io",
    "blob.core.windows.net",
    "azmk8s.io",
    "azure-devices.net",
    "azure-devices-provisioning.net",
)
"""The names that the authority may vouch for, with everything below them."""

SERVER_NAMES = tuple(
    name for domain in EMULATED_DOMAINS for name in ((domain,) if "." not in domain else (domain, f"*.{domain}"))
)
"""What the server's certificate is for. No ``*.localhost``: OpenSSL refuses a wildcard right below a top name."""

_RENEW_SERVER = timedelta(days=400)
"""A process may well stay up for a year: renewed at a start when less than this is left."""
_RENEW_AUTHORITY = timedelta(days=900)
"""More than a server certificate lives, so that each ends before its authority."""

_BEGIN = b"# Windtunnel's local authority\n"
_END = b"# end of Windtunnel's local authority\n"
_OURS = re.compile(re.escape(_BEGIN) + b".*?" + re.escape(_END), re.DOTALL)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----")


class _Facts(msgspec.Struct, rename="camel"):
    """What the files were made for; anything that does not agree is made anew."""

    domains: tuple[str, ...]
    names: tuple[str, ...]
    files: dict[str, str]
    authority_ends: datetime
    server_ends: datetime


class CertificateAuthority:
    """The authority of one state folder. ``ca_file`` is ours alone, ``bundle_file`` has the public ones too."""

    def __init__(self, folder: Path) -> None:
        """For a folder that ``load_or_create`` has filled."""
        self.ca_file = folder / "ca.pem"
        self.bundle_file = folder / "bundle.pem"
        self._folder = folder
        self._server_file = folder / "server.pem"
        self._key_file = folder / "server-key.pem"

    @classmethod
    def load_or_create(cls, folder: Path, *, now: datetime, environment: Mapping[str, str]) -> CertificateAuthority:
        """What the folder holds if it is whole and lasts, else a new certificate, or all anew; then the bundle.

        ``environment`` says where the public authorities are (``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE``).
        """
        private_folder(folder)
        facts = _read_facts(folder)
        authority_holds = (
            facts is not None
            and facts.domains == EMULATED_DOMAINS
            and facts.authority_ends - now > _RENEW_AUTHORITY
            and _intact(folder, facts, "ca.pem", "ca-key.pem")
        )
        server_holds = (
            authority_holds
            and facts is not None
            and facts.names == SERVER_NAMES
            and facts.server_ends - now > _RENEW_SERVER
            and _intact(folder, facts, "server.pem", "server-key.pem")
        )
        if not server_holds:
            _make(folder, facts if authority_holds else None, now)
        authority = cls(folder)
        _write_bundle(authority.bundle_file, authority.ca_file.read_bytes(), environment)
        return authority

    def server_context(self) -> ssl.SSLContext:
        """A context for a listener: TLS 1.2 or newer, HTTP/1.1."""
        context = _context(self._server_file, self._key_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def own_context(
        self, name: str, *, names: tuple[str, ...], addresses: tuple[str, ...], now: datetime
    ) -> ssl.SSLContext:
        """A context for a listener with a certificate of its own, kept under ``name``: for what ``server_context`` is
        not for, as further loopback addresses. No protocol is negotiated."""
        return _context(*self.own_files(name, names=names, addresses=addresses, now=now))

    def own_files(
        self, name: str, *, names: tuple[str, ...], addresses: tuple[str, ...], now: datetime
    ) -> tuple[Path, Path]:
        """The files of such a certificate and of its key, for a listener of another process."""
        file, key = self._folder / f"{name}.pem", self._folder / f"{name}-key.pem"
        facts = _read_facts(self._folder, f"{name}.json")
        holds = (
            facts is not None
            and (facts.domains, facts.names) == (names, addresses)
            and facts.server_ends - now > _RENEW_SERVER
            and facts.files.get("ca.pem") == _digest(self.ca_file.read_bytes())
            and _intact(self._folder, facts, file.name, key.name)
        )
        if not holds:
            _make_own(self._folder, name, names, addresses, now)
        return file, key

    def forget(self, name: str) -> None:
        """Remove a certificate of ``own_context``; safe when there is none."""
        for ending in (".json", ".pem", "-key.pem"):
            (self._folder / f"{name}{ending}").unlink(missing_ok=True)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def public_authorities(environment: Mapping[str, str], *, but: bytes) -> bytes:
    """The authorities that this machine trusts, as PEM, without ``but`` (our own); empty when it has none.

    Where: what the environment names, else OpenSSL's own place, else certifi. The environment may well name a bundle
    of ours, when the emulators are started in a shell that already points at some: its public part counts.
    """
    for group in _places(environment):
        found: dict[bytes, None] = {}
        for file in group:
            if file.is_file():
                found.update(dict.fromkeys(_PEM.findall(_OURS.sub(b"", file.read_bytes()))))
        found.pop(but.strip(), None)
        if found:
            return b"\n".join(found)
    return b""


def _places(environment: Mapping[str, str]) -> Iterator[tuple[Path, ...]]:
    """Files to look at, all those of a group together; a later group only when the earlier had nothing."""
    named = (environment.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    yield tuple(Path(name) for name in named if name)
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.openssl_capath)
    # The second is where Debian and its kin keep the one file, which their OpenSSL need not link to.
    yield (Path(paths.openssl_cafile),)
    yield (folder / "ca-certificates.crt",)
    try:
        import certifi
    except ImportError:
        return
    yield (Path(certifi.where()),)


def _make(folder: Path, facts: _Facts | None, now: datetime) -> None:
    """New files; the authority stays when ``facts`` are given. The facts are written last, so half is never whole."""
    from windtunnel_emulators.certificates import Certificate, make_authority, make_server

    if facts is None:
        authority = make_authority(now=now, domains=EMULATED_DOMAINS)
        _write_pair(folder, "ca", authority)
    else:
        authority = Certificate(
            certificate=(folder / "ca.pem").read_bytes(),
            key=(folder / "ca-key.pem").read_bytes(),
            ends=facts.authority_ends,
        )
    server = make_server(authority, now=now, names=SERVER_NAMES)
    _write_pair(folder, "server", server)
    made = _Facts(
        domains=EMULATED_DOMAINS,
        names=SERVER_NAMES,
        files={
            "ca.pem": _digest(authority.certificate),
            "ca-key.pem": _digest(authority.key),
            "server.pem": _digest(server.certificate),
            "server-key.pem": _digest(server.key),
        },
        authority_ends=authority.ends,
        server_ends=server.ends,
    )
    # The digest of a 256-bit random key tells nothing of it; kept private all the same.
    write_secret(folder / "facts.json", msgspec.json.encode(made))


def _make_own(folder: Path, name: str, names: tuple[str, ...], addresses: tuple[str, ...], now: datetime) -> None:
    from windtunnel_emulators.certificates import Certificate, make_server

    facts = _read_facts(folder)
    if facts is None:
        raise FileNotFoundError(f"{folder} has no authority")
    authority = Certificate(
        certificate=(folder / "ca.pem").read_bytes(),
        key=(folder / "ca-key.pem").read_bytes(),
        ends=facts.authority_ends,
    )
    server = make_server(authority, now=now, names=names, addresses=addresses)
    _write_pair(folder, name, server)
    made = _Facts(
        domains=names,
        names=addresses,
        files={
            "ca.pem": _digest(authority.certificate),
            f"{name}.pem": _digest(server.certificate),
            f"{name}-key.pem": _digest(server.key),
        },
        authority_ends=authority.ends,
        server_ends=server.ends,
    )
    write_secret(folder / f"{name}.json", msgspec.json.encode(made))


def _write_pair(folder: Path, name: str, pair: Certificate) -> None:
    write_secret(folder / f"{name}-key.pem", pair.key)
    write_atomically(folder / f"{name}.pem", pair.certificate)


def _read_facts(folder: Path, name: str = "facts.json") -> _Facts | None:
    content = read_secret(folder / name)
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=_Facts)
    except msgspec.DecodeError:
        return None  # of another version, or damaged: everything is made anew


def _intact(folder: Path, facts: _Facts, certificate: str, key: str) -> bool:
    for name in (certificate, key):
        content = read_secret(folder / name) if name == key else _read(folder / name)
        if content is None or facts.files.get(name) != _digest(content):
            return False
    return True


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_bundle(bundle: Path, ours: bytes, environment: Mapping[str, str]) -> None:
    content = public_authorities(environment, but=ours) + b"\n" + _BEGIN + ours + _END
    if _read(bundle) != content:
        write_atomically(bundle, content)
