"""Rules of the group itself: its name and the words of closed sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.providers.container_instance.bodies import OS_TYPES, PRIORITIES, RESTART_POLICIES, SKUS

from .terms import NAME_RULE, invalid, is_name, one_of

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.bodies import GroupProperties


def check_group_name(name: str) -> None:
    """The naming rules of Microsoft.ContainerInstance/containerGroups."""
    if not is_name(name) or "--" in name:
        raise invalid(
            "InvalidContainerGroupName",
            f"The container group name '{name}' is invalid. {NAME_RULE} Two '-' in a row are not allowed.",
            "name",
        )


def check_words(name: str, properties: GroupProperties) -> None:
    """``osType`` is required; the others are one of their words when they are there."""
    if properties.os_type not in OS_TYPES:
        raise invalid(
            "InvalidOsType",
            f"The 'osType' for container group '{name}' is invalid. {one_of(OS_TYPES)}",
            "properties.osType",
        )
    for code, field, value, allowed in (
        ("InvalidRestartPolicy", "restartPolicy", properties.restart_policy, RESTART_POLICIES),
        ("InvalidSku", "sku", None if properties.sku == "NotSpecified" else properties.sku, SKUS),
        ("InvalidPriority", "priority", properties.priority, PRIORITIES),
    ):
        if value is not None and value not in allowed:
            raise invalid(
                code,
                f"The '{field}' '{value}' for container group '{name}' is invalid. {one_of(allowed)}",
                f"properties.{field}",
            )
