"""``AzureBackend``: a ``Cloud`` and the adapters of the targets."""

from __future__ import annotations

import getpass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Self

from windtunnel.adapters.aci import AciAdapter, needed
from windtunnel.adapters.aks import AksAdapter
from windtunnel.adapters.aks_cluster import DEFAULT_CLUSTER, Clusters, ClusterSettings
from windtunnel.adapters.building import Settings
from windtunnel.adapters.clients import Clients
from windtunnel.adapters.fpga import FpgaAdapter
from windtunnel.adapters.iotedge import EdgeAdapter
from windtunnel.adapters.rehearsal import Rehearsal
from windtunnel.aks_options import Purpose
from windtunnel.clouds import Cloud
from windtunnel.errors import NotConfigured
from windtunnel.interface import Backend, Capability, Offer
from windtunnel.records import Records
from windtunnel.runtime_check import InstalledRuntime
from windtunnel.spec import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from windtunnel.adapters.adapter import Adapter, Scales
    from windtunnel.interface import Deployment, Endpoint, EventReading, KeyName, Keys, Operation, Progress, Token
    from windtunnel.profiles import Profile
    from windtunnel.spec import Change, Spec

ACI_OFFER = Offer(
    can=frozenset(
        {
            Capability.PREDICT,
            Capability.HTTP,
            Capability.SCRIPT,
            Capability.KEYS,
            Capability.TLS,
            Capability.UPDATE,
            Capability.LOGS,
            Capability.DNS_LABEL,
            Capability.QUOTA,
        }
    ),
    cannot=MappingProxyType(
        {
            Capability.TOKENS: "ACI webservices do not support Token Authentication.",
            Capability.RESIZE: "CPU and memory of a container group cannot be updated;"
            " delete the service and deploy it again",
            Capability.SCALE: "a container group has no replicas",
            Capability.AUTOSCALE: "a container group has no replicas",
            Capability.APP_INSIGHTS: "it needs an Application Insights resource, which Windtunnel does not make",
            Capability.DATA_COLLECTION: "model data collection is not documented to work on Azure Container Instances",
            Capability.CLUSTER: "a container group needs no cluster",
            Capability.VERSIONS: "a container group is one version",
            Capability.GRPC: "it answers over HTTP",
            Capability.MESSAGES: "it answers requests; messages are taken by IoT Edge modules",
            Capability.OFFLINE: "it runs in the cloud only",
        }
    ),
)
AKS_OFFER = Offer(
    can=frozenset(
        {
            Capability.PREDICT,
            Capability.HTTP,
            Capability.SCRIPT,
            Capability.KEYS,
            Capability.TOKENS,
            Capability.UPDATE,
            Capability.RESIZE,
            Capability.LOGS,
            Capability.SCALE,
            Capability.AUTOSCALE,
            Capability.APP_INSIGHTS,
            Capability.DATA_COLLECTION,
            Capability.CLUSTER,
            Capability.VERSIONS,
        }
    ),
    cannot=MappingProxyType(
        {
            Capability.TLS: "on AKS the certificate is the cluster's and not a service's",
            Capability.DNS_LABEL: "on AKS the address is that of the cluster's router",
            Capability.QUOTA: "a cluster takes what fits on its nodes; what does not is Unschedulable",
            Capability.GRPC: "it answers over HTTP",
            Capability.MESSAGES: "it answers requests; messages are taken by IoT Edge modules",
            Capability.OFFLINE: "it runs in the cloud only",
        }
    ),
)
FPGA_OFFER = Offer(
    can=frozenset(
        {
            Capability.PREDICT,
            Capability.GRPC,
            Capability.KEYS,
            Capability.TLS,
            Capability.UPDATE,
            Capability.LOGS,
            Capability.DNS_LABEL,
            Capability.QUOTA,
            Capability.SCALE,
        }
    ),
    cannot=MappingProxyType(
        {
            Capability.HTTP: "the FPGA service speaks gRPC (TensorFlow Serving's Predict) and has no HTTP",
            Capability.SCRIPT: "the FPGA service runs a model, not a script",
            Capability.TOKENS: "FPGA services do not support Token Authentication.",
            Capability.RESIZE: "CPU and memory of a container group cannot be updated;"
            " delete the service and deploy it again",
            Capability.AUTOSCALE: "the FPGA service had a fixed number of replicas (num_replicas)",
            Capability.APP_INSIGHTS: "the FPGA service had no request telemetry",
            Capability.DATA_COLLECTION: "the FPGA service did not collect inputs and predictions",
            Capability.VERSIONS: "the FPGA service had one version",
            Capability.CLUSTER: "an FPGA service runs in a container group, which needs no cluster",
            Capability.MESSAGES: "it answers requests; messages are taken by IoT Edge modules",
            Capability.OFFLINE: "it runs in the cloud only",
        }
    ),
    note="Live and locally alike, the simulator of the device serves the model, in a container group: Azure's FPGA"
    " service is no longer sold. Latencies of the device are those of a model of it, and say so.",
)
EDGE_OFFER = Offer(
    can=frozenset({Capability.PREDICT, Capability.SCRIPT, Capability.LOGS, Capability.MESSAGES}),
    cannot=MappingProxyType(
        {
            Capability.HTTP: "an IoT Edge module is reached by messages and a direct method, not over HTTP",
            Capability.GRPC: "an IoT Edge module is reached by messages and a direct method",
            Capability.KEYS: "an IoT Edge module is authenticated by its device's identity",
            Capability.TOKENS: "IoT webservices do not support Token Authentication.",
            Capability.TLS: "an IoT Edge module has no endpoint of its own; the hub's is always TLS",
            Capability.UPDATE: "Class does not implement update method yet.",
            Capability.RESIZE: "what a module may use is up to its device, and to create_options",
            Capability.DNS_LABEL: "an IoT Edge module has no address of its own",
            Capability.QUOTA: "a device takes what it can run",
            Capability.SCALE: "a device runs a module once",
            Capability.AUTOSCALE: "a device runs a module once",
            Capability.APP_INSIGHTS: "IoT Edge services had no request telemetry",
            Capability.DATA_COLLECTION: "model data collection is not documented to work on IoT Edge",
            Capability.CLUSTER: "an IoT Edge module runs on its device",
            Capability.VERSIONS: "a module is one version",
            Capability.OFFLINE: "it goes on while its hub is out of reach, but that a device is cut off from its hub is"
            " not in this backend's power",
        }
    ),
    note="A service is a module of one device; predictions are asked for by its direct method `score`, and by messages"
    " on its input amlInput. Their sum of bytes is limited: 128 KiB by method, 256 KiB by message.",
)


