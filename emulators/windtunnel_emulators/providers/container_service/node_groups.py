"""The second resource group of a cluster, which AKS keeps its machines in: it is managed by the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.groups import Group
from windtunnel_emulators.jsontypes import as_str

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Resource
    from windtunnel_emulators.arm.resources import Resources


class NodeGroups:
    """Of all clusters."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def check(self, subscription: str, name: str) -> None:
        """Raises ``ArmError`` 400 for the name of a group that is there."""
        if self._resources.group(subscription, name) is not None:
            raise ArmError(
                400,
                "NodeResourceGroupAlreadyExists",
                f"The node resource group '{name}' already exists. Choose another name for 'nodeResourceGroup', or"
                " delete the group.",
                target="properties.nodeResourceGroup",
            )

    def make(self, cluster: Resource) -> None:
        """Safe to call twice."""
        name = as_str(cluster.properties.get("nodeResourceGroup"))
        if self._resources.group(cluster.id.subscription, name) is None:
            self._resources.save_group(
                Group(
                    subscription=cluster.id.subscription,
                    name=name,
                    location=cluster.location or "",
                    tags={"aks-managed-cluster-name": cluster.id.name, "aks-managed-cluster-rg": cluster.id.group},
                    managed_by=str(cluster.id),
                )
            )

    def remove(self, cluster: Resource) -> None:
        """With all that is in it. Safe when it is gone, and when another cluster's has the name."""
        name = as_str(cluster.properties.get("nodeResourceGroup"))
        group = self._resources.group(cluster.id.subscription, name)
        if group is not None and (group.managed_by or "").lower() == cluster.id.key:
            self._resources.drop_group(group)
