"""``Service``: a service as a value, and the Kubernetes objects that it is; the layout is the router's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from windtunnel.adapters.aks_view import INFO_ANNOTATION, Info, container_of, cores, gigabytes, user_environment
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.manifests import Liveness, Workload, version_deployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.adapters.kube import Kube
    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition

PULL_SECRET = "windtunnel-registry"  # noqa: S105 - the name of one
MODEL_DATA = "windtunnel-model-data"
"""The Secret that says where collected inputs and predictions go."""
SCORING = "score"
"""The container, as ``manifests.version_deployment`` names it."""
_GPU = "nvidia.com/gpu"
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


def read_workload(deployment: JsonObject) -> Workload:
    """Out of a Deployment that ``manifests.version_deployment`` made."""
    container = container_of(deployment)
    resources = as_object(container.get("resources"))
    requests, limits = as_object(resources.get("requests")), as_object(resources.get("limits"))
    ready, live = as_object(container.get("readinessProbe")), as_object(container.get("livenessProbe"))
    default = Liveness()
    gpu = as_str(limits.get(_GPU), "0")
    sources = [as_object(source) for source in as_list(container.get("envFrom"))]
    return Workload(
        image=as_str(container.get("image")),
        cpu=cores(as_str(requests.get("cpu"))) or 0.0,
        memory_gb=gigabytes(as_str(requests.get("memory"))) or 0.0,
        cpu_limit=cores(as_str(limits.get("cpu"))),
        memory_gb_limit=gigabytes(as_str(limits.get("memory"))),
        gpu=int(gpu) if gpu.isdigit() else 0,
        environment=user_environment(container),
        environment_secret=as_str(as_object(sources[0].get("secretRef")).get("name")) if sources else "",
        pull_secret=PULL_SECRET,
        liveness=Liveness(
            period_s=_whole(live.get("periodSeconds"), default.period_s),
            initial_delay_s=_whole(live.get("initialDelaySeconds"), default.initial_delay_s),
            timeout_s=_whole(live.get("timeoutSeconds"), default.timeout_s),
            success_threshold=_whole(ready.get("successThreshold"), default.success_threshold),
            failure_threshold=_whole(live.get("failureThreshold"), default.failure_threshold),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, with all its versions."""

    definition: ServiceDefinition
    namespace: str
    info: Info
    secrets: objects.Secrets
    workloads: Mapping[str, Workload]
    """By version."""
    otlp_endpoint: str | None = None
    """Where telemetry goes, when it is asked for."""

    def manifests(self) -> list[JsonObject]:
        """What to apply: keys first, so that a service never stands open, the replicas last."""
        definition = objects.config_map(self.definition, self.namespace)
        annotations = as_object(as_object(definition["metadata"]).get("annotations"))
        annotations[INFO_ANNOTATION] = self.info.text()
        deployments = [self._deployment(version) for version in self.definition.versions]
        return [objects.secret(self.definition.name, self.secrets, self.namespace), definition, *deployments]

    def _deployment(self, version: VersionDefinition) -> JsonObject:
        workload = self.workloads[version.name]
        if self.definition.app_insights_enabled and self.otlp_endpoint:
            workload = replace(workload, environment={**workload.environment, OTLP: self.otlp_endpoint})
        workload = replace(
            workload,
            pull_secret=PULL_SECRET,
            environment_secret=MODEL_DATA if version.collects_data else "",
        )
        return version_deployment(self.definition, version, workload, self.namespace)


def _endpoint_of(deployment: JsonObject) -> str | None:
    for variable in (as_object(v) for v in as_list(container_of(deployment).get("env"))):
        if variable.get("name") == OTLP:
            return as_str(variable.get("value"))
    return None


def read_service(kube: Kube, name: str, *, with_secrets: bool = True) -> Service | None:
    """A service of the cluster, wherever it is; None when there is none. Raises ``LayoutError`` for a broken one."""
    label = f"{objects.SERVICE_LABEL}={name}"
    maps = kube.list_all("ConfigMap", labels=label)
    if not maps:
        return None
    definition = objects.read_definition(maps[0])
    metadata = as_object(maps[0].get("metadata"))
    namespace = as_str(metadata.get("namespace"))
    found = {as_str(as_object(d.get("metadata")).get("name")): d for d in _deployments(kube, namespace, label)}
    workloads = {
        version.name: read_workload(found.get(objects.deployment_name(name, version.name), {}))
        for version in definition.versions
    }
    secret = kube.get("Secret", name, namespace) if with_secrets else None
    return Service(
        definition=definition,
        namespace=namespace,
        info=Info.parse(as_str(as_object(metadata.get("annotations")).get(INFO_ANNOTATION))),
        secrets=objects.Secrets() if secret is None else objects.read_secrets(secret),
        workloads=workloads,
        otlp_endpoint=next((e for e in map(_endpoint_of, found.values()) if e), None),
    )


def _deployments(kube: Kube, namespace: str, label: str) -> list[JsonObject]:
    return kube.list_all("Deployment", namespace, labels=label)


def _whole(value: Json, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
