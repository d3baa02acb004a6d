"""Defaults that depend on other fields: a function for each definition that has some, which changes its own copy."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.images import is_latest
from windtunnel_emulators.kubernetes.objects.quantities import QuantityError, canonical, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject


_RBAC = "rbac.authorization.k8s.io"
_LARGEST_INT32 = 2**31 - 1


def _container(made: JsonObject) -> None:
    if "imagePullPolicy" not in made:
        made["imagePullPolicy"] = "Always" if is_latest(as_str(made.get("image"))) else "IfNotPresent"


def _volume(made: JsonObject) -> None:
    if len(made.keys() - {"name"}) == 0:
        made["emptyDir"] = {}


def _pod_spec(made: JsonObject) -> None:
    # The two names of one field are both written.
    if made.get("serviceAccountName"):
        made["serviceAccount"] = made["serviceAccountName"]
    elif made.get("serviceAccount"):
        made["serviceAccountName"] = made["serviceAccount"]


def _pod(made: JsonObject) -> None:
    spec = as_object(made.get("spec"))
    spec.setdefault("enableServiceLinks", True)
    for name in ("initContainers", "containers"):
        for container in as_list(spec.get(name)):
            _requests(as_object(container))
            if spec.get("hostNetwork") is True:
                _host_ports(as_object(container))


def _requests(container: JsonObject) -> None:
    """What is limited but not requested is requested."""
    resources = as_object(container.get("resources"))
    limits, requests = as_object(resources.get("limits")), as_object(resources.get("requests"))
    if limits:
        merged = {**requests, **{name: value for name, value in limits.items() if name not in requests}}
        resources["requests"] = merged


def _host_ports(container: JsonObject) -> None:
    for port in as_list(container.get("ports")):
        entry = as_object(port)
        if not entry.get("hostPort") and entry.get("containerPort"):
            entry["hostPort"] = entry["containerPort"]


def _service_spec(made: JsonObject) -> None:
    kind = made.get("type")
    if made.get("sessionAffinity") == "ClientIP":
        config = as_object(made.get("sessionAffinityConfig"))
        client = as_object(config.get("clientIP"))
        if not client.get("timeoutSeconds"):
            made["sessionAffinityConfig"] = {"clientIP": {**client, "timeoutSeconds": 10800}}
    elif made.get("sessionAffinity") == "None":
        made.pop("sessionAffinityConfig", None)
    if kind in ("NodePort", "LoadBalancer") or made.get("externalIPs"):
        made.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        made.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        made.setdefault("allocateLoadBalancerNodePorts", True)


def _service_port(made: JsonObject) -> None:
    if made.get("targetPort") in (None, 0, ""):
        made["targetPort"] = made.get("port", 0)


def _namespace(made: JsonObject) -> None:
    metadata = as_object(made.get("metadata"))
    name = as_str(metadata.get("name"))
    if name:
        labels = as_object(metadata.get("labels"))
        made["metadata"] = {**metadata, "labels": {**labels, "kubernetes.io/metadata.name": name}}


def _node_status(made: JsonObject) -> None:
    if "allocatable" not in made and made.get("capacity"):
        made["allocatable"] = dict(as_object(made["capacity"]))


def _claim(made: JsonObject) -> None:
    status = as_object(made.get("status"))
    made["status"] = {**status, "phase": status.get("phase") or "Pending"}


def _limit_range_item(made: JsonObject) -> None:
    if made.get("type") != "Container":
        return
    default = dict(as_object(made.get("default")))
    request = dict(as_object(made.get("defaultRequest")))
    for name, value in as_object(made.get("max")).items():
        default.setdefault(name, value)
    for name, value in default.items():
        request.setdefault(name, value)
    for name, value in as_object(made.get("min")).items():
        request.setdefault(name, value)
    if default:
        made["default"] = default
    if request:
        made["defaultRequest"] = request


def _replication_controller(made: JsonObject) -> None:
    spec = as_object(made.get("spec"))
    labels = as_object(as_object(as_object(spec.get("template")).get("metadata")).get("labels"))
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        metadata = as_object(made.get("metadata"))
        if not metadata.get("labels"):
            made["metadata"] = {**metadata, "labels": dict(labels)}


def _deployment_strategy(made: JsonObject) -> None:
    if made.get("type") == "RollingUpdate":
        rolling = as_object(made.get("rollingUpdate"))
        made["rollingUpdate"] = {"maxUnavailable": "25%", "maxSurge": "25%", **rolling}


def _daemon_strategy(made: JsonObject) -> None:
    if made.get("type") == "RollingUpdate":
        rolling = as_object(made.get("rollingUpdate"))
        made["rollingUpdate"] = {"maxUnavailable": 1, "maxSurge": 0, **rolling}


def _stateful_strategy(made: JsonObject) -> None:
    if made.get("type") == "RollingUpdate":
        made["rollingUpdate"] = {"partition": 0, **as_object(made.get("rollingUpdate"))}


def _job(made: JsonObject) -> None:
    spec = as_object(made.get("spec"))
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _LARGEST_INT32 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    labels = as_object(as_object(as_object(spec.get("template")).get("metadata")).get("labels"))
    metadata = as_object(made.get("metadata"))
    if labels and not metadata.get("labels"):
        made["metadata"] = {**metadata, "labels": dict(labels)}


def _autoscaler(made: JsonObject) -> None:
    spec = as_object(made.get("spec"))
    if not spec.get("metrics"):
        target: JsonObject = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = as_object(spec.get("behavior"))
    if not behavior:
        return
    up, down = dict(as_object(behavior.get("scaleUp"))), dict(as_object(behavior.get("scaleDown")))
    all_of: JsonObject = {"type": "Percent", "value": 100, "periodSeconds": 15}
    four: JsonObject = {"type": "Pods", "value": 4, "periodSeconds": 15}
    up.setdefault("stabilizationWindowSeconds", 0)
    for rules, policies in ((up, [four, all_of]), (down, [all_of])):
        rules.setdefault("selectPolicy", "Max")
        if not rules.get("policies"):
            rules["policies"] = [dict(policy) for policy in policies]
    spec["behavior"] = {"scaleUp": up, "scaleDown": down}


def _autoscaler_v1(made: JsonObject) -> None:
    spec, metadata = as_object(made.get("spec")), as_object(made.get("metadata"))
    carried = "autoscaling.alpha.kubernetes.io/metrics" in as_object(metadata.get("annotations"))
    if "targetCPUUtilizationPercentage" not in spec and not carried:
        spec["targetCPUUtilizationPercentage"] = 80


def _secret(made: JsonObject) -> None:
    texts = made.pop("stringData", None)
    if isinstance(texts, dict) and texts:
        encoded: JsonObject = {name: base64.b64encode(as_str(text).encode()).decode() for name, text in texts.items()}
        made["data"] = {**as_object(made.get("data")), **encoded}


def _stateful_spec(made: JsonObject) -> None:
    claims = as_list(made.get("volumeClaimTemplates"))
    if claims:
        head: JsonObject = {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
        made["volumeClaimTemplates"] = [{**head, **as_object(claim)} for claim in claims]


def _network_policy_spec(made: JsonObject) -> None:
    if not made.get("policyTypes"):
        types: list[Json] = ["Ingress"]
        if made.get("egress"):
            types.append("Egress")
        made["policyTypes"] = types


def _subject(made: JsonObject) -> None:
    if not made.get("apiGroup") and made.get("kind") in ("User", "Group"):
        made["apiGroup"] = _RBAC


def _definition_spec(made: JsonObject) -> None:
    names = dict(as_object(made.get("names")))
    kind = as_str(names.get("kind"))
    if kind:
        if not names.get("singular"):
            names["singular"] = kind.lower()
        if not names.get("listKind"):
            names["listKind"] = f"{kind}List"
        made["names"] = names


def _limited(made: JsonObject) -> None:
    spec = as_object(made.get("spec"))
    limited = as_object(spec.get("limited"))
    if spec.get("type") == "Limited" and limited and not limited.get("limitResponse"):
        limited["limitResponse"] = {"type": "Reject"}


def _resources(made: JsonObject) -> None:
    """Finer than a thousandth is rounded up."""
    for name in ("limits", "requests", "capacity", "allocatable", "hard", "used"):
        amounts = made.get(name)
        if isinstance(amounts, dict):
            for key, value in amounts.items():
                if isinstance(value, str) and value[-1:] in ("n", "u"):
                    amounts[key] = _milli(value)


def _milli(text: str) -> str:
    try:
        found = parse(text)
    except QuantityError:
        return text
    return canonical(parse(f"{found.milli}m"))


_CORE = "io.k8s.api.core.v1."
HOOKS: dict[str, Callable[[JsonObject], None]] = {
    _CORE + "Container": _container,
    _CORE + "EphemeralContainer": _container,
    _CORE + "LimitRangeItem": _limit_range_item,
    _CORE + "Namespace": _namespace,
    _CORE + "NodeStatus": _node_status,
    _CORE + "PersistentVolume": _claim,
    _CORE + "PersistentVolumeClaim": _claim,
    _CORE + "Pod": _pod,
    _CORE + "PodSpec": _pod_spec,
    _CORE + "ReplicationController": _replication_controller,
    _CORE + "ResourceRequirements": _resources,
    _CORE + "Secret": _secret,
    _CORE + "ServicePort": _service_port,
    _CORE + "ServiceSpec": _service_spec,
    _CORE + "Volume": _volume,
    "io.k8s.api.apps.v1.DaemonSetUpdateStrategy": _daemon_strategy,
    "io.k8s.api.apps.v1.DeploymentStrategy": _deployment_strategy,
    "io.k8s.api.apps.v1.StatefulSetUpdateStrategy": _stateful_strategy,
    "io.k8s.api.apps.v1.StatefulSetSpec": _stateful_spec,
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler": _autoscaler_v1,
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler": _autoscaler,
    "io.k8s.api.batch.v1.Job": _job,
    "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration": _limited,
    "io.k8s.api.networking.v1.NetworkPolicySpec": _network_policy_spec,
    "io.k8s.api.rbac.v1.Subject": _subject,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec": _definition_spec,
}
