"""Several routers of one cluster: each service has one home among them.

What must be exact is kept in one place: the places at replicas, the queue's order, the traffic's percentages and the
load that scaling looks at are those of the service's home. A router that gets a request of a service whose home is
another one checks the key and hands the request over to the home's inner port, where the key is checked again. The home
is found without any message: the highest hash of router and service among the routers that are ready. When routers come
and go a service may move, and for the moment until all have seen that, two of them may use its replicas.

A home that refuses the connection is passed over: then the router at hand does the work itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from windtunnel_scoring.router import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from windtunnel_scoring.frontend.upstream import Upstream
    from windtunnel_scoring.jsontypes import JsonObject

INNER_PORT: Final = 9001
INNER_PORT_NAME: Final = "inner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another router."""

    name: str
    upstream: Upstream


class Peers:
    """The routers that there are; a sink of a watch of the router's own pods."""

    def __init__(self, own_name: str, connect: Callable[[str, int], Upstream]) -> None:
        self._own_name = own_name
        self._connect = connect
        self._ready: dict[str, objects.Pod] = {}
        self._upstreams: dict[tuple[str, int], Upstream] = {}

    def replace(self, listed: Iterable[JsonObject]) -> None:
        """All pods of the router."""
        self._ready = {}
        for item in listed:
            self.put(item)

    def put(self, item: JsonObject) -> None:
        """A new or changed one."""
        pod = objects.read_pod(item)
        if pod.ready:
            port = objects.port_of(item, INNER_PORT_NAME, INNER_PORT)
            self._ready[pod.name] = objects.with_port(pod, port)
        else:
            self.remove(item)

    def remove(self, item: JsonObject) -> None:
        """It is gone."""
        gone = self._ready.pop(objects.read_pod(item).name, None)
        if gone is not None and (upstream := self._upstreams.pop((gone.address, gone.port), None)) is not None:
            upstream.close()

    def close(self) -> None:
        """Give up the connections that wait."""
        for upstream in self._upstreams.values():
            upstream.close()

    def is_home(self, service: str) -> bool:
        """Whether this router is the home of a service."""
        return self._home(service) in ("", self._own_name)

    def home(self, service: str) -> Peer | None:
        """The home of a service; None when it is this router."""
        name = self._home(service)
        if name in ("", self._own_name):
            return None
        pod = self._ready[name]
        where = (pod.address, pod.port)
        upstream = self._upstreams.get(where)
        if upstream is None:
            upstream = self._upstreams[where] = self._connect(*where)
        return Peer(name=name, upstream=upstream)

    def _home(self, service: str) -> str:
        if len(self._ready) < 2:
            return next(iter(self._ready), "")
        return max(self._ready, key=lambda name: hashlib.sha256(f"{name}/{service}".encode()).digest())
