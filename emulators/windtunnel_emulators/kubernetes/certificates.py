"""The keys and certificates of one cluster, kept as one secret file; a later start reads them and makes none.

Who shows what, all signed by the cluster's authority (``ca``) unless said otherwise:

    api_server            the API server, to everybody
    kubelet_client        the API server, to nodes (O=system:masters)
    front_proxy_client    the API server, to aggregated APIs; signed by ``front_proxy_ca``
    client("admin")       whoever holds the admin kubeconfig (O=system:masters); ``user`` likewise, as on AKS
    client("controllers"), client("scheduler")    those components
    node(name)            a node: one certificate to serve its API, one to speak to the API server (O=system:nodes)
    service_account_key   signs the tokens of service accounts (ES256)

``tokens`` are bearer tokens that the API server knows beside these: ``admin`` and ``user`` of the kubeconfigs.
"""

from __future__ import annotations

import secrets
import ssl
import tempfile
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import private_folder, read_secret, write_secret

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_LIFE = timedelta(days=10 * 365)
"""Of everything that is not an authority: longer than any state folder lives."""
_TOKEN_BYTES = 64
"""AKS's tokens are 128 hexadecimal digits."""
MASTERS = "system:masters"
NODES = "system:nodes"

CLIENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    # AKS issues both kubeconfigs of a cluster without Entra ID to the same subject.
    "admin": ("masterclient", (MASTERS,)),
    "user": ("masterclient", (MASTERS,)),
    # Its own role covers little: kube-controller-manager acts as a service account per controller, ours as this alone.
    "controllers": ("system:kube-controller-manager", (MASTERS,)),
    "scheduler": ("system:kube-scheduler", ()),
    "proxy": ("system:kube-proxy", ()),
}
"""Common name and organizations by role."""


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        """Without the key, wherever it may be printed."""
        return "KeyPair(...)"


class NodeKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What a node shows: as the server of its own API, and as a client of the API server."""

    serving: KeyPair
    client: KeyPair


class _Keys(msgspec.Struct, kw_only=True, rename="camel"):
    """The file."""

    ca: KeyPair
    front_proxy_ca: KeyPair
    front_proxy_client: KeyPair
    api_server: KeyPair
    kubelet_client: KeyPair
    service_account_key: str
    service_account_public_key: str
    tokens: dict[str, str]
    clients: dict[str, KeyPair]
    nodes: dict[str, NodeKeys]


class ClusterAuthority:
    """The keys of one cluster. What is issued later is written to the file before it is returned."""

    def __init__(self, file: Path, keys: _Keys) -> None:
        """For what ``create`` made or ``load`` read."""
        self._file = file
        self._keys = keys

    @classmethod
    def create(
        cls, file: Path, *, now: datetime, names: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
    ) -> ClusterAuthority:
        """New keys, written to ``file``. ``names`` and ``addresses`` are the API server's besides the usual ones."""
        from windtunnel_emulators.kubernetes import issuing

        ca = issuing.authority("ca", now=now)
        front = issuing.authority("front-proxy-ca", now=now)
        key = issuing.new_key()
        server_names: tuple[str, ...] = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
        # What kube-apiserver expects of an aggregated API's listener, whatever name it calls: SERVICE.NAMESPACE.svc.
        server_names = (*server_names, "metrics-v1beta1.kube-system.svc")
        keys = _Keys(
            ca=_pair(ca),
            front_proxy_ca=_pair(front),
            front_proxy_client=_pair(
                issuing.leaf(front, now=now, life=_LIFE, common_name="front-proxy-client", client=True)
            ),
            api_server=_pair(
                issuing.leaf(
                    ca,
                    now=now,
                    life=_LIFE,
                    common_name="apiserver",
                    names=(*server_names, "kubernetes.default.svc.cluster.local", *names),
                    addresses=tuple(dict.fromkeys(("127.0.0.1", "::1", *addresses))),
                    server=True,
                )
            ),
            kubelet_client=_pair(
                issuing.leaf(
                    ca,
                    now=now,
                    life=_LIFE,
                    common_name="kube-apiserver-kubelet-client",
                    organizations=(MASTERS,),
                    client=True,
                )
            ),
            service_account_key=key,
            service_account_public_key=issuing.public_key(key),
            tokens={role: secrets.token_hex(_TOKEN_BYTES) for role in ("admin", "user")},
            clients={
                role: _pair(issuing.leaf(ca, now=now, life=_LIFE, common_name=name, organizations=groups, client=True))
                for role, (name, groups) in CLIENTS.items()
            },
            nodes={},
        )
        made = cls(file, keys)
        made._save()
        return made

    @classmethod
    def load(cls, file: Path) -> ClusterAuthority | None:
        """What ``file`` holds; None when it is not there. Raises ``ValueError`` for a damaged file."""
        content = read_secret(file)
        if content is None:
            return None
        try:
            return cls(file, msgspec.json.decode(content, type=_Keys))
        except msgspec.DecodeError as problem:
            raise ValueError(f"{file} is damaged ({problem}); delete the cluster and create it again") from problem

    @property
    def ca(self) -> str:
        """The authority's certificate, as PEM."""
        return self._keys.ca.certificate

    @property
    def ca_pair(self) -> KeyPair:
        """The authority with its key, for who signs certificates outside this process."""
        return self._keys.ca

    @property
    def front_proxy_ca(self) -> str:
        return self._keys.front_proxy_ca.certificate

    @property
    def front_proxy_client(self) -> KeyPair:
        return self._keys.front_proxy_client

    @property
    def api_server(self) -> KeyPair:
        return self._keys.api_server

    @property
    def kubelet_client(self) -> KeyPair:
        return self._keys.kubelet_client

    @property
    def service_account_key(self) -> str:
        """PEM of a P-256 key: tokens are signed with ES256."""
        return self._keys.service_account_key

    @property
    def service_account_public_key(self) -> str:
        return self._keys.service_account_public_key

    @property
    def tokens(self) -> dict[str, str]:
        """Bearer tokens by role, ``admin`` and ``user``; both are ``masterclient`` of ``system:masters``."""
        return dict(self._keys.tokens)

    def client(self, role: str) -> KeyPair:
        """The client certificate of one of ``CLIENTS``."""
        return self._keys.clients[role]

    def node(self, name: str, *, addresses: tuple[str, ...], now: datetime) -> NodeKeys:
        """A node's keys, made at the first call for it."""
        known = self._keys.nodes.get(name)
        if known is None:
            from windtunnel_emulators.kubernetes import issuing

            ca = (self._keys.ca.certificate, self._keys.ca.key)
            serving = issuing.leaf(
                ca,
                now=now,
                life=_LIFE,
                common_name=f"system:node:{name}",
                organizations=(NODES,),
                names=(name, "localhost"),
                addresses=tuple(dict.fromkeys((*addresses, "127.0.0.1"))),
                server=True,
            )
            client = issuing.leaf(
                ca, now=now, life=_LIFE, common_name=f"system:node:{name}", organizations=(NODES,), client=True
            )
            known = self._keys.nodes[name] = NodeKeys(serving=_pair(serving), client=_pair(client))
            self._save()
        return known

    def node_client_pair(self, name: str) -> KeyPair:
        """What a node whose keys have been made shows to the API server."""
        return self._keys.nodes[name].client

    def forget_node(self, name: str) -> None:
        """A node is gone; one of the same name gets new keys."""
        if self._keys.nodes.pop(name, None) is not None:
            self._save()

    def sign_request(self, request: bytes, *, now: datetime, life: timedelta, usages: tuple[str, ...]) -> str:
        """The certificate for a request, as PEM; ``usages`` as a CertificateSigningRequest names them.

        Raises ``ValueError`` for a request that cannot be read.
        """
        from windtunnel_emulators.kubernetes import issuing

        pair = (self._keys.ca.certificate, self._keys.ca.key)
        return issuing.from_request(pair, request, now=now, life=life, usages=usages)

    # TLS

    def server_context(self) -> ssl.SSLContext:
        """For the API server's listener: asks for client certificates of this cluster and does without, too."""
        return self._serving(self._keys.api_server)

    def node_server_context(self, name: str) -> ssl.SSLContext:
        """For the listener of a node's own API; the node's keys must have been made."""
        return self._serving(self._keys.nodes[name].serving)

    def aggregated_context(self) -> ssl.SSLContext:
        """For a listener that only the API server calls, with its front-proxy certificate."""
        context = self._serving(self._keys.api_server, authority=self.front_proxy_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self, pair: KeyPair | None) -> ssl.SSLContext:
        """For a client that trusts this cluster alone and shows ``pair``, or nothing (it has a token then)."""
        context = ssl.create_default_context(cadata=self.ca)
        if pair is not None:
            load_pair(context, pair)
        return context

    def _serving(self, pair: KeyPair, *, authority: str | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_pair(context, pair)
        context.load_verify_locations(cadata=authority or self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    # Files, for programs of their own

    def write_files(self, folder: Path) -> dict[str, Path]:
        """Everything that a real control plane reads, as files below ``folder`` (mode 0600), by name."""
        private_folder(folder)
        keys = self._keys
        contents = {
            "ca.crt": keys.ca.certificate,
            "ca.key": keys.ca.key,
            "apiserver.crt": keys.api_server.certificate,
            "apiserver.key": keys.api_server.key,
            "kubelet-client.crt": keys.kubelet_client.certificate,
            "kubelet-client.key": keys.kubelet_client.key,
            "front-proxy-ca.crt": keys.front_proxy_ca.certificate,
            "front-proxy-client.crt": keys.front_proxy_client.certificate,
            "front-proxy-client.key": keys.front_proxy_client.key,
            "sa.key": keys.service_account_key,
            "sa.pub": keys.service_account_public_key,
            "tokens.csv": "".join(
                f'{token},{CLIENTS[role][0]},{role},"{",".join(CLIENTS[role][1])}"\n'
                for role, token in keys.tokens.items()
            ),
        }
        found = {name: folder / name for name in contents}
        for name, file in found.items():
            content = contents[name].encode("ascii")
            if read_secret(file) != content:
                write_secret(file, content)
        return found

    def _save(self) -> None:
        private_folder(self._file.parent)
        write_secret(self._file, msgspec.json.encode(self._keys))


def load_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Show ``pair``. OpenSSL's Python face reads certificates from files only, so there is one for a moment."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii", prefix="windtunnel-", suffix=".pem") as file:  # mode 0600
        file.write(pair.certificate)
        file.write(pair.key)
        file.flush()
        context.load_cert_chain(file.name)


def _pair(pem: tuple[str, str]) -> KeyPair:
    return KeyPair(certificate=pem[0], key=pem[1])
