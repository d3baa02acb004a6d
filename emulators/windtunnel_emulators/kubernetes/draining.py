"""Emptying a node before it goes: no new pods, and an eviction for each one that is there, as budgets allow."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.client.interface import STRATEGIC_MERGE_PATCH, StatusError
from windtunnel_emulators.kubernetes.client.kinds import NODE, POD

if TYPE_CHECKING:
    from windtunnel_emulators.clock import Clock
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.client.interface import Client

_AGAIN_S = 0.2
_MIRROR = "kubernetes.io/config.mirror"
_log = logging.getLogger(__name__)


async def cordon(client: Client, node: str, *, on: bool = True) -> None:
    """Whether new pods are kept away. Nothing happens for a node that is not there."""
    try:
        await client.request(
            "PATCH",
            NODE.path(None, node),
            body={"spec": {"unschedulable": on or None}},
            content_type=STRATEGIC_MERGE_PATCH,
        )
    except StatusError as problem:
        if problem.code != 404:
            raise


async def drain(client: Client, clock: Clock, node: str, *, limit_s: float) -> tuple[str, ...]:
    """Cordon a node and evict its pods; returns those that are still there at the limit (``namespace/name``)."""
    await cordon(client, node)
    deadline = clock.monotonic() + limit_s
    while True:
        pods = [pod for pod in await _pods(client, node) if not _stays(pod)]
        if not pods:
            return ()
        if clock.monotonic() > deadline:
            return tuple(f"{_meta(pod, 'namespace')}/{_meta(pod, 'name')}" for pod in pods)
        await asyncio.gather(*(_evict(client, pod) for pod in pods if not _meta(pod, "deletionTimestamp")))
        await clock.sleep(_AGAIN_S)


async def remove(client: Client, node: str) -> None:
    """Take a node and whatever pods it still has out of the cluster, at once."""
    for pod in await _pods(client, node):
        await _ignore_absent(
            client.request(
                "DELETE",
                POD.path(_meta(pod, "namespace"), _meta(pod, "name")),
                body={"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0},
            )
        )
    await _ignore_absent(client.request("DELETE", NODE.path(None, node)))


async def _pods(client: Client, node: str) -> list[JsonObject]:
    found = await client.request("GET", POD.path(), query={"fieldSelector": f"spec.nodeName={node}"})
    return [as_object(pod) for pod in as_list(found.get("items"))]


async def _evict(client: Client, pod: JsonObject) -> None:
    namespace, name = _meta(pod, "namespace"), _meta(pod, "name")
    try:
        await client.request(
            "POST",
            POD.path(namespace, name, "eviction"),
            body={
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": namespace},
            },
        )
    except StatusError as problem:
        if problem.code not in (404, 429):  # gone already; a budget that does not allow it now
            raise


async def _ignore_absent(request: object) -> None:
    try:
        await request  # type: ignore[misc]  # a coroutine of the client's
    except StatusError as problem:
        if problem.code != 404:
            raise


def _stays(pod: JsonObject) -> bool:
    """Pods of the node itself: they would be there again at once."""
    metadata = as_object(pod.get("metadata"))
    owners = [as_object(owner) for owner in as_list(metadata.get("ownerReferences"))]
    if any(owner.get("kind") == "DaemonSet" and owner.get("controller") is True for owner in owners):
        return True
    return _MIRROR in as_object(metadata.get("annotations"))


def _meta(pod: JsonObject, name: str) -> str:
    return as_str(as_object(pod.get("metadata")).get(name))
