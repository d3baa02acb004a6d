"""How the programs of a real control plane are called on loopback, without a node of their own.

Kubernetes 1.34, read in the programs' own help and tried: an API server writes the endpoints of its own service only
for an address that is not loopback, so it advertises one of TEST-NET-1; kubelets are called at loopback addresses,
which is allowed for logs, exec, attach and port-forward.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.api.bootstrap import ADVERTISED
from windtunnel_emulators.kubernetes.engines.ports import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from windtunnel_emulators.kubernetes.certificates import KeyPair
    from windtunnel_emulators.kubernetes.engines.interface import ClusterDefinition

PORTS = ("api", "etcd", "etcd peers", "controllers", "scheduler")
ISSUER = "https://kubernetes.default.svc.cluster.local"


def etcd(program: Path, definition: ClusterDefinition, ports: Mapping[str, int]) -> list[str]:
    """The store of the API server; for this machine's own programs only, which is all that loopback reaches."""
    clients, peers = f"http://{ADDRESS}:{ports['etcd']}", f"http://{ADDRESS}:{ports['etcd peers']}"
    return [
        str(program),
        "--name=etcd",
        f"--data-dir={definition.folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=etcd={peers}",
        # A cluster that comes back at other ports is the same one, alone.
        *(["--force-new-cluster"] if (definition.folder / "etcd" / "member").exists() else []),
        "--log-level=warn",
    ]


def api_server(
    program: Path, definition: ClusterDefinition, ports: Mapping[str, int], files: Mapping[str, Path]
) -> list[str]:
    """The API server, with the certificates of ``ClusterAuthority.write_files``."""
    return [
        str(program),
        f"--etcd-servers=http://{ADDRESS}:{ports['etcd']}",
        f"--bind-address={ADDRESS}",
        f"--secure-port={ports['api']}",
        f"--advertise-address={ADVERTISED}",
        f"--service-cluster-ip-range={definition.service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        f"--client-ca-file={files['ca.crt']}",
        f"--tls-cert-file={files['apiserver.crt']}",
        f"--tls-private-key-file={files['apiserver.key']}",
        f"--cert-dir={definition.folder}",
        f"--token-auth-file={files['tokens.csv']}",
        f"--kubelet-client-certificate={files['kubelet-client.crt']}",
        f"--kubelet-client-key={files['kubelet-client.key']}",
        f"--kubelet-certificate-authority={files['ca.crt']}",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={files['sa.pub']}",
        f"--service-account-signing-key-file={files['sa.key']}",
        f"--requestheader-client-ca-file={files['front-proxy-ca.crt']}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={files['front-proxy-client.crt']}",
        f"--proxy-client-key-file={files['front-proxy-client.key']}",
    ]


def controllers(
    program: Path, definition: ClusterDefinition, ports: Mapping[str, int], files: Mapping[str, Path], config: Path
) -> list[str]:
    """All controllers but the one that gives nodes their pod addresses: pools do that here."""
    return [
        str(program),
        *_component(definition, config, ports["controllers"]),
        "--use-service-account-credentials=true",
        f"--root-ca-file={files['ca.crt']}",
        f"--service-account-private-key-file={files['sa.key']}",
        f"--cluster-signing-cert-file={files['ca.crt']}",
        f"--cluster-signing-key-file={files['ca.key']}",
        f"--client-ca-file={files['ca.crt']}",
        "--allocate-node-cidrs=false",
        f"--cluster-cidr={definition.pod_cidr}",
        f"--service-cluster-ip-range={definition.service_cidr}",
    ]


def scheduler(program: Path, definition: ClusterDefinition, ports: Mapping[str, int], config: Path) -> list[str]:
    """The scheduler."""
    return [str(program), *_component(definition, config, ports["scheduler"])]


def kubeconfig(server: str, ca: str, pair: KeyPair) -> str:
    """For a program of the control plane."""
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: cluster\n"
        f"clusters: [{{name: cluster, cluster: {{server: '{server}', certificate-authority-data: {_base64(ca)}}}}}]\n"
        f"users: [{{name: user, user: {{client-certificate-data: {_base64(pair.certificate)},"
        f" client-key-data: {_base64(pair.key)}}}}}]\n"
        "contexts: [{name: cluster, context: {cluster: cluster, user: user}}]\n"
    )


def _component(definition: ClusterDefinition, config: Path, port: int) -> list[str]:
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={ADDRESS}",
        f"--secure-port={port}",
        f"--cert-dir={definition.folder}",
        "--leader-elect=false",
    ]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("ascii")).decode("ascii")
