"""Which endpoint a connection to a Service's port goes to: pure choices, made anew when endpoints change."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import dig, entries, number, text, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from windtunnel_emulators.jsontypes import JsonObject

Endpoint = tuple[str, int]
"""(a pod's address in the cluster, port)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Of one port of a Service."""

    ready: tuple[Endpoint, ...] = ()
    serving: tuple[Endpoint, ...] = ()
    """About to end, and still answering: used when nothing is ready (KEP-1669)."""


def endpoints(slices: Iterable[JsonObject], port: str) -> Endpoints:
    """Those behind the port of that name (empty for the only port)."""
    ready: list[Endpoint] = []
    serving: list[Endpoint] = []
    for found in slices:
        numbers = [number(p, "port") for p in entries(found, "ports") if text(p, "name") == port and p.get("port")]
        for endpoint in entries(found, "endpoints"):
            conditions = endpoint.get("conditions")
            if dig(conditions, "ready") is not False:
                kept = ready
            elif dig(conditions, "terminating") is True and dig(conditions, "serving") is not False:
                kept = serving
            else:
                continue
            kept += [(address, to) for address in words(endpoint, "addresses")[:1] for to in numbers]
    return Endpoints(ready=tuple(dict.fromkeys(ready)), serving=tuple(dict.fromkeys(serving)))


class Balancer:
    """Round robin, or by client where that was asked for."""

    def __init__(self) -> None:
        self._endpoints = Endpoints()
        self._turn = itertools.count()
        self._sticky_s = 0
        self._of_client: dict[str, tuple[Endpoint, float]] = {}

    def set(self, found: Endpoints, *, sticky_s: int = 0) -> None:
        """``sticky_s``: how long after its last connection a client keeps its endpoint; 0 for no such thing."""
        self._endpoints = found
        self._sticky_s = sticky_s
        if not sticky_s:
            self._of_client.clear()

    def choices(self, client: str, now: float, leaving: frozenset[str] = frozenset()) -> Iterator[Endpoint]:
        """Endpoints to try, the best first; each once. ``leaving`` are pods that this process knows are about to
        end."""
        ready = [e for e in self._endpoints.ready if e[0] not in leaving]
        late = [e for e in self._endpoints.ready if e[0] in leaving]
        pool = ready or [*late, *self._endpoints.serving]
        start = next(self._turn)
        ordered = [pool[(start + i) % len(pool)] for i in range(len(pool))]
        if self._sticky_s and ordered:
            known = self._of_client.get(client)
            if known is not None and known[0] in ordered and now - known[1] < self._sticky_s:
                ordered.remove(known[0])
                ordered.insert(0, known[0])
        yield from ordered

    def chosen(self, client: str, endpoint: Endpoint, now: float) -> None:
        """A connection of the client was made to that endpoint."""
        if self._sticky_s:
            if len(self._of_client) > 10_000:
                self._of_client = {c: e for c, e in self._of_client.items() if now - e[1] < self._sticky_s}
            self._of_client[client] = (endpoint, now)
