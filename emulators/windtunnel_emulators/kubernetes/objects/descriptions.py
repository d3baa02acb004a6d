"""Descriptions of fields for ``kubectl explain``: read from the ``kubernetes`` Python client where it is installed.

The client's model files carry the API's own documentation of each field; they are read as text when a document is
asked for, and never imported. Without the client fields have no descriptions, kinds a short one of ours.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

_FIELD = re.compile(
    r'\n    def (\w+)\(self\):\n        """Gets the [^\n]*\n\n        (.*?)\n\n        :return:', re.DOTALL
)
_MAP = re.compile(r"attribute_map = \{(.*?)\}", re.DOTALL)
_PAIR = re.compile(r"'(\w+)': '([^']+)'")
_KINDS = {
    "ClusterRole": "Rules of access that hold in the whole cluster, or that bindings grant in namespaces.",
    "ClusterRoleBinding": "Grants a ClusterRole to users, groups and service accounts in the whole cluster.",
    "ConfigMap": "Configuration that pods read as environment or files.",
    "CronJob": "Makes a Job at each time of a schedule.",
    "CustomResourceDefinition": "Defines a kind of one's own, served beside the built-in ones.",
    "DaemonSet": "Runs a pod on each node, or on each of those that are selected.",
    "Deployment": "Keeps a number of pods of one template running and changes them step by step.",
    "EndpointSlice": "Some of the addresses behind a service.",
    "Endpoints": "All addresses behind a service, in the form before EndpointSlices.",
    "Event": "Something that happened to an object.",
    "HorizontalPodAutoscaler": "Scales a workload by measured use.",
    "Ingress": "Rules by which HTTP from outside reaches services.",
    "IngressClass": "Which controller carries out an Ingress.",
    "Job": "Runs pods until enough of them have succeeded.",
    "Lease": "Says who holds something, and since when: leaders, nodes' heartbeats.",
    "LimitRange": "Defaults and bounds of resources for the objects of a namespace.",
    "Namespace": "A scope of names; its objects go when it goes.",
    "NetworkPolicy": "Which traffic pods accept and send.",
    "Node": "A machine on which pods run.",
    "PersistentVolume": "Storage of the cluster.",
    "PersistentVolumeClaim": "A request for storage by pods of a namespace.",
    "Pod": "Containers that run together on one node.",
    "PodDisruptionBudget": "How many pods may be away at once by choice.",
    "PodTemplate": "What pods are made of.",
    "PriorityClass": "A name for how important pods are.",
    "ReplicaSet": "Keeps a number of equal pods running.",
    "ReplicationController": "Keeps a number of equal pods running, in the form before ReplicaSets.",
    "ResourceQuota": "How much the objects of a namespace may use together.",
    "Role": "Rules of access in one namespace.",
    "RoleBinding": "Grants a role to users, groups and service accounts in one namespace.",
    "Scale": "How many replicas a workload has and should have.",
    "Secret": "Confidential data that pods read as environment or files.",
    "Service": "One address for a changing set of pods.",
    "ServiceAccount": "An identity for processes in pods.",
    "StatefulSet": "Runs pods with names, and storage, of their own, one after the other.",
    "Status": "How a request ended.",
    "StorageClass": "A kind of storage that can be claimed.",
    "ValidatingAdmissionPolicy": "Rules, written in CEL, by which requests are refused.",
}


def of_kind(name: str) -> str:
    """A sentence on a kind; empty where we have none."""
    return _KINDS.get(name, "")


@cache
def _models() -> Path | None:
    found = importlib.util.find_spec("kubernetes")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "client" / "models"
    return folder if folder.is_dir() else None


def of_fields(definition: str) -> dict[str, str]:
    """The descriptions of a definition's fields by their JSON names; empty if nothing is known."""
    folder = _models()
    if folder is None:
        return {}
    group, version, name = definition.rsplit(".", 3)[1:]
    snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()
    for stem in (f"{version}_{snake}", f"{group}_{version}_{snake}"):
        path = folder / f"{stem}.py"
        if path.is_file():
            return _read(path.read_text(encoding="utf-8"))
    return {}


def _read(source: str) -> dict[str, str]:
    listed = _MAP.search(source)
    if listed is None:
        return {}
    names = dict(_PAIR.findall(listed[1]))
    found: dict[str, str] = {}
    for attribute, text in _FIELD.findall(source):
        if attribute in names:
            found[names[attribute]] = text.replace("  # noqa: E501", "").strip()
    return found
