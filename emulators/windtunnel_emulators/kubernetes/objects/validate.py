"""Validation: what is wrong with an object, with the paths and in the words of the API.

Rules are functions by kind, in the modules whose names end with ``rules``; kinds without any have those of metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects import (
    accessrules,
    definitionrules,
    jobrules,
    podrules,
    servicerules,
    storedrules,
    workloadrules,
)
from windtunnel_emulators.kubernetes.objects.findings import Findings
from windtunnel_emulators.kubernetes.objects.metadatarules import check_metadata, check_metadata_update

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo
    from windtunnel_emulators.kubernetes.objects.causes import Cause

    Check = Callable[[JsonObject, Findings], None]
    CheckUpdate = Callable[[JsonObject, JsonObject, Findings], None]

_STATE: Mapping[str, Check] = {
    "admissionregistration.k8s.io/MutatingWebhookConfiguration": accessrules.check_webhooks,
    "admissionregistration.k8s.io/ValidatingAdmissionPolicy": accessrules.check_policy,
    "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": accessrules.check_policy_binding,
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration": accessrules.check_webhooks,
    "apiextensions.k8s.io/CustomResourceDefinition": definitionrules.check_definition,
    "apiregistration.k8s.io/APIService": accessrules.check_api_service,
    "apps/ControllerRevision": storedrules.check_revision,
    "apps/DaemonSet": workloadrules.check_daemon_set,
    "apps/Deployment": workloadrules.check_deployment,
    "apps/ReplicaSet": workloadrules.check_replica_set,
    "apps/StatefulSet": workloadrules.check_stateful_set,
    "autoscaling/HorizontalPodAutoscaler": storedrules.check_autoscaler,
    "batch/CronJob": jobrules.check_cron_job,
    "coordination.k8s.io/Lease": storedrules.check_lease,
    "core/ConfigMap": storedrules.check_config_map,
    "core/Endpoints": servicerules.check_endpoints,
    "core/LimitRange": storedrules.check_limit_range,
    "core/Node": storedrules.check_node,
    "core/ReplicationController": workloadrules.check_replication_controller,
    "core/ResourceQuota": storedrules.check_resource_quota,
    "core/Secret": storedrules.check_secret,
    "core/Service": servicerules.check_service,
    "discovery.k8s.io/EndpointSlice": servicerules.check_endpoint_slice,
    "networking.k8s.io/Ingress": servicerules.check_ingress,
    "networking.k8s.io/IngressClass": servicerules.check_ingress_class,
    "networking.k8s.io/NetworkPolicy": servicerules.check_network_policy,
    "node.k8s.io/RuntimeClass": storedrules.check_runtime_class,
    "policy/PodDisruptionBudget": storedrules.check_budget,
    "rbac.authorization.k8s.io/ClusterRole": accessrules.check_cluster_role,
    "rbac.authorization.k8s.io/ClusterRoleBinding": accessrules.check_cluster_binding,
    "rbac.authorization.k8s.io/Role": accessrules.check_role,
    "rbac.authorization.k8s.io/RoleBinding": accessrules.check_binding,
    "scheduling.k8s.io/PriorityClass": storedrules.check_priority_class,
    "storage.k8s.io/CSIDriver": storedrules.check_driver,
    "storage.k8s.io/StorageClass": storedrules.check_storage_class,
}
"""Of new objects and of changed ones."""
_BIRTH: Mapping[str, Check] = {
    "batch/Job": jobrules.check_job,
    "certificates.k8s.io/CertificateSigningRequest": accessrules.check_signing_request,
    "core/Event": storedrules.check_event,
    "core/PersistentVolume": storedrules.check_volume,
    "core/PersistentVolumeClaim": storedrules.check_claim,
    "core/Pod": podrules.check_pod,
    "events.k8s.io/Event": storedrules.check_event,
}
"""Of new objects alone."""
_CHANGE: Mapping[str, CheckUpdate] = {
    "apiextensions.k8s.io/CustomResourceDefinition": definitionrules.check_definition_update,
    "apps/ControllerRevision": storedrules.check_revision_update,
    "apps/DaemonSet": workloadrules.check_same_selector,
    "apps/Deployment": workloadrules.check_same_selector,
    "apps/ReplicaSet": workloadrules.check_same_selector,
    "apps/StatefulSet": workloadrules.check_stateful_update,
    "batch/Job": jobrules.check_job_update,
    "core/ConfigMap": storedrules.check_immutable_data,
    "core/Node": storedrules.check_node_update,
    "core/PersistentVolumeClaim": storedrules.check_claim_update,
    "core/ResourceQuota": storedrules.check_quota_update,
    "core/Secret": storedrules.check_immutable_data,
    "core/Service": servicerules.check_service_update,
    "discovery.k8s.io/EndpointSlice": servicerules.check_endpoint_slice_update,
    "node.k8s.io/RuntimeClass": storedrules.check_runtime_class_update,
    "rbac.authorization.k8s.io/ClusterRoleBinding": accessrules.check_binding_update,
    "rbac.authorization.k8s.io/RoleBinding": accessrules.check_binding_update,
    "scheduling.k8s.io/PriorityClass": storedrules.check_priority_class_update,
    "storage.k8s.io/StorageClass": storedrules.check_storage_class_update,
}
_STATUS = ("status", "approval")


def validate_create(info: KindInfo, whole: JsonObject) -> tuple[Cause, ...]:
    """What is wrong with a new object, with its defaults."""
    found = Findings()
    check_metadata(info, whole, found)
    if info.custom:
        from windtunnel_emulators.kubernetes.objects.customrules import check_custom

        check_custom(info, whole, None, found)
    for checks in (_STATE, _BIRTH):
        check = checks.get(info.strategy)
        if check is not None:
            check(whole, found)
    return _once(found)


def validate_update(info: KindInfo, old: JsonObject, new: JsonObject, subresource: str = "") -> tuple[Cause, ...]:
    """What is wrong with the next state of an object."""
    found = Findings()
    check_metadata_update(info, old, new, found)
    if info.custom:
        from windtunnel_emulators.kubernetes.objects.customrules import check_custom

        check_custom(info, new, old, found)
    elif info.strategy == "core/Pod":
        podrules.check_pod_update(old, new, subresource, found)
    elif subresource not in _STATUS:
        check = _STATE.get(info.strategy)
        if check is not None and {**old, "metadata": None} != {**new, "metadata": None}:
            check(new, found)
        change = _CHANGE.get(info.strategy)
        if change is not None:
            change(old, new, found)
    return _once(found)


def _once(found: Findings) -> tuple[Cause, ...]:
    return tuple(dict.fromkeys(found.causes))