class AzureBackend(Backend):
    """Raises the errors of ``windtunnel.errors``."""

    name: ClassVar[str] = "azure"
    offers: ClassVar[Mapping[Target, Offer]] = MappingProxyType(
        {
            Target.ACI: ACI_OFFER,
            Target.AKS: AKS_OFFER,
            Target.IOT_EDGE: EDGE_OFFER,
            Target.FPGA: FPGA_OFFER,
        }
    )

    def __init__(
        self,
        cloud: Cloud,
        profile: Profile,
        *,
        progress: Callable[[Progress], None] | None = None,
        keep_records: bool = True,
    ) -> None:
        subscription, group, location, registry = profile.require(
            "subscription", "resource_group", "location", "registry"
        )
        hours = profile.number("expires_hours")
        self.cloud = cloud
        self._clients = Clients(cloud, subscription)
        quota = profile.number("fpga_quota")
        settings = Settings(
            resource_group=group,
            location=location,
            registry=registry,
            owner=profile.text("owner") or _user(),
            lifetime=timedelta(hours=hours) if hours else None,
            registry_identity=profile.text("registry_identity"),
            fpga_quota=1 if quota is None else int(quota),
            python=profile.text("python"),
            base_image=profile.text("base_image"),
            storage=profile.text("storage"),
            otlp_endpoint=profile.text("otlp_endpoint"),
            workspace=profile.text("cluster") or DEFAULT_CLUSTER,
        )
        say = progress or _unsaid
        self._clusters = Clusters(
            self._clients,
            group=group,
            location=location,
            owner=settings.owner,
            settings=_cluster_settings(profile),
            progress=say,
        )
        records = Records(
            profile.data_dir if keep_records else None,
            cloud=cloud.resource_manager,
            subscription=subscription,
            group=group,
        )
        fpga = FpgaAdapter(self._clients, settings, records, InstalledRuntime(), say)
        self._aks = AksAdapter(self._clients, settings, self._clusters, records, InstalledRuntime(), say)
        self._edge = EdgeAdapter(
            self._clients,
            settings,
            records,
            InstalledRuntime(),
            say,
            hub=profile.text("iot_hub"),
            device=profile.text("edge_device"),
        )
        self._adapters: Mapping[Target, Adapter] = {
            Target.ACI: AciAdapter(self._clients, settings, records, InstalledRuntime(), say),
            Target.AKS: self._aks,
            Target.IOT_EDGE: self._edge,
            Target.FPGA: fpga,
        }
        self._scaling: Mapping[Target, Scales] = {Target.AKS: self._aks, Target.FPGA: fpga}

    @classmethod
    def connect(cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None) -> Self:
        return cls(*cls.place(profile), progress=progress)

    @classmethod
    def place(cls, profile: Profile) -> tuple[Cloud, Profile]:
        """Which cloud, and the profile with what the cloud itself adds to it. Raises ``NotConfigured``."""
        return Cloud.from_profile(profile), profile

    @classmethod
    def rehearsal_place(cls, profile: Profile) -> tuple[Cloud, Profile]:
        """As ``place``, where nothing has to be there."""
        return cls.place(profile)

    @classmethod
    def rehearse(
        cls, profile: Profile, *, progress: Callable[[Progress], None] | None = None
    ) -> tuple[Self, Rehearsal]:
        """A backend that sends nothing, and what it would have sent. Raises ``NotConfigured``."""
        rehearsal = Rehearsal()
        cloud, profile = cls.rehearsal_place(profile)
        return cls(rehearsal.stand_in(cloud), profile, progress=progress, keep_records=False), rehearsal

    def deploy(self, spec: Spec) -> Operation[Deployment]:
        self.require(spec.target, {Capability.PREDICT} | needed(spec))
        return self._adapters[spec.target].deploy(spec)

    def update(self, target: Target, name: str, change: Change) -> Operation[Deployment]:
        asked = {Capability.UPDATE}
        if change.cpu is not None or change.memory_gb is not None:
            asked.add(Capability.RESIZE)
        if change.aks is not None:
            asked.add(Capability.CLUSTER)
        if change.tls is not None:
            asked.add(Capability.TLS)
        self.require(target, asked)
        return self._adapters[target].update(name, change)

    def get(self, target: Target, name: str) -> Deployment:
        self.require(target, {Capability.PREDICT})
        return self._adapters[target].get(name)

    def list_services(self, target: Target) -> Sequence[Deployment]:
        self.require(target, {Capability.PREDICT})
        return self._adapters[target].list_services()

    def delete(self, target: Target, name: str) -> Operation[bool]:
        self.require(target, {Capability.PREDICT})
        return self._adapters[target].delete(name)

    def logs(self, target: Target, name: str, *, tail: int = 5000) -> str:
        self.require(target, {Capability.LOGS})
        return self._adapters[target].logs(name, tail)

    def endpoint(self, target: Target, name: str) -> Endpoint:
        self.require(target, {Capability.PREDICT})
        return self._adapters[target].endpoint(name)

    def scale(self, target: Target, name: str, replicas: int) -> Operation[Deployment]:
        self.require(target, {Capability.SCALE})
        return self._scaling[target].scale(name, replicas)

    def token(self, target: Target, name: str) -> Token:
        self.require(target, {Capability.TOKENS})
        return self._aks.token(name)

    def keys(self, target: Target, name: str) -> Keys:
        self.require(target, {Capability.KEYS})
        return self._adapters[target].keys(name)

    def regenerate_key(self, target: Target, name: str, which: KeyName, value: str | None = None) -> Operation[Keys]:
        self.require(target, {Capability.KEYS})
        return self._adapters[target].regenerate_key(name, which, value)

    def spec(self, target: Target, name: str) -> Spec:
        """What a service was deployed from, as far as this machine knows. Raises ``NotFound``."""
        self.require(target, {Capability.PREDICT})
        return self._adapters[target].spec(name)

    def device_of(self, name: str) -> tuple[str, str]:
        """Hub and device of a service on IoT Edge. Raises ``NotFound``."""
        return self._edge.device_of(name)

    def collected(self, target: Target, name: str) -> Mapping[str, bytes]:
        self.require(target, {Capability.DATA_COLLECTION})
        return self._aks.collected(name)

    def events(
        self, target: Target, *, hub: str | None = None, since: datetime | None = None, group: str = "$Default"
    ) -> AbstractContextManager[EventReading]:
        self.require(target, {Capability.MESSAGES})
        return self._edge.events(hub, since, group)

    @property
    def clusters(self) -> Clusters:
        """The cluster of the AKS target."""
        return self._clusters

    def close(self) -> None:
        self._aks.close()
        self._clients.close()


def _cluster_settings(profile: Profile) -> ClusterSettings:
    """Raises ``NotConfigured`` and ``InvalidSpec``."""
    default = ClusterSettings()
    count = profile.number("agent_count")
    purpose = profile.text("cluster_purpose") or default.purpose.value
    known = {p.value.lower(): p for p in Purpose}
    if purpose.replace("_", "").lower() not in known:
        source = profile.values["cluster_purpose"].source
        raise NotConfigured(f"cluster_purpose is {purpose!r} ({source}); it must be {' or '.join(Purpose)}")
    return ClusterSettings(
        name=profile.text("cluster") or default.name,
        purpose=known[purpose.replace("_", "").lower()],
        agent_count=None if count is None else int(count),
        vm_size=profile.text("vm_size") or default.vm_size,
        kubernetes_version=profile.text("kubernetes_version"),
    )


def _unsaid(progress: Progress) -> None:
    del progress


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise NotConfigured(
            "it is not known who you are: this user has no name",
            way_out="Set owner (--set owner=..., WINDTUNNEL_OWNER, or owner = ... in the profile).",
        ) from error
