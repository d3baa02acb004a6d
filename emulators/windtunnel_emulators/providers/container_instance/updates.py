"""What a second PUT may change: everything but the operating system, the size, the restart policy and the network.

A group that has ended or was stopped is deployed anew, so that these rules do not hold for it (Microsoft's
documentation on updating containers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .validation.resources import totals
from .validation.terms import invalid

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json

    from .bodies import GroupProperties


def check_update(name: str, before: GroupProperties, after: GroupProperties) -> None:
    """Raises ``ArmError`` 400 ``InvalidContainerGroupUpdate``, with the path of what may not change as target.

    Both have their defaults filled in.
    """
    changed = _forbidden_change(before, after)
    if changed is not None:
        path, was, would_be = changed
        raise invalid(
            "InvalidContainerGroupUpdate",
            f"The updates on container group '{name}' are invalid. If you are going to update the os type, restart"
            " policy, network profile, CPU, memory or GPU resources for a container group, you must delete it first"
            f" and then create a new one. The update changes '{path}' from '{was}' to '{would_be}'.",
            f"properties.{path}",
        )


def _forbidden_change(before: GroupProperties, after: GroupProperties) -> tuple[str, str, str] | None:
    cpu_before, memory_before = totals(before)
    cpu_after, memory_after = totals(after)
    for path, was, would_be in (
        ("osType", before.os_type or "", after.os_type or ""),
        ("restartPolicy", before.restart_policy or "", after.restart_policy or ""),
        ("sku", before.sku or "", after.sku or ""),
        ("priority", before.priority or "Regular", after.priority or "Regular"),
        ("subnetIds", _network(before), _network(after)),
        ("ipAddress.type", _address_type(before), _address_type(after)),
        ("containers.cpu", f"{cpu_before:g}", f"{cpu_after:g}"),
        ("containers.memoryInGB", f"{memory_before:g}", f"{memory_after:g}"),
    ):
        if was != would_be:
            return path, was, would_be
    return None


def _network(properties: GroupProperties) -> str:
    subnets = [(subnet.id or "").lower() for subnet in properties.subnet_ids or []]
    profile = (properties.network_profile.id or "").lower() if properties.network_profile else ""
    return ",".join([*subnets, profile] if profile else subnets)


def _address_type(properties: GroupProperties) -> str:
    """Adding or removing an address is allowed, turning a public one private is not."""
    return "Private" if properties.ip_address is not None and properties.ip_address.type == "Private" else "Public"


def check_zones(name: str, before: Json, after: Json) -> None:
    """Raises ``ArmError`` 400 ``InvalidContainerGroupUpdate`` when the zones differ."""
    if (before or []) != (after or []):
        raise invalid(
            "InvalidContainerGroupUpdate",
            f"The updates on container group '{name}' are invalid. If you are going to update the zones of a container"
            " group, you must delete it first and then create a new one.",
            "zones",
        )
