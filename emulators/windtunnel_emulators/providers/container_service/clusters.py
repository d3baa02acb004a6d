"""Managed clusters as ARM's verbs see them: what PUT, PATCH and DELETE check and make, and what works do."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.arm.errors import ArmError
from windtunnel_emulators.arm.provider import Change, Removal, Resource, View
from windtunnel_emulators.jsontypes import as_list, as_object, as_str

from . import bodies, checks
from .identities import identity_of

if TYPE_CHECKING:
    from windtunnel_emulators.arm.provider import Call, Operation
    from windtunnel_emulators.jsontypes import Json, JsonObject

    from .service import ContainerService

SUCCEEDED, FAILED = "Succeeded", "Failed"
STATES = {
    "create": "Creating",
    "update": "Updating",
    "upgrade": "Upgrading",
    "start": "Starting",
    "stop": "Stopping",
    "delete": "Deleting",
    "rotate": "RotatingClusterCertificates",
    "pool": "Updating",
    "newpool": "Updating",
}
"""``provisioningState`` by the verb at work."""
_FIELDS = {"location", "tags", "properties", "identity", "sku", "kind", "name", "type", "id"}
_UNEMULATED = ("extendedLocation",)


def put(call: Call, current: Resource | None, service: ContainerService) -> Change:
    """Create a cluster, or bring it in line with a new body. Raises ``ArmError``."""
    if call.id is None:
        raise TypeError("a PUT has the id of its resource")
    body = as_object(call.body)
    checks.refuse(body, dict.fromkeys(_UNEMULATED, "Leave it out."), "a managed cluster")
    properties = _without_nulls(as_object(body.get("properties")))
    location = as_str(body.get("location"))
    _check_etag(call, current)
    if current is None:
        made = bodies.create(call.id, location, properties, service.versions)
        service.node_groups.check(call.subscription, as_str(made.get("nodeResourceGroup")))
        verb = "create"
    else:
        _check_running(current, properties)
        made = bodies.update(call.id, location, properties, current.properties, service.versions)
        changed = made.get("currentKubernetesVersion") != current.properties.get("currentKubernetesVersion")
        service.check_upgrade(made) if changed else None
        verb = "upgrade" if changed else "update"
    service.quotas.check(call.subscription, location, call.id.key, made)
    envelope: JsonObject = {
        "kind": "Base",
        "identity": identity_of(
            as_object(body.get("identity")) or as_object(current.envelope.get("identity") if current else None),
            tenant=call.caller.tenant,
            before=as_object(current.envelope.get("identity")) if current else {},
        ),
        "sku": _sku(as_object(body.get("sku")), as_object(current.envelope.get("sku")) if current else {}),
    }
    tags = body.get("tags")
    resource = Resource(
        id=call.id,
        location=location,
        tags={k: as_str(v) for k, v in as_object(tags).items()} if tags is not None else None,
        properties=in_state(made, STATES[verb]),
        envelope={key: value for key, value in envelope.items() if value},
        secrets=_secrets(properties, current),
        state={} if current is None else current.state,
        etag="" if current is None else current.etag,
    )
    return Change(resource=resource, status=201 if current is None else 200, work=verb)


def patch(call: Call, current: Resource | None, service: ContainerService) -> Change:
    """Replace the tags; nothing else of a cluster can be changed in part."""
    if current is None:
        raise TypeError("ARM calls PATCH with the resource there is")
    _check_etag(call, current)
    body = as_object(call.body)
    others = sorted(field for field in body if field != "tags")
    if others:
        raise ArmError(
            400,
            "InvalidParameter",
            f"The '{others[0]}' of managed cluster '{current.id.name}' cannot be changed by PATCH, which only replaces"
            " its tags. Send the whole cluster by PUT.",
            target=others[0],
        )
    tags = body.get("tags")
    if not isinstance(tags, dict):
        return Change(resource=current, status=200)
    changed = replace(current, tags={name: as_str(value) for name, value in tags.items()})
    return Change(resource=changed, status=200)


def delete(call: Call, current: Resource, service: ContainerService) -> Removal:
    """The cluster is there until its nodes, objects and resource group are gone."""
    _check_etag(call, current)
    return Removal(status=202, work="delete", at_once=False, announce=True)


async def create(resource: Resource, service: ContainerService) -> Resource:
    """Make what a new cluster is made of."""
    service.node_groups.make(resource)
    return await apply(resource, service)


async def apply(resource: Resource, service: ContainerService) -> Resource:
    """Bring the cluster's nodes in line with what is stored."""
    if as_object(resource.properties.get("powerState")).get("code") == "Stopped":
        return settled(resource)  # a change of what is stored only; nothing runs
    await service.apply(resource)
    return settled(resource)


async def start(resource: Resource, service: ContainerService) -> Resource:
    """Run a cluster that was stopped."""
    running = with_power(resource, "Running")
    await service.apply(running)
    return settled(running)


async def stop(resource: Resource, service: ContainerService) -> Resource:
    """Stop a cluster; what is stored of it stays."""
    await service.stop_cluster(resource)
    return settled(with_power(resource, "Stopped"))


async def rotate(resource: Resource, service: ContainerService) -> Resource:
    """Give a cluster new certificates."""
    await service.rotate(resource)
    return settled(resource)


async def remove(resource: Resource, service: ContainerService) -> Resource:
    """Free what the cluster holds."""
    await service.remove(resource)
    service.node_groups.remove(resource)
    return resource


def failed(resource: Resource, problem: ArmError) -> Resource:
    """A cluster whose last change failed."""
    return replace(resource, properties=in_state(resource.properties, FAILED, only_working=True))


