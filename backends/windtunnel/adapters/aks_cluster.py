"""``Clusters``: the managed cluster of a profile, made or reused, attached and detached, by the official SDK.

A cluster is made once and serves many deployments. One that somebody else made is used only once it is attached; it
can be detached, and is never deleted here. Rules and words: Azure ML's ``AksCompute`` (azureml-core 1.61).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from windtunnel import names
from windtunnel.adapters.aci_desired import TAG_OWNER, TAG_TARGET
from windtunnel.adapters.errors import translated
from windtunnel.adapters.groups import ensure_group
from windtunnel.adapters.vm_sizes import vcpus_of
from windtunnel.aks_options import Purpose
from windtunnel.errors import AlreadyExists, Conflict, InvalidSpec, NotFound, ServiceError, Timeout
from windtunnel.interface import Progress
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel.operation import BackgroundOperation, Stop
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.core.polling import LROPoller

    from windtunnel.adapters.clients import Clients
    from windtunnel.adapters.images import Waiting
    from windtunnel.jsontypes import Json, JsonObject

    _Read: TypeAlias = Callable[["_Answer", object, object], object]

DEFAULT_CLUSTER = "windtunnel"
DEFAULT_VM_SIZE = "Standard_D3_v2"
PRODUCTION_VCPUS = 12
"""The fewest of a cluster for production (how-to-deploy-azure-kubernetes-service, 10/25/2019)."""
TAG_PURPOSE = "windtunnel-purpose"
TAG_ATTACHED = "windtunnel-attached"
_TYPE = "Microsoft.ContainerService/managedClusters"
_LIMIT_S = 3600.0
_CHECK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """What the profile says of its cluster. Raises ``InvalidSpec`` for what breaks a rule."""

    name: str = DEFAULT_CLUSTER
    purpose: Purpose = Purpose.FAST_PROD
    agent_count: int | None = None
    vm_size: str = DEFAULT_VM_SIZE
    kubernetes_version: str | None = None

    def __post_init__(self) -> None:
        names.check_cluster(self.name)
        if self.agent_count is not None and self.agent_count < 1:
            raise InvalidSpec("Invalid configuration, agent count must be a positive integer.")

    @property
    def nodes(self) -> int:
        """How many there are to be."""
        return self.purpose.nodes if self.agent_count is None else self.agent_count

    def check_size(self) -> None:
        """Raises ``InvalidSpec`` for a production cluster that is too small."""
        cores = vcpus_of(self.vm_size)
        if cores is not None:
            check_size(self.name, self.nodes * cores, self.purpose)


def check_size(name: str, cores: int, purpose: Purpose) -> None:
    """Raises ``InvalidSpec`` for a production cluster with fewer cores than the rule asks."""
    if purpose is not Purpose.DEV_TEST and cores < PRODUCTION_VCPUS:
        raise InvalidSpec(
            f"Invalid configuration, cluster {name!r} would have {cores} virtual CPUs: a cluster that is not for"
            f" {Purpose.DEV_TEST} needs at least {PRODUCTION_VCPUS} (agent_count times the virtual CPUs of vm_size).",
            way_out="Give it more nodes or larger ones (--set agent_count=3 --set vm_size=Standard_D3_v2), or say that"
            " it is for development: --set cluster_purpose=DevTest",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A managed cluster as it is now."""

    name: str
    group: str
    id: str
    location: str
    provisioning: str
    power: str
    version: str
    pools: tuple[tuple[str, int, str], ...]
    """Name, nodes, VM size."""
    uid: str = ""
    """Another one after the cluster was deleted and made again."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def parse(cls, body: JsonObject) -> Cluster:
        """From ARM's answer."""
        properties = as_object(body.get("properties"))
        pools = [as_object(pool) for pool in as_list(properties.get("agentPoolProfiles"))]
        id_ = as_str(body.get("id"))
        return cls(
            name=as_str(body.get("name")),
            group=id_.split("/")[4] if id_.count("/") >= 8 else "",
            id=id_,
            location=as_str(body.get("location")),
            provisioning=as_str(properties.get("provisioningState")),
            power=as_str(as_object(properties.get("powerState")).get("code"), "Running"),
            version=as_str(properties.get("currentKubernetesVersion")) or as_str(properties.get("kubernetesVersion")),
            pools=tuple((as_str(p.get("name")), _whole(p.get("count")), as_str(p.get("vmSize"))) for p in pools),
            uid=as_str(properties.get("resourceUID")),
            tags={key: as_str(value) for key, value in as_object(body.get("tags")).items()},
        )

    @property
    def made_here(self) -> bool:
        """Whether Windtunnel made it."""
        return self.tags.get(TAG_TARGET) == Target.AKS

    @property
    def attached(self) -> bool:
        """Whether it is somebody's that Windtunnel may use."""
        return TAG_ATTACHED in self.tags and not self.made_here

    @property
    def purpose(self) -> Purpose:
        """What it was said to be for."""
        said = self.tags.get(TAG_PURPOSE) or self.tags.get(TAG_ATTACHED)
        return Purpose.DEV_TEST if said == Purpose.DEV_TEST else Purpose.FAST_PROD

    @property
    def vcpus(self) -> int:
        """Of all nodes whose size tells."""
        return sum(count * (vcpus_of(size) or 0) for _, count, size in self.pools)

    @property
    def nodes(self) -> int:
        """Of all pools."""
        return sum(count for _, count, _ in self.pools)


