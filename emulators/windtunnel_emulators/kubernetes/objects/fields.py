"""The fields of each kind that field selectors may name, besides ``metadata.name`` and ``metadata.namespace``."""

from __future__ import annotations

_EVENT = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)

FIELD_SELECTORS: dict[str, tuple[str, ...]] = {
    "core/Event": _EVENT,
    "core/Namespace": ("status.phase", "name"),
    "core/Node": ("spec.unschedulable",),
    "core/Pod": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    "core/ReplicationController": ("status.replicas",),
    "core/Secret": ("type",),
    "core/Service": ("spec.clusterIP", "spec.type"),
    "apps/ReplicaSet": ("status.replicas",),
    "batch/Job": ("status.successful",),
    "certificates.k8s.io/CertificateSigningRequest": ("spec.signerName",),
    "events.k8s.io/Event": (
        "regarding.kind",
        "regarding.namespace",
        "regarding.name",
        "regarding.uid",
        "regarding.apiVersion",
        "regarding.resourceVersion",
        "regarding.fieldPath",
        "reason",
        "reportingController",
        "type",
    ),
    "resource.k8s.io/ResourceSlice": ("spec.driver", "spec.nodeName"),
}
