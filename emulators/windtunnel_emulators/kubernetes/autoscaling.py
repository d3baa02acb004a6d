"""``PoolAutoscaler``: pools that scale themselves, between their bounds, as the cluster autoscaler of AKS does.

More nodes come for pods that the scheduler could not place and that would fit on an empty node of the pool, found out
with the scheduler's own rules. A node goes when nothing but pods of its own (DaemonSets) has been on it for a while;
nodes that are merely little used stay, unlike on AKS.

Settings, of AKS's ``autoScalerProfile``: ``scan-interval``, ``scale-down-unneeded-time`` and
``scale-down-delay-after-add``.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.informer import Informer
from windtunnel_emulators.kubernetes.client.interface import KubernetesProblem
from windtunnel_emulators.kubernetes.client.kinds import POD
from windtunnel_emulators.kubernetes.client.meta import condition, deleting, entries, text
from windtunnel_emulators.kubernetes.engines.interface import EngineProblem
from windtunnel_emulators.kubernetes.scheduler.cycle import Placed, place
from windtunnel_emulators.kubernetes.scheduler.nodes import NodeInfo, PodInfo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from windtunnel_emulators.clock import Clock, Pace
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client

DEFAULTS = {"scan-interval": 10.0, "scale-down-unneeded-time": 600.0, "scale-down-delay-after-add": 600.0}
"""Seconds; Microsoft Learn, "Use the cluster autoscaler in AKS"."""
_DURATION = re.compile(r"(\d+)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SHORTEST_S = 0.5
_log = logging.getLogger(__name__)


class PoolAutoscaler:
    """A ``Component``."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        pace: Pace,
        *,
        settings: Mapping[str, str],
        pools: Callable[[], Mapping[str, tuple[JsonObject, tuple[int, int]]]],
        present: Callable[[], Mapping[str, Sequence[str]]],
        add: Callable[[str, int], Awaitable[None]],
        remove: Callable[[str], Awaitable[None]],
    ) -> None:
        """``pools`` has a Node object as the pool makes them, and its bounds, by pool; ``present`` the names of its
        nodes. ``add`` makes so many more of a pool, ``remove`` drains a node and takes it away."""
        self._clock = clock
        self._pools = pools
        self._present = present
        self._add = add
        self._remove = remove
        self._pods = Informer(client, POD, clock)
        waits = {name: pace.backoff(seconds(settings.get(name, ""), default)) for name, default in DEFAULTS.items()}
        self._scan_s = max(_SHORTEST_S, waits["scan-interval"])
        self._unneeded_s = waits["scale-down-unneeded-time"]
        self._after_add_s = waits["scale-down-delay-after-add"]
        self._unneeded: dict[str, float] = {}
        self._added = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._pods.start()
        self._task = asyncio.create_task(self._run(), name="cluster autoscaler")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._pods.stop()

    async def _run(self) -> None:
        await self._pods.synced.wait()
        while True:
            await self._clock.sleep(self._scan_s)
            try:
                await self._scan()
            except (KubernetesProblem, EngineProblem) as problem:
                _log.warning("pools could not be scaled: %s", problem)
            except Exception:
                _log.exception("pools could not be scaled")

    async def _scan(self) -> None:
        pods, pools, present = self._pods.objects(), self._pools(), self._present()
        waiting = [PodInfo.of(pod) for pod in pods if _waits(pod)]
        if waiting:
            for pool, count in needed(waiting, pools, present).items():
                _log.info("pool %s grows by %d for pods that have no node", pool, count)
                self._added = self._clock.monotonic()
                await self._add(pool, count)
            return
        await self._shrink(pods, pools, present)

    async def _shrink(
        self,
        pods: Sequence[JsonObject],
        pools: Mapping[str, tuple[JsonObject, tuple[int, int]]],
        present: Mapping[str, Sequence[str]],
    ) -> None:
        now = self._clock.monotonic()
        used = {text(pod, "spec", "nodeName") for pod in pods if _holds(pod)}
        idle = {name for pool in pools for name in present.get(pool, ()) if name not in used}
        self._unneeded = {name: self._unneeded.get(name, now) for name in idle}
        if now - self._added < self._after_add_s:
            return
        for pool, (_, (low, _)) in pools.items():
            left = len(present.get(pool, ()))
            for name in reversed(present.get(pool, ())):
                if left > low and name in idle and now - self._unneeded[name] >= self._unneeded_s:
                    _log.info("node %s goes: nothing has been on it for a while", name)
                    left -= 1
                    await self._remove(name)


def needed(
    waiting: Sequence[PodInfo],
    pools: Mapping[str, tuple[JsonObject, tuple[int, int]]],
    present: Mapping[str, Sequence[str]],
) -> dict[str, int]:
    """How many more nodes of which pools the pods fit on; pods that fit on none change nothing."""
    new: dict[str, list[NodeInfo]] = {pool: [] for pool in pools}
    for pod in waiting:
        made = [node for nodes in new.values() for node in nodes]
        where = place(pod, made, {}, {}) if made else None
        if isinstance(where, Placed):
            next(node for node in made if node.name == where.node).add(pod)
            continue
        for pool, (template, (_, high)) in pools.items():
            if len(present.get(pool, ())) + len(new[pool]) >= high:
                continue
            node = NodeInfo(f"{pool}-{len(new[pool])}")
            node.describe(template)
            if isinstance(place(pod, [node], {}, {}), Placed):
                node.add(pod)
                new[pool].append(node)
                break
    return {pool: len(nodes) for pool, nodes in new.items() if nodes}


def seconds(said: str, default: float) -> float:
    """Of a duration as AKS writes them (``10s``, ``5m``); the default for what is none."""
    match = _DURATION.fullmatch(said)
    return default if match is None else float(int(match[1]) * _SECONDS[match[2]])


def _waits(pod: JsonObject) -> bool:
    if text(pod, "spec", "nodeName") or deleting(pod):
        return False
    scheduled = condition(pod, "PodScheduled")
    return scheduled is not None and text(scheduled, "reason") == "Unschedulable"


def _holds(pod: JsonObject) -> bool:
    """Whether a pod keeps its node from going."""
    if text(pod, "status", "phase") in ("Succeeded", "Failed"):
        return False
    owners = entries(pod, "metadata", "ownerReferences")
    return not any(text(owner, "kind") == "DaemonSet" for owner in owners)
