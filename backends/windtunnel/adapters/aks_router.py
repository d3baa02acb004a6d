"""``Router``: Windtunnel's router on a cluster, once for all its services, as Azure ML's ``azureml-fe`` was.

It runs from the image of the service that was deployed first (every image has it), and is replaced when a deployment
brings another version of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel import __version__
from windtunnel.adapters.aks_objects import PULL_SECRET
from windtunnel.aks_options import Purpose
from windtunnel.jsontypes import as_list, as_object, as_str
from windtunnel_scoring.router import objects
from windtunnel_scoring.router.peers import INNER_PORT, INNER_PORT_NAME

if TYPE_CHECKING:
    from windtunnel.adapters.kube import Kube
    from windtunnel.jsontypes import Json, JsonObject

NAME = "azureml-fe"
COMMAND = ("python", "-m", "windtunnel_scoring.router")
VERSION_ANNOTATION = "windtunnel.dev/router"
_PORT, _PORT_NAME = 8080, "http"
_LEAVING_S, _GRACE_S = 5, 60
_LABELS: JsonObject = {"app.kubernetes.io/name": NAME, objects.MANAGED_LABEL: "windtunnel"}


class Router:
    """Raises the errors of ``windtunnel.errors``."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    def base(self) -> str | None:
        """Where it answers, without a slash at the end; None as long as it has no address."""
        service = self._kube.get("Service", NAME, objects.NAMESPACE)
        if service is None:
            return None
        ingress = as_list(as_object(as_object(service.get("status")).get("loadBalancer")).get("ingress"))
        first = as_object(ingress[0]) if ingress else {}
        host = as_str(first.get("hostname")) or as_str(first.get("ip"))
        return f"http://{host}" if host else None

    def ensure(self, image: str, purpose: Purpose) -> bool:
        """Deploy it, unless it is there in this version; True when something was applied."""
        from windtunnel.wheel import wheel_digest  # lazily: what only reads needs none of it

        version = f"{__version__}+{wheel_digest()}"
        there = self._kube.get("Deployment", NAME, objects.NAMESPACE)
        annotations = as_object(as_object((there or {}).get("metadata")).get("annotations"))
        if annotations.get(VERSION_ANNOTATION) == version and self._kube.get("Service", NAME, objects.NAMESPACE):
            return False
        self._kube.apply_all(manifests(image, version, purpose))
        return True


def manifests(image: str, version: str, purpose: Purpose) -> list[JsonObject]:
    """All its objects, in the order in which they are needed."""
    account: JsonObject = {"kind": "ServiceAccount", "name": NAME, "namespace": objects.NAMESPACE}
    role: JsonObject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata()},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": _metadata(namespaced=False), "rules": _rules()},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": _metadata(namespaced=False),
            "roleRef": role,
            "subjects": [account],
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _metadata(),
            "spec": {
                "type": "LoadBalancer",
                "selector": {"app.kubernetes.io/name": NAME},
                "ports": [{"name": _PORT_NAME, "port": 80, "targetPort": _PORT_NAME}],
            },
        },
        _deployment(image, version, purpose),
    ]


def _metadata(*, namespaced: bool = True) -> JsonObject:
    metadata: JsonObject = {"name": NAME, "labels": dict(_LABELS)}
    return {**metadata, "namespace": objects.NAMESPACE} if namespaced else metadata


def _rules() -> list[Json]:
    """It reads the objects of its services, keys included, and sets nothing but replicas."""
    read: list[Json] = ["get", "list", "watch"]
    core: JsonObject = {"apiGroups": [""], "resources": ["configmaps", "secrets", "pods"], "verbs": read}
    deployments: JsonObject = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": read}
    scale: JsonObject = {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "patch"]}
    return [core, deployments, scale]


def _deployment(image: str, version: str, purpose: Purpose) -> JsonObject:
    container: JsonObject = {
        "name": "router",
        "image": image,
        "command": list(COMMAND),
        "ports": [
            {"name": _PORT_NAME, "containerPort": _PORT},
            {"name": INNER_PORT_NAME, "containerPort": INNER_PORT},
        ],
        "env": [
            {"name": "WINDTUNNEL_ROUTER_PORT", "value": str(_PORT)},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": _PORT_NAME}, "periodSeconds": 1, "timeoutSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/", "port": _PORT_NAME},
            "initialDelaySeconds": 30,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
        },
        # It goes on serving until the load balancer has seen that it leaves.
        "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVING_S}}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_metadata(), "annotations": {VERSION_ANNOTATION: version}},
        "spec": {
            # Azure ML runs three in production and one otherwise.
            "replicas": 1 if purpose is Purpose.DEV_TEST else 3,
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": dict(_LABELS)},
                "spec": {
                    "serviceAccountName": NAME,
                    "containers": [container],
                    "imagePullSecrets": [{"name": PULL_SECRET}],
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": _GRACE_S,
                },
            },
        },
    }
