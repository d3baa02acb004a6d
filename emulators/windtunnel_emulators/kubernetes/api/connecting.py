"""Requests that lead out of the API: to a container's streams, and to what a node, a pod or a service serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI
    from windtunnel_emulators.kubernetes.api.requests import Call, Target
    from windtunnel_emulators.kubernetes.streams.connect import Connection

_LEADING_OUT = {
    "pods": ("log", "exec", "attach", "portforward", "proxy"),
    "services": ("proxy",),
    "nodes": ("proxy",),
}


class Connects(Protocol):
    """What carries such requests: ``streams.connect.Connector``."""

    async def connect(self, asked: Connection) -> ASGI:
        """The application that answers. Raises ``StatusError``."""
        ...


def leads_out(target: Target) -> bool:
    """Whether a path is one of these."""
    return target.group == "" and target.subresource in _LEADING_OUT.get(target.plural, ())


def connection(call: Call, target: Target) -> Connection:
    """What is asked for, with path and query as they came."""
    from windtunnel_emulators.kubernetes.streams.connect import Connection

    before, slash, after = call.raw_path.partition(f"/{target.subresource}/")
    return Connection(
        resource=target.plural,
        subresource=target.subresource,
        namespace=target.namespace or None,
        name=target.name,
        path=f"/{after}" if before and slash else "",
        query=call.raw_query,
    )
