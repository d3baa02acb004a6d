"""What an engine is: it serves a cluster's Kubernetes API; everything else is a client of that API.

EngineProblem     an engine that cannot be used here, or a cluster that it could not start; a sentence for the user
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.kubernetes.certificates import ClusterAuthority
    from windtunnel_emulators.kubernetes.client.interface import Client

SERVICE_CIDR = "10.0.0.0/16"
POD_CIDR = "10.244.0.0/16"


class EngineProblem(Exception):
    """The message says what is missing or failed, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDefinition:
    """One cluster, as an engine needs to know it."""

    uid: str
    """Letters and digits; names its files and its rows of the store, never another cluster's."""
    name: str
    """For messages."""
    version: str
    """``1.34.4``."""
    folder: Path
    """The cluster's own; an engine writes below it only."""
    authority: ClusterAuthority
    nodes: int = 1
    """How many it has when it is made, for an engine that makes them itself."""
    service_cidr: str = SERVICE_CIDR
    pod_cidr: str = POD_CIDR


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an engine brings besides the API; the cluster brings the rest itself."""

    controllers: bool = False
    scheduler: bool = False
    nodes: bool = False
    aggregation: bool = True
    """Whether its API can pass requests on to this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a client shows: PEM of a certificate and its key, and a token where the API server knows one."""

    certificate: str
    key: str
    token: str | None = None

    def __repr__(self) -> str:
        """Without secrets, wherever it may be printed."""
        return "Credential(...)"


class RunningCluster(Protocol):
    """The API of one cluster, served."""

    @property
    def server(self) -> str:
        """``https://127.0.0.1:PORT``."""
        ...

    @property
    def version(self) -> str:
        """What the API server says it is, without the ``v``."""
        ...

    @property
    def parts(self) -> Parts: ...

    @property
    def ca(self) -> str:
        """PEM of the authority that its clients trust."""
        ...

    def credential(self, role: str) -> Credential:
        """Of ``admin`` or ``user``, for a kubeconfig."""
        ...

    def client(self, role: str) -> Client:
        """A new client as one of ``certificates.CLIENTS``; whoever asks closes it."""
        ...

    def node_client(self, name: str) -> Client:
        """A new client as the node of that name, whose keys have been made."""
        ...

    def connect(self, loopback: Callable[[str], str | None]) -> None:
        """Say how an API server in this process finds the loopback address behind a pod's; others find nodes alone."""
        ...

    async def aggregate(self, group: str, version: str, app: ASGI) -> None:
        """Serve ``app`` as a group of the API, behind the API server."""
        ...

    async def upgrade(self, version: str) -> None:
        """Be another release, with the same objects. Raises ``EngineProblem`` where that cannot be."""
        ...

    async def stop(self) -> None:
        """Within seconds; objects stay."""
        ...


class Engine(Protocol):
    """Serves clusters in one way."""

    @property
    def name(self) -> str:
        """``embedded``, ``binaries`` or ``kind``."""
        ...

    def check(self) -> None:
        """Raises ``EngineProblem`` where it cannot be used, naming the program that is not there."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What it is made of here, in words, for ``status``."""
        ...

    def versions(self) -> tuple[str, ...] | None:
        """The releases of Kubernetes that it can serve; None for every one that AKS offers. After ``check``."""
        ...

    async def sweep(self, known: frozenset[str]) -> None:
        """Remove what clusters other than ``known`` (their uids) left behind, as after a kill."""
        ...

    async def start(self, definition: ClusterDefinition) -> RunningCluster:
        """Ready for requests when it returns, with the objects that it had before. Raises ``EngineProblem``."""
        ...

    async def delete(self, definition: ClusterDefinition) -> None:
        """Forget the objects of a cluster that is stopped. Safe when there are none."""
        ...
