"""``Service``: a service as a value, and the Kubernetes objects that it is; the layout is the router's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel.adapters.aks_view import INFO_ANNOTATION, Info, container_of, cores, gigabytes, user_environment
from windtunnel.jsontypes import as_object, as_str
from windtunnel.layout import SCORING_COMMAND
from windtunnel_scoring.router import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel.adapters.kube import Kube
    from windtunnel.jsontypes import Json, JsonObject
    from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition

SCORING = "scoring"
PULL_SECRET = "windtunnel-registry"  # noqa: S105 - the name of one
MODEL_DATA = "windtunnel-model-data"
DATA_FOLDER = "/var/azureml-app/modeldata"
_GPU = "nvidia.com/gpu"
_LEAVING_S = 3
"""How long a replica goes on serving after it is told to end: until every router has seen that it leaves."""
_GRACE_S = 45
_DATA_ENABLED, _DATA_STORAGE = "AML_MODEL_DC_STORAGE_ENABLED", "AML_MODEL_DC_STORAGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Azure ML's ``livenessProbeRequirements``; seconds."""

    period_seconds: int = 10
    initial_delay_seconds: int = 310
    timeout_seconds: int = 2
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The scoring server of one version."""

    image: str
    cpu_cores: float
    memory_gb: float
    cpu_cores_limit: float | None = None
    memory_gb_limit: float | None = None
    gpu_cores: int = 0
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    liveness: Liveness = field(default_factory=Liveness)

    @classmethod
    def read(cls, deployment: JsonObject) -> Container:
        """Out of a Deployment that ``manifest`` made."""
        container = container_of(deployment)
        resources = as_object(container.get("resources"))
        requests, limits = as_object(resources.get("requests")), as_object(resources.get("limits"))
        probe = as_object(container.get("livenessProbe"))
        default = Liveness()
        gpu = as_str(limits.get(_GPU), "0")
        return cls(
            image=as_str(container.get("image")),
            cpu_cores=cores(as_str(requests.get("cpu"))) or 0.0,
            memory_gb=gigabytes(as_str(requests.get("memory"))) or 0.0,
            cpu_cores_limit=cores(as_str(limits.get("cpu"))),
            memory_gb_limit=gigabytes(as_str(limits.get("memory"))),
            gpu_cores=int(gpu) if gpu.isdigit() else 0,
            environment=user_environment(container),
            liveness=Liveness(
                period_seconds=_whole(probe.get("periodSeconds"), default.period_seconds),
                initial_delay_seconds=_whole(probe.get("initialDelaySeconds"), default.initial_delay_seconds),
                timeout_seconds=_whole(probe.get("timeoutSeconds"), default.timeout_seconds),
                success_threshold=_whole(probe.get("successThreshold"), default.success_threshold),
                failure_threshold=_whole(probe.get("failureThreshold"), default.failure_threshold),
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service, with all its versions."""

    definition: ServiceDefinition
    namespace: str
    info: Info
    secrets: objects.Secrets
    containers: Mapping[str, Container]
    """By version."""

    def manifests(self) -> list[JsonObject]:
        """What to apply: keys first, so that a service never stands open, the replicas last."""
        definition = objects.config_map(self.definition, self.namespace)
        annotations = as_object(as_object(definition["metadata"]).get("annotations"))
        annotations[INFO_ANNOTATION] = self.info.text()
        deployments = [self._deployment(version) for version in self.definition.versions]
        return [objects.secret(self.definition.name, self.secrets, self.namespace), definition, *deployments]

    def _deployment(self, version: VersionDefinition) -> JsonObject:
        name = objects.deployment_name(self.definition.name, version.name)
        labels = objects.labels(self.definition.name, version.name)
        container = self.containers[version.name]
        spec: JsonObject = {
            "selector": {
                "matchLabels": {
                    objects.SERVICE_LABEL: self.definition.name,
                    objects.VERSION_LABEL: version.name,
                }
            },
            # No replica goes before its successor answers.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels},
                "spec": self._pod(container, collects=version.collects_data),
            },
        }
        if not version.auto_scaler.enabled:
            spec["replicas"] = version.num_replicas or 1
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "spec": spec,
        }

    def _pod(self, container: Container, *, collects: bool) -> JsonObject:
        plain = {"SERVICE_NAME": self.definition.name, **dict(sorted(container.environment.items()))}
        variables: list[Json] = [{"name": name, "value": value} for name, value in plain.items()]
        if self.definition.cors_origins:
            variables.append({"name": "AML_CORS_ORIGINS", "value": self.definition.cors_origins})
        health: JsonObject = {"path": "/", "port": objects.PORT_NAME}
        live = container.liveness
        scoring: JsonObject = {
            "name": SCORING,
            "image": container.image,
            "command": list(SCORING_COMMAND),
            "ports": [{"name": objects.PORT_NAME, "containerPort": objects.SCORING_PORT}],
            "env": variables,
            "resources": _resources(container),
            "readinessProbe": {"httpGet": health, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3},
            "livenessProbe": {
                "httpGet": health,
                "periodSeconds": live.period_seconds,
                "initialDelaySeconds": live.initial_delay_seconds,
                "timeoutSeconds": live.timeout_seconds,
                "successThreshold": live.success_threshold,
                "failureThreshold": live.failure_threshold,
            },
            "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVING_S}}},
        }
        pod: JsonObject = {
            "containers": [scoring],
            "imagePullSecrets": [{"name": PULL_SECRET}],
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _GRACE_S,
        }
        if collects:
            variables.append({"name": _DATA_ENABLED, "value": "true"})
            source: JsonObject = {"secretKeyRef": {"name": MODEL_DATA, "key": "storage"}}
            variables.append({"name": _DATA_STORAGE, "valueFrom": source})
        return pod


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
    containers = {
        version.name: Container.read(found.get(objects.deployment_name(name, version.name), {}))
        for version in definition.versions
    }
    secret = kube.get("Secret", name, namespace) if with_secrets else None
    return Service(
        definition=definition,
        namespace=namespace,
        info=Info.parse(as_str(as_object(metadata.get("annotations")).get(INFO_ANNOTATION))),
        secrets=objects.Secrets() if secret is None else objects.read_secrets(secret),
        containers=containers,
    )


def _deployments(kube: Kube, namespace: str, label: str) -> list[JsonObject]:
    return kube.list_all("Deployment", namespace, labels=label)


def _resources(container: Container) -> JsonObject:
    requests: JsonObject = {"cpu": millicores(container.cpu_cores), "memory": megabytes(container.memory_gb)}
    limits: JsonObject = {}
    if container.cpu_cores_limit is not None:
        limits["cpu"] = millicores(container.cpu_cores_limit)
    if container.memory_gb_limit is not None:
        limits["memory"] = megabytes(container.memory_gb_limit)
    if container.gpu_cores:
        limits[_GPU] = str(container.gpu_cores)
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def millicores(value: float) -> str:
    """As Kubernetes writes it."""
    return f"{max(1, round(value * 1000))}m"


def megabytes(value: float) -> str:
    """Gigabytes as Kubernetes writes them."""
    return f"{max(1, round(value * 1000))}M"


def _whole(value: Json, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
