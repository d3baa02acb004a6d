"""What an edge device's hub is at, for the control API of its process. No key and no message is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.edge.hub.hub import EdgeHub
    from windtunnel_emulators.jsontypes import Json, JsonObject


def status(hub: EdgeHub) -> JsonObject:
    """Who is connected and to what, which twins wait for the cloud, how many messages wait for whom."""
    clients: list[Json] = []
    for client in hub.clients:
        feeds: list[Json] = [*sorted(feed.value for feed in client.feeds)]
        clients.append({"id": str(client.who), "feeds": feeds})
    return {
        "cloud": "reachable" if hub.cloud.is_reachable else "unreachable",
        "configurationVersion": hub.administration.version,
        "clients": clients,
        "twinsWaiting": hub.reports.waiting(),
        "queues": dict(hub.queues.depths()),
    }
