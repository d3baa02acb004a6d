"""Resource groups: there before anything is put into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel.adapters.errors import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.adapters.clients import Clients


def ensure_group(clients: Clients, name: str, location: str, tags: Mapping[str, str]) -> bool:
    """Create the resource group unless it is there; True when it was created. One that is there is left as it is."""
    from azure.core.exceptions import ResourceNotFoundError

    doing = f"resource group {name!r}"
    with translated(doing):
        try:
            clients.resources.resource_groups.get(name)
        except ResourceNotFoundError:
            clients.resources.resource_groups.create_or_update(name, {"location": location, "tags": dict(tags)})
            return True
    return False
