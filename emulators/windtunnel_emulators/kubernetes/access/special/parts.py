"""What updates by subresources change, of kinds where that is neither all nor the status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject

    Part = Callable[[JsonObject, JsonObject], JsonObject]


def _version(old: JsonObject, new: JsonObject) -> JsonObject:
    """The present state, for the version that the sent one is for."""
    metadata = {**as_object(old.get("metadata"))}
    sent = as_object(new.get("metadata"))
    for name in ("name", "namespace", "resourceVersion", "uid"):
        if name in sent:
            metadata[name] = sent[name]
        elif name != "name":
            metadata.pop(name, None)
    return {**old, "metadata": metadata}


def ephemeral_containers(old: JsonObject, new: JsonObject) -> JsonObject:
    """Of a pod: its ephemeral containers."""
    spec = {**as_object(old.get("spec"))}
    sent = as_list(as_object(new.get("spec")).get("ephemeralContainers"))
    if sent:
        spec["ephemeralContainers"] = sent
    else:
        spec.pop("ephemeralContainers", None)
    return {**_version(old, new), "spec": spec}


def resize(old: JsonObject, new: JsonObject) -> JsonObject:
    """Of a pod: the resources of its containers, and what is done when they change."""
    spec, sent = {**as_object(old.get("spec"))}, as_object(new.get("spec"))
    for group in ("containers", "initContainers"):
        wanted = {as_str(as_object(one).get("name")): as_object(one) for one in as_list(sent.get(group))}
        made: list[Json] = []
        for one in as_list(spec.get(group)):
            container = as_object(one)
            found = wanted.get(as_str(container.get("name")))
            if found is not None:
                container = {**container, "resources": found.get("resources", {})}
                if "resizePolicy" in found:
                    container["resizePolicy"] = found["resizePolicy"]
            made.append(container)
        if made:
            spec[group] = made
    if "resources" in sent:
        spec["resources"] = sent["resources"]
    return {**_version(old, new), "spec": spec}


def approval(old: JsonObject, new: JsonObject) -> JsonObject:
    """Of a certificate signing request: its conditions, and its metadata."""
    status = {**as_object(old.get("status"))}
    sent = as_object(new.get("status")).get("conditions")
    if sent:
        status["conditions"] = sent
    else:
        status.pop("conditions", None)
    # Unlike a pod's, its metadata may change with them.
    return {**old, "metadata": new.get("metadata", {}), "status": status}


def finalize(old: JsonObject, new: JsonObject) -> JsonObject:
    """Of a namespace: its own finalizers, and its metadata."""
    return {**old, "metadata": new.get("metadata", {}), "spec": new.get("spec", {})}


PARTS: dict[tuple[str, str, str], Part] = {
    ("", "pods", "ephemeralcontainers"): ephemeral_containers,
    ("", "pods", "resize"): resize,
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): approval,
    ("", "namespaces", "finalize"): finalize,
}