class _Response(Protocol):
    @property
    def status_code(self) -> int: ...
    def text(self) -> str: ...


class _Answer(Protocol):
    @property
    def http_response(self) -> _Response: ...


class _Kubeconfig(Protocol):
    value: bytes | bytearray | None


class _Credentials(Protocol):
    kubeconfigs: list[_Kubeconfig] | None


class _Operations(Protocol):
    """The operations that are used, with their ``cls``: a function of the raw answer in place of the SDK's models."""

    def get(self, group: str, name: str, /, *, cls: _Read) -> object: ...
    def list_by_resource_group(self, group: str, /, *, cls: Callable[[list[object]], list[object]]) -> object: ...
    def begin_create_or_update(self, group: str, name: str, body: bytes, /, *, cls: _Read) -> LROPoller[object]: ...
    def begin_update_tags(self, group: str, name: str, body: bytes, /, *, cls: _Read) -> LROPoller[object]: ...
    def begin_delete(self, group: str, name: str, /, *, cls: _Read) -> LROPoller[object]: ...
    def list_cluster_user_credentials(self, group: str, name: str, /) -> _Credentials: ...


def _as_json(response: _Answer, _model: object, _headers: object) -> object:
    """For the SDK's ``cls``: the body itself in place of its model."""
    text = response.http_response.text()
    return json.loads(text) if text else None


