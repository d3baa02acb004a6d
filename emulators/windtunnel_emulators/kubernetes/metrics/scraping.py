"""Asking every node's kubelet API for its counters, every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.meta import entries, name_of, number, text
from windtunnel_emulators.kubernetes.metrics.samples import Use, read, use

if TYPE_CHECKING:
    import ssl

    import httpx

    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.informer import Informer
    from windtunnel_emulators.kubernetes.metrics.samples import Count, Key, Reading

_log = logging.getLogger(__name__)
_LIMIT_S = 5.0


class Scraper:
    """Keeps the last readings of each node. ``window_s`` is what a use is measured over once there is that much."""

    def __init__(
        self, nodes: Informer, clock: Clock, tls: ssl.SSLContext, *, period_s: float = 1.0, window_s: float = 3.0
    ) -> None:
        """``tls`` shows a certificate that the kubelets let in."""
        self._nodes = nodes
        self._clock = clock
        self._tls = tls
        self._period_s = period_s
        self._kept = max(2, round(window_s / period_s) + 1)
        self._readings: dict[str, deque[Reading]] = {}
        self._client: httpx.AsyncClient | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="scraping of the kubelets")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def node(self, name: str) -> Use | None:
        """None while it is not known."""
        counts = [r.node for r in self._readings.get(name, ()) if r.node is not None]
        return _latest(counts)

    def containers(self) -> dict[Key, Use]:
        """Of every container that the last reading of its node had."""
        found: dict[Key, Use] = {}
        for readings in self._readings.values():
            for key in readings[-1].containers:
                used = _latest([r.containers[key] for r in readings if key in r.containers])
                if used is not None:
                    found[key] = used
        return found

    async def scrape(self) -> None:
        """All nodes once."""
        nodes = {name_of(node): node for node in self._nodes.objects()}
        for gone in set(self._readings) - set(nodes):
            del self._readings[gone]
        await asyncio.gather(*(self._scrape(name, node) for name, node in nodes.items()))

    async def _run(self) -> None:
        while True:
            begun = self._clock.monotonic()
            await self.scrape()
            await self._clock.sleep(max(0.1, self._period_s - (self._clock.monotonic() - begun)))

    async def _scrape(self, name: str, node: JsonObject) -> None:
        import httpx

        addresses = entries(node, "status", "addresses")
        address = next((text(a, "address") for a in addresses if a.get("type") == "InternalIP"), "")
        port = number(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port")
        if not address or not port:
            return
        if self._client is None:
            self._client = httpx.AsyncClient(verify=self._tls, timeout=_LIMIT_S, trust_env=False)
        try:
            answer = await self._client.get(f"https://{address}:{port}/metrics/resource")
            answer.raise_for_status()
        except httpx.HTTPError as problem:
            _log.info("metrics of node %s: %s", name, problem or type(problem).__name__)
            # What it used is not known any more; the last values would pass for new ones.
            self._readings.pop(name, None)
            return
        reading = read(answer.text, self._clock.now().timestamp())
        self._readings.setdefault(name, deque(maxlen=self._kept)).append(reading)


def _latest(counts: list[Count]) -> Use | None:
    if not counts:
        return None
    now = counts[-1]
    # Only readings of the same run of the container can be compared.
    same = [c for c in counts[:-1] if c.started == now.started]
    return use(same[0] if same else None, now)
