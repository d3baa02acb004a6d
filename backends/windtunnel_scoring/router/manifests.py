"""The Deployments of the layout: that of a version, and the router's own workload.

What makes a rolling update lose nothing: no old replica goes before a new one is ready (``maxUnavailable: 0``); one
that is to go serves on for a moment (``preStop``), in which the routers learn of it; then it finishes what it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from windtunnel_scoring.router import objects
from windtunnel_scoring.router.peers import INNER_PORT, INNER_PORT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.router.definition import ServiceDefinition, VersionDefinition

ROUTER: Final = "azureml-fe"
"""The name of the router's Deployment, Service, ServiceAccount and roles."""
DRAIN_S: Final = 1
"""Routers watch pods themselves, so that they know within moments."""
ROUTER_DRAIN_S: Final = 3
"""A Service's proxies on all nodes must have heard of it."""
GRACE_S: Final = 35
"""``terminationGracePeriodSeconds``: the drain, and the 25 s that a server gives its requests."""
HTTP_PORT: Final = 8080
HTTPS_PORT: Final = 8443
_TLS_FOLDER = "/etc/windtunnel-tls"
_PREFERRED_APART: Final = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """``livenessProbeRequirements``."""

    period_s: int = 10
    initial_delay_s: int = 310
    timeout_s: int = 2
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a version runs."""

    image: str
    cpu: float = 0.1
    """Requested, as memory and gpu are."""
    memory_gb: float = 0.5
    cpu_limit: float | None = None
    memory_gb_limit: float | None = None
    gpu: int = 0
    liveness: Liveness = field(default_factory=Liveness)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    environment_secret: str = ""
    """A Secret whose members become variables."""
    pull_secret: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the pods: a changed one makes a new revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterWorkload:
    """What the router runs as."""

    image: str
    namespace: str = objects.NAMESPACE
    replicas: int = 3
    """3 for ``FastProd``, 1 for ``DevTest``."""
    tls_secret: str = ""
    """A Secret of type ``kubernetes.io/tls``; empty: plain HTTP."""
    internal: bool = False
    """``InternalLoadBalancer``."""
    pull_secret: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


def version_deployment(
    service: ServiceDefinition, version: VersionDefinition, workload: Workload, namespace: str = objects.NAMESPACE
) -> JsonObject:
    """The Deployment of a version; without ``replicas`` when the router decides on them."""
    labels = objects.labels(service.name, version.name)
    live = workload.liveness
    environment = {
        "SERVICE_NAME": service.name,
        "SERVICE_PATH_PREFIX": f"/api/v1/service/{service.name}",
        **({"AML_CORS_ORIGINS": service.cors_origins} if service.cors_origins else {}),
        **({"AML_MODEL_DC_STORAGE_ENABLED": "true"} if version.collects_data else {}),
        **({"AML_APP_INSIGHTS_ENABLED": "true"} if service.app_insights_enabled else {}),
        **workload.environment,
    }
    container: JsonObject = {
        "name": "score",
        "image": workload.image,
        "ports": [{"name": objects.PORT_NAME, "containerPort": objects.SCORING_PORT}],
        "env": _variables(environment),
        "resources": _resources(workload),
        "readinessProbe": _probe(
            objects.PORT_NAME, periodSeconds=1, timeoutSeconds=live.timeout_s, successThreshold=live.success_threshold
        ),
        # Kubernetes wants 1 here: a single success makes a container live.
        "livenessProbe": _probe(
            objects.PORT_NAME,
            initialDelaySeconds=live.initial_delay_s,
            periodSeconds=live.period_s,
            timeoutSeconds=live.timeout_s,
            failureThreshold=live.failure_threshold,
        ),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_S}}},
    }
    if workload.environment_secret:
        container["envFrom"] = [{"secretRef": {"name": workload.environment_secret}}]
    pod = _pod(container, workload.pull_secret)
    spec = _spec(labels, {objects.SERVICE_LABEL: service.name, objects.VERSION_LABEL: version.name}, pod)
    if workload.annotations:
        annotations: JsonObject = {**workload.annotations}
        template = spec["template"]
        if isinstance(template, dict):
            template["metadata"] = {"labels": labels, "annotations": annotations}
    if not version.auto_scaler.enabled:
        spec["replicas"] = version.num_replicas or 1
    return _object(
        "apps/v1", "Deployment", objects.deployment_name(service.name, version.name), namespace, labels, spec=spec
    )


def router_objects(workload: RouterWorkload) -> list[JsonObject]:
    """All that the router needs, in the order in which it is to be made."""
    namespace, labels = workload.namespace, _router_labels()
    rules: list[Json] = [
        {"apiGroups": [""], "resources": ["configmaps", "secrets", "pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch", "update"]},
    ]
    role: JsonObject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROUTER}
    subject: JsonObject = {"kind": "ServiceAccount", "name": ROUTER, "namespace": namespace}
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        _object("v1", "Namespace", namespace, "", {objects.MANAGED_LABEL: "windtunnel"}),
        _object("v1", "ServiceAccount", ROUTER, namespace, labels),
        _object(rbac, "ClusterRole", ROUTER, "", labels, rules=rules),
        _object(rbac, "ClusterRoleBinding", ROUTER, "", labels, roleRef=role, subjects=[subject]),
        _object("apps/v1", "Deployment", ROUTER, namespace, labels, spec=_router_spec(workload)),
        _router_service(workload),
        _object(
            "policy/v1",
            "PodDisruptionBudget",
            ROUTER,
            namespace,
            labels,
            spec={"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        ),
    ]


def _router_spec(workload: RouterWorkload) -> JsonObject:
    port = HTTPS_PORT if workload.tls_secret else HTTP_PORT
    environment = {"WINDTUNNEL_ROUTER_PORT": str(port), "WINDTUNNEL_INNER_PORT": str(INNER_PORT)}
    container: JsonObject = {
        "name": "router",
        "image": workload.image,
        "command": ["python", "-m", "windtunnel_scoring.router"],
        "ports": [{"name": "serving", "containerPort": port}, {"name": INNER_PORT_NAME, "containerPort": INNER_PORT}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            *_variables({**environment, **workload.environment}),
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        # The inner port: it speaks HTTP whether or not the outer one speaks TLS, and opens when all is known.
        "readinessProbe": _probe(INNER_PORT_NAME, periodSeconds=1),
        "livenessProbe": _probe(INNER_PORT_NAME, initialDelaySeconds=30, periodSeconds=10, timeoutSeconds=5),
        "lifecycle": {"preStop": {"sleep": {"seconds": ROUTER_DRAIN_S}}},
    }
    pod = _pod(container, workload.pull_secret)
    pod["serviceAccountName"] = ROUTER
    if workload.tls_secret:
        files = {"WINDTUNNEL_TLS_CERT": "tls.crt", "WINDTUNNEL_TLS_KEY": "tls.key"}
        variables = container["env"]
        if isinstance(variables, list):
            variables += _variables({name: f"{_TLS_FOLDER}/{file}" for name, file in files.items()})
        container["volumeMounts"] = [{"name": "tls", "mountPath": _TLS_FOLDER, "readOnly": True}]
        pod["volumes"] = [{"name": "tls", "secret": {"secretName": workload.tls_secret}}]
    apart: JsonObject = {"labelSelector": {"matchLabels": _router_labels()}, "topologyKey": _PREFERRED_APART}
    pod["affinity"] = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
        }
    }
    return {**_spec(_router_labels(), _router_labels(), pod), "replicas": workload.replicas}


def _router_service(workload: RouterWorkload) -> JsonObject:
    port = 443 if workload.tls_secret else 80
    served: JsonObject = {"name": "serving", "port": port, "targetPort": "serving", "protocol": "TCP"}
    spec: JsonObject = {"type": "LoadBalancer", "selector": _router_labels(), "ports": [served]}
    service = _object("v1", "Service", ROUTER, workload.namespace, _router_labels(), spec=spec)
    metadata = service["metadata"]
    if workload.internal and isinstance(metadata, dict):
        metadata["annotations"] = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
    return service


def _router_labels() -> dict[str, Json]:
    name, _, value = objects.ROUTER_SELECTOR.partition("=")
    return {name: value, objects.MANAGED_LABEL: "windtunnel"}


def _object(
    api_version: str, kind: str, name: str, namespace: str, labels: Mapping[str, Json], **parts: Json
) -> JsonObject:
    metadata: JsonObject = {"name": name, "labels": dict(labels)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def _spec(labels: Mapping[str, Json], selector: Mapping[str, Json], pod: JsonObject) -> JsonObject:
    return {
        "selector": {"matchLabels": dict(selector)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
    }


def _pod(container: JsonObject, pull_secret: str) -> JsonObject:
    pod: JsonObject = {"containers": [container], "terminationGracePeriodSeconds": GRACE_S}
    if pull_secret:
        pod["imagePullSecrets"] = [{"name": pull_secret}]
    return pod


def _probe(port: str, **times: int) -> JsonObject:
    return {"httpGet": {"path": "/", "port": port}, **times}


def _resources(workload: Workload) -> JsonObject:
    requests: JsonObject = {"cpu": _cpu(workload.cpu), "memory": _memory(workload.memory_gb)}
    limits: JsonObject = {}
    if workload.cpu_limit is not None:
        limits["cpu"] = _cpu(workload.cpu_limit)
    if workload.memory_gb_limit is not None:
        limits["memory"] = _memory(workload.memory_gb_limit)
    if workload.gpu:
        # Kubernetes takes devices whole and wants the limit; the request follows it.
        limits["nvidia.com/gpu"] = str(workload.gpu)
    return {"requests": requests, "limits": limits} if limits else {"requests": requests}


def _cpu(cores: float) -> str:
    return f"{round(cores * 1000)}m"


def _memory(gigabytes: float) -> str:
    return f"{round(gigabytes * 1024)}Mi"


def _variables(values: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in sorted(values.items())]
