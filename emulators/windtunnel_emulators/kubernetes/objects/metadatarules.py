"""Rules of metadata: names, labels, annotations, owners, finalizers; and what an update may not change."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo
    from windtunnel_emulators.kubernetes.objects.findings import Findings

_MOST_ANNOTATIONS = 256 * 1024
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_IMMUTABLE = "field is immutable"
_LONGEST_CRON_JOB = 52


def _namespace_name(text: str) -> list[str]:
    return ["must not contain dots"] if "." in text else names.label(text)


def _address_name(text: str) -> list[str]:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return names.address(text)
    return [] if str(parsed) == text else [f'must be in canonical form ("{parsed}")']


# Kinds whose names are not subdomains.
_NAMES: dict[str, Callable[[str], list[str]]] = {
    "core/Namespace": _namespace_name,
    "core/Service": names.label_1035,
    "rbac.authorization.k8s.io/ClusterRole": names.path_segment,
    "rbac.authorization.k8s.io/ClusterRoleBinding": names.path_segment,
    "rbac.authorization.k8s.io/Role": names.path_segment,
    "rbac.authorization.k8s.io/RoleBinding": names.path_segment,
    "certificates.k8s.io/CertificateSigningRequest": names.subdomain,
    "networking.k8s.io/IPAddress": _address_name,
    "apiregistration.k8s.io/APIService": names.path_segment,
    "flowcontrol.apiserver.k8s.io/FlowSchema": names.subdomain,
    "apiextensions.k8s.io/CustomResourceDefinition": names.subdomain,
}
_UNCHECKED_NAMES = frozenset({"core/Event", "events.k8s.io/Event"})


def check_metadata(info: KindInfo, whole: JsonObject, found: Findings) -> None:
    """The metadata of any object."""
    metadata = as_object(whole.get("metadata"))
    check = _NAMES.get(info.strategy, names.subdomain)
    prefix, name = as_str(metadata.get("generateName")), as_str(metadata.get("name"))
    if prefix:
        # A prefix may end with what a name may not.
        masked = prefix[:-1] + "a" if prefix.endswith("-") else prefix
        found.each("metadata.generateName", prefix, check(masked))
    if not name:
        found.required("metadata.name", "name or generateName is required")
    elif info.strategy in _UNCHECKED_NAMES:
        found.each("metadata.name", name, names.path_segment(name))
    else:
        found.each("metadata.name", name, check(name))
        if info.strategy == "batch/CronJob" and len(name) > _LONGEST_CRON_JOB:
            found.invalid("metadata.name", name, f"must be no more than {_LONGEST_CRON_JOB} characters")
    _owners(metadata, found)
    _finalizers(metadata, found)
    found.labels("metadata.labels", metadata.get("labels"))
    check_annotations(as_object(metadata.get("annotations")), found)


def check_annotations(annotations: JsonObject, found: Findings) -> None:
    """Keys, and how much there is of them in all."""
    size = 0
    for key, value in annotations.items():
        found.each("metadata.annotations", key, names.qualified(key.lower()))
        size += len(key.encode()) + len(as_str(value).encode())
    if size > _MOST_ANNOTATIONS:
        from windtunnel_emulators.kubernetes.objects.causes import too_long

        found.add([too_long("metadata.annotations", _MOST_ANNOTATIONS)])


def _owners(metadata: JsonObject, found: Findings) -> None:
    owners = [as_object(owner) for owner in as_list(metadata.get("ownerReferences"))]
    field = "metadata.ownerReferences"
    controller = ""
    for owner in owners:
        group, _, version = as_str(owner.get("apiVersion")).rpartition("/")
        if not version:
            found.invalid(f"{field}.apiVersion", owner.get("apiVersion", ""), "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not owner.get(name):
                found.invalid(f"{field}.{name}", owner.get(name, ""), "must not be empty")
        if (group, version, owner.get("kind")) == ("", "v1", "Event"):
            found.invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner")
        if owner.get("controller") is True:
            shown = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                found.invalid(
                    field,
                    [*owners],
                    'Only one reference can have Controller set to true. Found "true" in references for'
                    f" {controller} and {shown}",
                )
            controller = controller or shown


def _finalizers(metadata: JsonObject, found: Findings) -> None:
    for index, finalizer in enumerate(as_list(metadata.get("finalizers"))):
        name = as_str(finalizer)
        found.each("metadata.finalizers", name, names.qualified(name))
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            message = "name is neither a standard finalizer name nor is it fully qualified"
            found.invalid(f"metadata.finalizers[{index}]", name, message)
    listed = as_list(metadata.get("finalizers"))
    if "orphan" in listed and "foregroundDeletion" in listed:
        found.invalid("metadata.finalizers", listed, "finalizer orphan and foregroundDeletion cannot be both set")


def check_metadata_update(info: KindInfo, old: JsonObject, new: JsonObject, found: Findings) -> None:
    """What an update may not change, and the rules of the new state."""
    before, after = as_object(old.get("metadata")), as_object(new.get("metadata"))
    _owners(after, found)
    found.labels("metadata.labels", after.get("labels"))
    check_annotations(as_object(after.get("annotations")), found)
    _finalizers(after, found)
    if before.get("deletionTimestamp"):
        added = [one for one in as_list(after.get("finalizers")) if one not in as_list(before.get("finalizers"))]
        if added:
            shown = "[]string{" + ", ".join(f'"{as_str(one)}"' for one in added) + "}"
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            found.forbidden("metadata.finalizers", detail)
    for name in ("name", "namespace", "uid", "creationTimestamp"):
        if after.get(name) != before.get(name):
            found.invalid(f"metadata.{name}", after.get(name, ""), _IMMUTABLE)
