"""What can be done to a cluster besides creating and changing it."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError, not_implemented
from windtunnel_emulators.arm.provider import Action, Reply
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import agent_pools, checks, clusters, commands

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Resource
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .service import ContainerService


async def admin_credential(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """The admin's kubeconfig. Raises ``ArmError`` 400 while local accounts are disabled."""
    found = _there(cluster)
    if found.properties.get("disableLocalAccounts") is True:
        raise ArmError(
            400,
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable local accounts.",
        )
    return _kubeconfig(found, service, "admin", "clusterAdmin")


async def user_credential(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """A user's kubeconfig."""
    form = call.query.get("format")
    if form not in (None, "", "azure", "exec"):
        raise checks.invalid("format", f"'{form}' is none of azure, exec")
    found = _there(cluster)
    if found.properties.get("disableLocalAccounts") is True:
        raise not_implemented(
            "A user's kubeconfig of a cluster without local accounts",
            "It needs sign-in by Entra ID, which the emulated API has not: leave local accounts enabled.",
        )
    return _kubeconfig(found, service, "user", "clusterUser")


async def monitoring_credential(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """A kubeconfig for who monitors: as AKS without monitoring, none."""
    raise ArmError(
        404,
        "NotFound",
        f"Managed cluster '{_there(cluster).id.name}' has no credential for a monitoring user: its monitoring add-on is"
        " not enabled.",
    )


async def access_profile(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """The older way to credentials."""
    role = call.parameters["role"]
    roles = {"clusteradmin": ("admin", "clusterAdmin"), "clusteruser": ("user", "clusterUser")}
    known = roles.get(role.lower())
    if known is None:
        raise ArmError(404, "NotFound", f"There is no access profile '{role}'; there are clusterAdmin and clusterUser.")
    found = _there(cluster)
    return Reply(
        status=200,
        body={
            "id": f"{clusters.service_id(str(found.id))}/accessProfiles/{known[1]}",
            "name": known[1],
            "type": "Microsoft.ContainerService/ManagedClusters/AccessProfiles",
            "location": found.location,
            "properties": {"kubeConfig": _encoded(found, service, *known)},
        },
    )


async def start(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Run a cluster that was stopped; nothing to do for one that runs."""
    found = _there(cluster)
    if not clusters.stopped(found):
        return Reply(status=202, work="update")
    return Reply(status=202, resource=_working(found, "start"), work="start")


async def stop(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Stop a cluster: its API is gone until it is started, its objects are kept."""
    return Reply(status=202, resource=_working(_there(cluster), "stop"), work="stop")


async def rotate(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """New certificates, tokens and authority; kubeconfigs that were given out do not work any more."""
    return Reply(status=202, resource=_working(_there(cluster), "rotate"), work="rotate")


async def reset_principal(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Another service principal. Raises ``ArmError`` 400 for a cluster that has a managed identity."""
    found = _there(cluster)
    body = as_object(call.body)
    client = checks.text(body, "clientId", "servicePrincipalProfile")
    if client is None:
        raise checks.invalid("servicePrincipalProfile.clientId", "clientId is required")
    if as_object(found.properties.get("servicePrincipalProfile")).get("clientId") == "msi":
        raise ArmError(
            400,
            "OperationNotAllowed",
            f"Managed cluster '{found.id.name}' has a managed identity and no service principal to reset.",
        )
    properties: JsonObject = {**found.properties, "servicePrincipalProfile": {"clientId": client}}
    secret = checks.text(body, "secret", "servicePrincipalProfile")
    changed = replace(
        found,
        properties=clusters.in_state(properties, clusters.STATES["update"]),
        secrets={**found.secrets, **({"servicePrincipalSecret": secret} if secret else {})},
    )
    return Reply(status=202, resource=changed, work="update")


async def upgrade_profile(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Which releases may come next."""
    found = _there(cluster)
    current = as_str(found.properties.get("currentKubernetesVersion"))
    upgrades: list[Json] = [{"kubernetesVersion": version} for version in service.versions.upgrades(current)]
    pools: list[Json] = [
        {
            "kubernetesVersion": as_str(as_object(pool).get("currentOrchestratorVersion")),
            "name": as_object(pool).get("name"),
            "osType": "Linux",
            **({"upgrades": upgrades} if upgrades else {}),
        }
        for pool in as_list(found.properties.get("agentPoolProfiles"))
    ]
    return Reply(
        status=200,
        body={
            "id": f"{clusters.service_id(str(found.id))}/upgradeProfiles/default",
            "name": "default",
            "type": "Microsoft.ContainerService/ManagedClusters/upgradeProfiles",
            "properties": {
                "controlPlaneProfile": {
                    "kubernetesVersion": current,
                    "osType": "Linux",
                    **({"upgrades": upgrades} if upgrades else {}),
                },
                "agentPoolProfiles": pools,
            },
        },
    )


async def outbound(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """What a cluster has to reach: nothing, here."""
    return Reply(status=200, body={"value": []})


async def abort(call: Call, cluster: Resource | None, service: ContainerService) -> Reply:
    """Ending work half-way would leave nodes that nobody knows of."""
    found = _there(cluster)
    if found.busy is None:
        raise ArmError(
            400,
            "OperationNotAllowed",
            f"There is no operation in progress on managed cluster '{found.id.name}' that could be aborted.",
        )
    raise not_implemented("Aborting an operation of a cluster", "Wait for it; each one has a limit.")


ACTIONS: tuple[Action[ContainerService], ...] = (
    Action(method="POST", path="listClusterAdminCredential", act=admin_credential),
    Action(method="POST", path="listClusterUserCredential", act=user_credential),
    Action(method="POST", path="listClusterMonitoringUserCredential", act=monitoring_credential),
    Action(method="GET", path="accessProfiles/{role}", act=access_profile),
    Action(method="POST", path="accessProfiles/{role}/listCredential", act=access_profile),
    Action(method="POST", path="start", act=start, refuse_busy=True),
    Action(method="POST", path="stop", act=stop, refuse_busy=True),
    Action(method="POST", path="rotateClusterCertificates", act=rotate, refuse_busy=True),
    Action(method="POST", path="resetServicePrincipalProfile", act=reset_principal, refuse_busy=True),
    Action(method="GET", path="upgradeProfiles/default", act=upgrade_profile),
    Action(method="GET", path="outboundNetworkDependenciesEndpoints", act=outbound),
    Action(method="POST", path="abort", act=abort),
    *commands.ACTIONS,
    *agent_pools.ACTIONS,
)


def _there(cluster: Resource | None) -> Resource:
    if cluster is None:
        raise TypeError("ARM calls an action with the resource there is")
    return cluster


def _working(cluster: Resource, verb: str) -> Resource:
    return replace(cluster, properties=clusters.in_state(cluster.properties, clusters.STATES[verb]))


def _kubeconfig(cluster: Resource, service: ContainerService, role: str, name: str) -> Reply:
    value = _encoded(cluster, service, role, name)
    return Reply(status=200, body={"kubeconfigs": [{"name": name, "value": value}]})


def _encoded(cluster: Resource, service: ContainerService, role: str, name: str) -> str:
    running = service.running(cluster)
    user = f"{name}_{cluster.id.group}_{cluster.id.name}"
    return base64.b64encode(running.kubeconfig(role, user=user).encode("utf-8")).decode("ascii")
