"""The kinds that clients of the API name: where each is found."""

from __future__ import annotations

from windtunnel_emulators.kubernetes.client.interface import Kind


def _core(plural: str, name: str, *, namespaced: bool = True) -> Kind:
    return Kind(group="", version="v1", plural=plural, name=name, namespaced=namespaced)


def _v1(group: str, plural: str, name: str, *, namespaced: bool = True) -> Kind:
    return Kind(group=group, version="v1", plural=plural, name=name, namespaced=namespaced)


POD = _core("pods", "Pod")
SERVICE = _core("services", "Service")
ENDPOINTS = _core("endpoints", "Endpoints")
CONFIG_MAP = _core("configmaps", "ConfigMap")
SECRET = _core("secrets", "Secret")
SERVICE_ACCOUNT = _core("serviceaccounts", "ServiceAccount")
EVENT = _core("events", "Event")
LIMIT_RANGE = _core("limitranges", "LimitRange")
RESOURCE_QUOTA = _core("resourcequotas", "ResourceQuota")
REPLICATION_CONTROLLER = _core("replicationcontrollers", "ReplicationController")
POD_TEMPLATE = _core("podtemplates", "PodTemplate")
PERSISTENT_VOLUME_CLAIM = _core("persistentvolumeclaims", "PersistentVolumeClaim")
PERSISTENT_VOLUME = _core("persistentvolumes", "PersistentVolume", namespaced=False)
NAMESPACE = _core("namespaces", "Namespace", namespaced=False)
NODE = _core("nodes", "Node", namespaced=False)

DEPLOYMENT = _v1("apps", "deployments", "Deployment")
REPLICA_SET = _v1("apps", "replicasets", "ReplicaSet")
STATEFUL_SET = _v1("apps", "statefulsets", "StatefulSet")
DAEMON_SET = _v1("apps", "daemonsets", "DaemonSet")
CONTROLLER_REVISION = _v1("apps", "controllerrevisions", "ControllerRevision")
JOB = _v1("batch", "jobs", "Job")
CRON_JOB = _v1("batch", "cronjobs", "CronJob")
ENDPOINT_SLICE = _v1("discovery.k8s.io", "endpointslices", "EndpointSlice")
LEASE = _v1("coordination.k8s.io", "leases", "Lease")
POD_DISRUPTION_BUDGET = _v1("policy", "poddisruptionbudgets", "PodDisruptionBudget")
HORIZONTAL_POD_AUTOSCALER = Kind(
    group="autoscaling", version="v2", plural="horizontalpodautoscalers", name="HorizontalPodAutoscaler"
)
PRIORITY_CLASS = _v1("scheduling.k8s.io", "priorityclasses", "PriorityClass", namespaced=False)
STORAGE_CLASS = _v1("storage.k8s.io", "storageclasses", "StorageClass", namespaced=False)
INGRESS = _v1("networking.k8s.io", "ingresses", "Ingress")
INGRESS_CLASS = _v1("networking.k8s.io", "ingressclasses", "IngressClass", namespaced=False)
NETWORK_POLICY = _v1("networking.k8s.io", "networkpolicies", "NetworkPolicy")
ROLE = _v1("rbac.authorization.k8s.io", "roles", "Role")
ROLE_BINDING = _v1("rbac.authorization.k8s.io", "rolebindings", "RoleBinding")
CLUSTER_ROLE = _v1("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDING = _v1("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
CERTIFICATE_SIGNING_REQUEST = _v1(
    "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", namespaced=False
)
CUSTOM_RESOURCE_DEFINITION = _v1(
    "apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
API_SERVICE = _v1("apiregistration.k8s.io", "apiservices", "APIService", namespaced=False)
POD_METRICS = Kind(group="metrics.k8s.io", version="v1beta1", plural="pods", name="PodMetrics")
NODE_METRICS = Kind(group="metrics.k8s.io", version="v1beta1", plural="nodes", name="NodeMetrics", namespaced=False)
