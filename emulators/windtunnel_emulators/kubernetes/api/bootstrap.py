"""What every cluster has from its first moment: namespaces, its own service, priority classes, a list of its APIs.

What is there already stays as it is, except for what describes this start: the address of the server and its APIs.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api import metadata as meta

if TYPE_CHECKING:
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.storage import Storage

ADVERTISED = "192.0.2.1"
"""The server's address in its endpoints, where loopback is refused (TEST-NET-1, RFC 5737)."""
ADDRESS_ANNOTATION = "windtunnel.dev/address"
"""Where such an address really is, as on pods."""

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_PRIORITIES = (("system-node-critical", 2000001000), ("system-cluster-critical", 2000000000))
_GROUP_PRIORITY = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "resource.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
}
"""Of the real server's APIServices; of defined groups it is 1000 and 100."""
_VERSION_PRIORITY = {("", "v1"): 1, ("autoscaling", "v2"): 30, ("flowcontrol.apiserver.k8s.io", "v1"): 21}
_VERSION_PRIORITY[("resource.k8s.io", "v1")] = 21
_API_SERVICES = "apiservices.apiregistration.k8s.io"
_AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"


class Bootstrap:
    """Writes past admission, as the server itself."""

    def __init__(self, storage: Storage, registry: Registry, *, service_cidr: str, port: int) -> None:
        self._storage = storage
        self._registry = registry
        self._cidr = service_cidr
        self._port = port

    async def run(self, now: datetime) -> None:
        """Make what is missing."""
        for name in _NAMESPACES:
            labels: JsonObject = {"kubernetes.io/metadata.name": name}
            await self._make(
                "namespaces",
                now,
                "v1",
                "Namespace",
                {"name": name, "labels": labels},
                {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
            )
        for name, value in _PRIORITIES:
            await self._make(
                "priorityclasses.scheduling.k8s.io",
                now,
                "scheduling.k8s.io/v1",
                "PriorityClass",
                {"name": name, "generation": 1},
                {"value": value, "preemptionPolicy": "PreemptLowerPriority"},
            )
        await self._flow_control(now)
        await self._service(now)
        await self._services_of_groups(now)

    async def _make(
        self,
        resource: str,
        now: datetime,
        api_version: str,
        kind: str,
        metadata: JsonObject,
        rest: JsonObject,
        *,
        renewed: bool = False,
    ) -> None:
        key = (str(metadata.get("namespace", "")), str(metadata["name"]))
        found = self._storage.table(resource).objects.get(key)
        if found is None:
            whole: JsonObject = {"kind": kind, "apiVersion": api_version, "metadata": metadata, **rest}
            generation = metadata.get("generation")
            number = generation if isinstance(generation, int) else None
            await self._storage.create(resource, key, meta.born(whole, namespace=key[0], now=now, generation=number))
        elif renewed and any(found.object.get(name) != value for name, value in rest.items()):
            await self._storage.replace(resource, found, {**found.object, **rest})

    async def _flow_control(self, now: datetime) -> None:
        api_version, group = "flowcontrol.apiserver.k8s.io/v1", "flowcontrol.apiserver.k8s.io"
        everything: JsonObject = {
            "nonResourceRules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}],
            "resourceRules": [
                {"apiGroups": ["*"], "clusterScope": True, "namespaces": ["*"], "resources": ["*"], "verbs": ["*"]}
            ],
        }
        levels: dict[str, JsonObject] = {
            "exempt": {"type": "Exempt", "exempt": {"lendablePercent": 0, "nominalConcurrencyShares": 0}},
            "catch-all": {
                "type": "Limited",
                "limited": {
                    "lendablePercent": 0,
                    "limitResponse": {"type": "Reject"},
                    "nominalConcurrencyShares": 5,
                },
            },
        }
        groups = {"exempt": ("system:masters",), "catch-all": ("system:unauthenticated", "system:authenticated")}
        for name, level in levels.items():
            metadata: JsonObject = {
                "name": name,
                "generation": 1,
                "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"},
            }
            resource = f"prioritylevelconfigurations.{group}"
            await self._make(
                resource, now, api_version, "PriorityLevelConfiguration", metadata, {"spec": level, "status": {}}
            )
            subjects: list[Json] = [{"kind": "Group", "group": {"name": subject}} for subject in groups[name]]
            spec: JsonObject = {
                "matchingPrecedence": 1 if name == "exempt" else 10000,
                "priorityLevelConfiguration": {"name": name},
                "rules": [{**everything, "subjects": subjects}],
            }
            if name != "exempt":
                spec["distinguisherMethod"] = {"type": "ByUser"}
            condition: JsonObject = {
                "type": "Dangling",
                "status": "False",
                "lastTransitionTime": meta.timestamp(now),
                "reason": "Found",
                "message": f'This FlowSchema references the PriorityLevelConfiguration object named "{name}"'
                " and it exists",
            }
            rest: JsonObject = {"spec": spec, "status": {"conditions": [condition]}}
            await self._make(f"flowschemas.{group}", now, api_version, "FlowSchema", metadata, rest)

    async def _service(self, now: datetime) -> None:
        address = str(next(ipaddress.ip_network(self._cidr).hosts()))
        ready: JsonObject = {
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": meta.timestamp(now),
            "reason": "",
            "message": "Kubernetes Service CIDR is ready",
        }
        await self._make(
            "servicecidrs.networking.k8s.io",
            now,
            "networking.k8s.io/v1",
            "ServiceCIDR",
            {"name": "kubernetes", "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
            {"spec": {"cidrs": [self._cidr]}, "status": {"conditions": [ready]}},
        )
        await self._make(
            "ipaddresses.networking.k8s.io",
            now,
            "networking.k8s.io/v1",
            "IPAddress",
            {
                "name": address,
                "labels": {
                    "ipaddress.kubernetes.io/ip-family": "IPv4",
                    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
                },
            },
            {"spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}},
        )
        spec: JsonObject = {
            "clusterIP": address,
            "clusterIPs": [address],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": self._port}],
        }
        labels: JsonObject = {"component": "apiserver", "provider": "kubernetes"}
        name: JsonObject = {"name": "kubernetes", "namespace": "default"}
        annotations: JsonObject = {ADDRESS_ANNOTATION: "127.0.0.1"}
        rest: JsonObject = {"spec": spec, "status": {"loadBalancer": {}}}
        await self._make("services", now, "v1", "Service", {**name, "labels": labels}, rest, renewed=True)
        port: JsonObject = {"name": "https", "port": self._port, "protocol": "TCP"}
        unmirrored: JsonObject = {"endpointslice.kubernetes.io/skip-mirror": "true"}
        subsets: list[Json] = [{"addresses": [{"ip": ADVERTISED}], "ports": [port]}]
        await self._make(
            "endpoints",
            now,
            "v1",
            "Endpoints",
            {**name, "labels": unmirrored, "annotations": annotations},
            {"subsets": subsets},
            renewed=True,
        )
        endpoints: list[Json] = [{"addresses": [ADVERTISED], "conditions": {"ready": True}}]
        of_service: JsonObject = {"kubernetes.io/service-name": "kubernetes"}
        await self._make(
            "endpointslices.discovery.k8s.io",
            now,
            "discovery.k8s.io/v1",
            "EndpointSlice",
            {**name, "generation": 1, "labels": of_service, "annotations": annotations},
            {"addressType": "IPv4", "endpoints": endpoints, "ports": [port]},
            renewed=True,
        )

    async def _services_of_groups(self, now: datetime) -> None:
        for group in ["", *self._registry.groups()]:
            for version in self._registry.versions(group):
                await self.serve_group(now, group, version)

    async def serve_group(self, now: datetime, group: str, version: str, *, elsewhere: bool = False) -> None:
        """The APIService of a group that is served here, or that somebody else serves in this process."""
        spec: JsonObject = {"group": group} if group else {}
        spec["version"] = version
        spec["groupPriorityMinimum"] = _GROUP_PRIORITY.get(group, 100 if elsewhere else 1000)
        default = 15 if group in _GROUP_PRIORITY else 100
        spec["versionPriority"] = _VERSION_PRIORITY.get((group, version), default)
        if elsewhere:
            name = f"{group.partition('.')[0]}-{version}"
            spec["service"] = {"namespace": "kube-system", "name": name, "port": 443}
            reason, message = "Passed", "all checks passed"
        else:
            reason, message = "Local", "Local APIServices are always available"
        condition: JsonObject = {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": meta.timestamp(now),
            "reason": reason,
            "message": message,
        }
        metadata: JsonObject = {"name": f"{version}.{group}"}
        if not elsewhere:
            metadata["labels"] = {_AUTOMANAGED: "onstart" if group in _GROUP_PRIORITY else "true"}
        rest: JsonObject = {"spec": spec, "status": {"conditions": [condition]}}
        await self._make(_API_SERVICES, now, "apiregistration.k8s.io/v1", "APIService", metadata, rest)

    async def serve_what_is_defined(self, now: datetime) -> None:
        """APIServices of defined groups: those that are missing are made, those of groups that are gone go."""
        wanted = {
            (group, version)
            for group in self._registry.groups()
            for version in self._registry.versions(group)
            if self._registry.has(group, version)
        }
        for group, version in sorted(wanted):
            await self.serve_group(now, group, version)
        for stored in self._storage.table(_API_SERVICES).objects_in(None):
            spec = as_object(stored.object.get("spec"))
            group, version = str(spec.get("group", "")), str(spec.get("version", ""))
            if group and (group, version) not in wanted:
                await self.withdraw_group(group, version)

    async def withdraw_group(self, group: str, version: str) -> None:
        """The group's version is defined no more."""
        found = self._storage.table(_API_SERVICES).objects.get(("", f"{version}.{group}"))
        if found is not None and _AUTOMANAGED in as_object(meta.of(found.object).get("labels")):
            await self._storage.remove(_API_SERVICES, found)
