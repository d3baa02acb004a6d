"""``AksWork``: the steps of which deploying and changing a service on a cluster are made."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, ClassVar

from windtunnel.adapters.aks_objects import MODEL_DATA, PULL_SECRET, SCORING
from windtunnel.adapters.aks_router import Router
from windtunnel.adapters.building import Building
from windtunnel.adapters.model_data import PACKAGE, ModelData
from windtunnel.errors import InvalidSpec, NotConfigured, NotFound
from windtunnel.interface import Progress
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel.spec import Target
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.manifests import Liveness, Workload

if TYPE_CHECKING:
    from windtunnel.adapters.aks_cluster import Cluster
    from windtunnel.adapters.aks_objects import Service
    from windtunnel.adapters.aks_view import AksView
    from windtunnel.adapters.kube import Kube
    from windtunnel.adapters.registries import Registry
    from windtunnel.jsontypes import JsonObject
    from windtunnel.spec import Spec


_TELEMETRY = (
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-json-file",
)
_DATA_STORAGE, _DATA_WORKSPACE = "AML_MODEL_DC_STORAGE", "WINDTUNNEL_DC_WORKSPACE"
"""What the collector reads: Azure ML's variable, and one of ours."""


class AksWork(Building):
    """Raises the errors of ``windtunnel.errors``."""

    target: ClassVar[Target] = Target.AKS

    @property
    def model_data(self) -> ModelData:
        """Where services collect to."""
        return ModelData(self._clients, self._settings)

    def also_needed(self, spec: Spec) -> tuple[str, ...]:
        """With a destination for telemetry every image has its packages: the router runs from one of them."""
        if spec.app_insights and self._settings.otlp_endpoint is None:
            raise NotConfigured(
                "app_insights was asked for, and no destination of telemetry is set",
                way_out="Give an OTLP endpoint: --set otlp_endpoint=http://..., or OTEL_EXPORTER_OTLP_ENDPOINT.",
            )
        collection = (PACKAGE,) if spec.collect_model_data else ()
        return collection if self._settings.otlp_endpoint is None else (*collection, *_TELEMETRY)

    def workload(self, spec: Spec, image: str) -> Workload:
        """The scoring server of a new service."""
        options = spec.aks
        return Workload(
            image=image,
            cpu=options.cpu_cores,
            memory_gb=options.memory_gb,
            cpu_limit=options.cpu_cores_limit,
            memory_gb_limit=options.memory_gb_limit,
            gpu=options.gpu_cores,
            environment=dict(spec.environment),
            liveness=Liveness(
                period_s=options.period_seconds,
                initial_delay_s=options.initial_delay_seconds,
                timeout_s=options.timeout_seconds,
                success_threshold=options.success_threshold,
                failure_threshold=options.failure_threshold,
            ),
        )

    def prepare(self, kube: Kube, service: Service, registry: Registry, cluster: Cluster) -> None:
        """What a service rests on: its namespace, the right to pull, and the cluster's router."""
        namespaces = sorted({objects.NAMESPACE, service.namespace})
        for namespace in namespaces:
            kube.apply(namespace_of(namespace))
            kube.apply(self._pull_secret(registry, namespace))
        if any(version.collects_data for version in service.definition.versions):
            kube.apply(self._model_data(service.namespace))
        image = next(iter(service.workloads.values())).image
        if Router(kube).ensure(image, cluster.purpose, self._settings.otlp_endpoint):
            self._progress(Progress(step=f"deployed the router of cluster {cluster.name}"))

    def _pull_secret(self, registry: Registry, namespace: str) -> JsonObject:
        """Of the registry's admin account; a cluster whose identity may pull needs none and gets an empty one."""
        servers: JsonObject = {}
        if registry.admin is not None:
            pair = f"{registry.admin.username}:{registry.admin.password}"
            servers[registry.login_server] = {
                "username": registry.admin.username,
                "password": registry.admin.password,
                "auth": base64.b64encode(pair.encode()).decode(),
            }
        content = base64.b64encode(json.dumps({"auths": servers}).encode()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": PULL_SECRET, "namespace": namespace, "labels": {objects.MANAGED_LABEL: "windtunnel"}},
            "data": {".dockerconfigjson": content},
        }

    def _model_data(self, namespace: str) -> JsonObject:
        """Where inputs and predictions are kept. Raises ``NotConfigured``."""
        values = {_DATA_STORAGE: self.model_data.ensure(), _DATA_WORKSPACE: self.model_data.workspace()}
        data: JsonObject = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": MODEL_DATA, "namespace": namespace, "labels": {objects.MANAGED_LABEL: "windtunnel"}},
            "data": data,
        }

    def apply(self, kube: Kube, service: Service, *, replaces: Service | None) -> None:
        """Make the objects what the service says, and remove the versions that it no longer has."""
        self._progress(Progress(step=f"deploying service {service.definition.name} to namespace {service.namespace}"))
        kube.apply_all(service.manifests())
        if replaces is None or replaces.namespace != service.namespace:
            return
        kept = {version.name for version in service.definition.versions}
        for version in replaces.definition.versions:
            if version.name not in kept:
                name = objects.deployment_name(service.definition.name, version.name)
                kube.delete("Deployment", name, service.namespace)

    def remove(self, kube: Kube, service: Service) -> None:
        """Delete a service: first what makes the router send requests, then what answers them."""
        name = service.definition.name
        kube.delete("ConfigMap", name, service.namespace)
        for version in service.definition.versions:
            kube.delete("Deployment", objects.deployment_name(name, version.name), service.namespace)
        kube.delete("Secret", name, service.namespace)

    def logs(self, kube: Kube, view: AksView, tail: int) -> str:
        """Oldest replica first; of one that was restarted, its last run before too."""
        lines: list[str] = []
        pods = sorted(view.pods, key=lambda pod: as_str(as_object(pod.get("metadata")).get("creationTimestamp")))
        for pod in pods:
            name = as_str(as_object(pod.get("metadata")).get("name"))
            statuses = [as_object(s) for s in as_list(as_object(pod.get("status")).get("containerStatuses"))]
            restarted = any(isinstance(n := s.get("restartCount"), int) and n > 0 for s in statuses)
            for previous in (True, False) if restarted else (False,):
                lines += self._log(kube, view.namespace, name, tail, previous=previous).splitlines()
        return "".join(f"{line}\n" for line in lines[-tail:])

    def _log(self, kube: Kube, namespace: str, pod: str, tail: int, *, previous: bool) -> str:
        try:
            return kube.log(pod, namespace, SCORING, tail=tail, previous=previous)
        except (NotFound, InvalidSpec):
            # 400: the container waits to start, and has printed nothing; 404: the pod went away meanwhile.
            return ""


def namespace_of(name: str) -> JsonObject:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