def busy(resource: Resource, call: Call) -> ArmError:
    """The service's own refusal while a cluster is being changed."""
    state = STATES.get(resource.busy or "", "Updating")
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed: Another operation ({state}) is in progress, please wait for it to finish before"
        " starting a new operation. See https://aka.ms/aks-pending-operation for more details",
    )


def view(resource: Resource, service: ContainerService, how: View) -> JsonObject:
    """A cluster in an answer. Its id and type are spelled as the service spells them."""
    properties: JsonObject = {"provisioningState": SUCCEEDED, **resource.properties}
    if resource.busy == "delete":
        properties["provisioningState"] = STATES["delete"]
    shown: JsonObject = {
        "id": service_id(str(resource.id)),
        "type": "Microsoft.ContainerService/ManagedClusters",
        **resource.envelope,
        "properties": service.with_counts(resource, properties),
    }
    if resource.etag:
        shown["eTag"] = resource.etag
    return shown


def poll(operation: Operation, resource: Resource | None, service: ContainerService) -> JsonObject:
    """The body of a poll."""
    waiting = operation.status == "InProgress"
    word = "CreatingAgentPool" if waiting and operation.verb == "newpool" else operation.status
    found: JsonObject = {
        "name": operation.id,
        "status": word,
        "startTime": f"{operation.started:%Y-%m-%dT%H:%M:%SZ}",
    }
    if operation.ended is not None:
        found["endTime"] = f"{operation.ended:%Y-%m-%dT%H:%M:%SZ}"
    if operation.error is not None:
        found["error"] = operation.error
    return found


def service_id(id: str) -> str:
    """As the service prints ids: ``resourcegroups`` in lower case."""
    return id.replace("/resourceGroups/", "/resourcegroups/", 1)


def in_state(properties: JsonObject, state: str, *, pool: str | None = None, only_working: bool = False) -> JsonObject:
    """The properties with a provisioning state, of the cluster and of all pools, or of one."""
    pools: list[Json] = []
    for item in as_list(properties.get("agentPoolProfiles")):
        one = as_object(item)
        touched = pool is None or one.get("name") == pool
        if only_working and one.get("provisioningState") == SUCCEEDED:
            touched = False
        pools.append({**one, "provisioningState": state} if touched else item)
    return {**properties, "provisioningState": state, "agentPoolProfiles": pools}


def settled(resource: Resource) -> Resource:
    """A cluster whose change is done; its load balancer has an address on the internet then, by name."""
    properties = in_state(resource.properties, SUCCEEDED)
    network = as_object(properties.get("networkProfile"))
    balancer = as_object(network.get("loadBalancerProfile"))
    if balancer and "effectiveOutboundIPs" not in balancer:
        group = as_str(properties.get("nodeResourceGroup"))
        name = uuid.uuid5(uuid.NAMESPACE_URL, str(resource.id) + as_str(properties.get("resourceUID")))
        address: JsonObject = {
            "id": f"/subscriptions/{resource.id.subscription}/resourceGroups/{group}/providers/"
            f"Microsoft.Network/publicIPAddresses/{name}"
        }
        network = {**network, "loadBalancerProfile": {**balancer, "effectiveOutboundIPs": [address]}}
        properties = {**properties, "networkProfile": network}
    return replace(resource, properties=properties)


def with_power(resource: Resource, code: str) -> Resource:
    """Running, or stopped."""
    pools: list[Json] = []
    for item in as_list(resource.properties.get("agentPoolProfiles")):
        one = as_object(item)
        pools.append({**one, "powerState": {"code": code}})
    properties: JsonObject = {**resource.properties, "powerState": {"code": code}, "agentPoolProfiles": pools}
    return replace(resource, properties=properties)


def stopped(resource: Resource) -> bool:
    """Whether a cluster was stopped."""
    return as_object(resource.properties.get("powerState")).get("code") == "Stopped"


def _check_running(current: Resource, body: JsonObject) -> None:
    if stopped(current):
        raise ArmError(
            400,
            "OperationNotAllowed",
            f"Managed cluster '{current.id.name}' is stopped, and only a running cluster can be changed. Start it first"
            " (az aks start).",
        )


def _check_etag(call: Call, current: Resource | None) -> None:
    wanted, unwanted = call.headers.get("if-match"), call.headers.get("if-none-match")
    found = "" if current is None else current.etag
    if (wanted and wanted != "*" and wanted.strip('"') != found) or (unwanted == "*" and current is not None):
        raise ArmError(
            412 if unwanted else 409,
            "EtagMismatch",
            f"The etag of the request does not match that of managed cluster '{call.id.name if call.id else ''}'."
            " Read it and try again.",
        )


def _sku(given: JsonObject, before: JsonObject) -> JsonObject:
    name = checks.one_of(given, "name", ("Base", "Basic", "Automatic"), "sku") or as_str(before.get("name")) or "Base"
    if name == "Automatic":
        checks.refuse({"sku": True}, {"sku": "Use the SKU Base."}, "a managed cluster with the SKU Automatic")
    tiers = ("Free", "Standard", "Premium", "Paid")
    tier = checks.one_of(given, "tier", tiers, "sku") or as_str(before.get("tier")) or "Free"
    return {"name": "Base", "tier": "Standard" if tier == "Paid" else tier}


def _secrets(properties: JsonObject, current: Resource | None) -> JsonObject:
    secret = as_object(properties.get("servicePrincipalProfile")).get("secret")
    if isinstance(secret, str):
        return {"servicePrincipalSecret": secret}
    return {} if current is None else current.secrets


def _without_nulls(value: JsonObject) -> JsonObject:
    found: JsonObject = {}
    for key, item in value.items():
        if isinstance(item, dict):
            found[key] = _without_nulls(item)
        elif isinstance(item, list):
            found[key] = [_without_nulls(one) if isinstance(one, dict) else one for one in item]
        elif item is not None:
            found[key] = item
    return found