class Clusters:
    """Raises the errors of ``windtunnel.errors``."""

    def __init__(
        self,
        clients: Clients,
        *,
        group: str,
        location: str,
        owner: str,
        settings: ClusterSettings,
        progress: Callable[[Progress], None],
    ) -> None:
        self._clients = clients
        self._group = group
        self._location = location
        self._owner = owner
        self.settings = settings
        self._progress = progress

    @property
    def _operations(self) -> _Operations:
        return cast("_Operations", self._clients.clusters.managed_clusters)

    # --- read

    def get(self, name: str) -> Cluster | None:
        """None when there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        with translated(f"reading cluster {name!r}"):
            try:
                found = self._operations.get(self._group, name, cls=_as_json)
            except ResourceNotFoundError:
                return None
        return Cluster.parse(cast("JsonObject", found))

    def require(self, name: str | None = None) -> Cluster:
        """The profile's cluster (or the one of that name), which must be there and ours to use. Raises ``NotFound``."""
        name = name or self.settings.name
        found = self.get(name)
        if found is None or not (found.made_here or found.attached):
            raise NotFound(
                f"ComputeTargetNotFound: Compute Target with name {name} not found in provided workspace"
                f" (resource group {self._group!r})",
                way_out="The first deployment makes it; `windtunnel cluster attach` takes one that is there.",
            )
        return found

    def kubeconfig(self, name: str) -> bytes:
        """The user's credentials for the cluster's API."""
        with translated(f"credentials of cluster {name!r}"):
            found = self._operations.list_cluster_user_credentials(self._group, name)
        for config in found.kubeconfigs or ():
            if config.value:
                return bytes(config.value)
        raise ServiceError(f"cluster {name!r} gave no credentials")

    # --- make

    def ensure(self, stop: Waiting) -> Cluster:
        """The profile's cluster: reused, or made. Raises ``AlreadyExists`` for one that is not ours to use."""
        name = self.settings.name
        found = self.get(name)
        if found is None:
            return self.create(stop)
        if not (found.made_here or found.attached):
            raise AlreadyExists(
                f"cluster {name!r} exists and was not made by Windtunnel: it is left alone",
                way_out=f"Attach it (windtunnel cluster attach {name}), or name another one: --set cluster=...",
            )
        if found.power == "Stopped":
            raise Conflict(f"cluster {name!r} is stopped", way_out=f"az aks start -g {self._group} -n {name}")
        if found.provisioning == "Failed":
            raise ServiceError(
                f"cluster {name!r} is in the state Failed", way_out=f"`windtunnel cluster delete {name}`, then again."
            )
        return found

    def create(self, stop: Waiting) -> Cluster:
        """Make the profile's cluster. Raises ``AlreadyExists``: Azure ML's creation was not idempotent either."""
        settings = self.settings
        settings.check_size()
        if self.get(settings.name) is not None:
            raise AlreadyExists(f"cluster {settings.name!r} exists already", way_out="Use it, or delete it first.")
        tags = {TAG_TARGET: Target.AKS.value, TAG_OWNER: self._owner, TAG_PURPOSE: settings.purpose.value}
        if ensure_group(self._clients, self._group, self._location, tags):
            self._progress(Progress(step=f"created resource group {self._group}"))
        self._progress(
            Progress(step=f"creating cluster {settings.name} ({settings.nodes} nodes of size {settings.vm_size})")
        )
        pool: JsonObject = {
            "name": "agentpool",
            "mode": "System",
            "count": settings.nodes,
            "vmSize": settings.vm_size,
            "osType": "Linux",
            "type": "VirtualMachineScaleSets",
        }
        properties: JsonObject = {"dnsPrefix": settings.name.lower(), "agentPoolProfiles": [pool]}
        if settings.kubernetes_version is not None:
            properties["kubernetesVersion"] = settings.kubernetes_version
        body: JsonObject = {
            "location": self._location,
            "tags": dict(tags),
            "identity": {"type": "SystemAssigned"},
            "properties": properties,
        }
        self._put(settings.name, body, stop)
        return self.require()

    def attach(self, reference: str, purpose: Purpose) -> Cluster:
        """Take a cluster of this resource group into use: by its name, or its resource id."""
        name = self._name_of(reference)
        found = self.get(name)
        if found is None:
            raise NotFound(f"cluster {name!r} was not found in resource group {self._group!r}")
        if found.made_here or found.attached:
            raise AlreadyExists(f"cluster {name!r} is attached already, and one cluster can be attached once")
        check_size(name, found.vcpus, purpose)
        self._tag(name, {**found.tags, TAG_ATTACHED: purpose.value})
        return self.require(name)

    def _name_of(self, reference: str) -> str:
        if "/" not in reference:
            return reference
        parts = reference.split("/")
        if len(parts) != 9:
            raise InvalidSpec(f"Invalid resource_id provided: {reference}")
        kind = f"{parts[6]}/{parts[7]}"
        if kind.lower() != _TYPE.lower():
            raise InvalidSpec(f"Invalid resource_id provided, resource type {kind} does not match for AKS")
        if parts[2].lower() != self._clients.subscription.lower() or parts[4].lower() != self._group.lower():
            raise InvalidSpec(
                f"the cluster {parts[8]!r} is not in the resource group of this profile",
                way_out=f"Use a profile with --subscription {parts[2]} --resource-group {parts[4]}.",
            )
        return parts[8]

    def detach(self, name: str) -> None:
        """Let go of an attached cluster, and leave it and what runs on it as they are."""
        found = self.require(name)
        if not found.attached:
            raise InvalidSpec(
                f"cluster {name!r} was made by Windtunnel and not attached",
                way_out=f"Delete it: windtunnel cluster delete {name}",
            )
        self._tag(name, {key: value for key, value in found.tags.items() if key != TAG_ATTACHED})

    def delete(self, name: str) -> BackgroundOperation[bool]:
        """Delete a cluster that Windtunnel made, with all that runs on it; False when there was none."""
        return BackgroundOperation(f"deletion of cluster {name!r}", lambda stop: self._delete(name, stop))

    def _delete(self, name: str, stop: Waiting) -> bool:
        found = self.get(name)
        if found is None:
            return False
        if not found.made_here:
            raise InvalidSpec(
                f"cluster {name!r} was not made by Windtunnel, so it is not deleted here",
                way_out=f"Detach it: windtunnel cluster detach {name}",
            )
        self._progress(Progress(step=f"deleting cluster {name}"))
        doing = f"deleting cluster {name!r}"
        with translated(doing):
            poller = self._operations.begin_delete(self._group, name, cls=_as_json)
        _wait(poller, doing, stop)
        return True

    def _put(self, name: str, body: JsonObject, stop: Waiting) -> None:
        doing = f"creating cluster {name!r}"
        with translated(doing):
            poller = self._operations.begin_create_or_update(self._group, name, json.dumps(body).encode(), cls=_as_json)
        _wait(poller, doing, stop)

    def _tag(self, name: str, tags: Mapping[str, str]) -> None:
        doing = f"tagging cluster {name!r}"
        body = json.dumps({"tags": dict(tags)}).encode()
        with translated(doing):
            poller = self._operations.begin_update_tags(self._group, name, body, cls=_as_json)
        _wait(poller, doing, Stop())


def _wait(poller: LROPoller[object], doing: str, waiting: Waiting) -> None:
    waited = 0.0
    while not poller.done():
        waiting.check(f"{doing} goes on at Azure")
        with translated(doing):
            poller.wait(_CHECK_EVERY_S)
        waited += _CHECK_EVERY_S
        if waited > _LIMIT_S:
            raise Timeout(f"{doing} is not over after {waited:.0f} s", way_out="Look at its state later.")
    with translated(doing):
        poller.result()


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
