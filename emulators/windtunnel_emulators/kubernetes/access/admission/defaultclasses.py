"""DefaultIngressClass and DefaultStorageClass: the class that counts where none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api import metadata as meta

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.access.interface import Admission
    from windtunnel_emulators.kubernetes.access.state import State

_INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_STORAGE_DEFAULTS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def ingress(admission: Admission, whole: JsonObject, state: State) -> JsonObject:
    """The Ingress with its class."""
    if admission.operation != "CREATE" or admission.subresource:
        return whole
    spec = as_object(whole.get("spec"))
    if spec.get("ingressClassName") or "kubernetes.io/ingress.class" in as_object(meta.of(whole).get("annotations")):
        return whole
    name = _default(state, "ingressclasses.networking.k8s.io", (_INGRESS_DEFAULT,))
    return {**whole, "spec": {**spec, "ingressClassName": name}} if name else whole


def claim(admission: Admission, whole: JsonObject, state: State) -> JsonObject:
    """The PersistentVolumeClaim with its class; an empty name is no class, and stays."""
    if admission.operation != "CREATE" or admission.subresource:
        return whole
    spec = as_object(whole.get("spec"))
    if spec.get("storageClassName") is not None:
        return whole
    if "volume.beta.kubernetes.io/storage-class" in as_object(meta.of(whole).get("annotations")):
        return whole
    name = _default(state, "storageclasses.storage.k8s.io", _STORAGE_DEFAULTS)
    return {**whole, "spec": {**spec, "storageClassName": name}} if name else whole


def _default(state: State, resource: str, annotations: tuple[str, ...]) -> str:
    """The newest of those that say that they are the default; of equally new ones, the first by name."""
    found = [
        one
        for one in state.objects(resource)
        if any(as_object(meta.of(one).get("annotations")).get(name) == "true" for name in annotations)
    ]
    found.sort(key=lambda one: meta.text(one, "name"))
    found.sort(key=lambda one: meta.text(one, "creationTimestamp"), reverse=True)
    return meta.text(found[0], "name") if found else ""
