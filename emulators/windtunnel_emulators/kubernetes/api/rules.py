"""What kinds have of rules of their own: the functions of ``objects``, asked as the verbs need them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object
from windtunnel_emulators.kubernetes.access.interface import Admission
from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api.negotiation import media_type
from windtunnel_emulators.kubernetes.objects import apply, decode, defaults, prepare, validate
from windtunnel_emulators.kubernetes.objects import patch as patches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.api.deleting import Deletion
    from windtunnel_emulators.kubernetes.api.options import DeleteOptions, WriteOptions
    from windtunnel_emulators.kubernetes.api.requests import Call
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Stored

_RETURN_DELETED = frozenset(
    {
        "pods",
        "podtemplates",
        "services",
        "serviceaccounts",
        "namespaces",
        "resourcequotas",
        "persistentvolumes",
        "persistentvolumeclaims",
        "storageclasses.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
)
"""Whose deletion is answered with the object; others' with a ``Status``."""
_ORPHANED = frozenset({"replicationcontrollers", "jobs.batch"})
"""Whose dependents stay unless the request says otherwise, as their first versions had it."""
_CREATED_BY_UPDATE = frozenset({"leases.coordination.k8s.io", "endpoints", "events", "limitranges"})
_NEEDS_VERSION = frozenset(
    {
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
    }
)
_GRACE_S = 30
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
DEFINITION_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_JOBS_ORPHAN = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set"
    " propagationPolicy=Orphan to suppress this warning"
)


_DEPRECATED = {
    ("endpoints", "v1"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("componentstatuses", "v1"): "v1 ComponentStatus is deprecated in v1.19+",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """An object that was sent, and what is odd about it."""

    object: JsonObject = field(repr=False)
    warnings: Sequence[str] = ()


def created_by_update(served: Served) -> bool:
    """Whether an update makes the object that is not there."""
    return served.storage in _CREATED_BY_UPDATE


def needs_version(served: Served) -> bool:
    """Whether an update has to name the version that it is for."""
    return served.custom or served.storage in _NEEDS_VERSION


def returns_deleted(served: Served) -> bool:
    """Whether a deletion is answered with the object."""
    return served.storage in _RETURN_DELETED


def default_policy(served: Served) -> str:
    """What becomes of dependents when the request does not say it; empty for the garbage collector's own way."""
    return "Orphan" if served.storage in _ORPHANED else ""


def deprecation(served: Served) -> tuple[str, ...]:
    """What is said, whatever the verb and the outcome, to those who use a version that is to go."""
    found = _DEPRECATED.get((served.storage, served.kind.version))
    return () if found is None else (found,)


def deletion_warnings(served: Served, options: DeleteOptions) -> tuple[str, ...]:
    """What is said to those who delete."""
    return (_JOBS_ORPHAN,) if served.storage == "jobs.batch" and not options.policy else ()


def deletion_finalizers(served: Served) -> tuple[str, ...]:
    """What the server itself has to do before an object is gone: a definition's objects go first."""
    return (DEFINITION_FINALIZER,) if served.storage == DEFINITIONS else ()


def spec_finalizers(whole: JsonObject) -> bool:
    """Whether a namespace has finalizers of its own kind."""
    return whole.get("kind") == "Namespace" and bool(as_list(as_object(whole.get("spec")).get("finalizers")))


def begun_deletion(whole: JsonObject) -> JsonObject:
    """An object that begins to be deleted: a namespace says so in its phase."""
    if whole.get("kind") == "CustomResourceDefinition":
        return _terminating(whole)
    if whole.get("kind") != "Namespace" or whole.get("apiVersion") != "v1":
        return whole
    metadata = {name: value for name, value in meta.of(whole).items() if name != "deletionGracePeriodSeconds"}
    return {**whole, "metadata": metadata, "status": {**as_object(whole.get("status")), "phase": "Terminating"}}


def _terminating(definition: JsonObject) -> JsonObject:
    metadata = {name: value for name, value in meta.of(definition).items() if name != "deletionGracePeriodSeconds"}
    generation = metadata.get("generation")
    if isinstance(generation, int):
        metadata["generation"] = generation - 1  # deletion does not count for definitions
    status = as_object(definition.get("status"))
    condition: JsonObject = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": metadata.get("deletionTimestamp"),
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }
    conditions: list[Json] = [*as_list(status.get("conditions")), condition]
    return {**definition, "metadata": metadata, "status": {**status, "conditions": conditions}}


def grace_s(served: Served, whole: JsonObject, asked: int | None) -> int:
    """The seconds that an object is given to end: pods alone have any."""
    if served.storage != "pods":
        return 0
    spec, status = as_object(whole.get("spec")), as_object(whole.get("status"))
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    if asked is not None:
        return asked
    own = spec.get("terminationGracePeriodSeconds")
    return own if isinstance(own, int) else _GRACE_S


def unchanged(old: JsonObject, new: JsonObject) -> bool:
    """Whether a write changes nothing: then the version stays. When fields were managed does not count."""
    if old is new:
        return True
    before, after = meta.of(old), meta.of(new)
    if {**old, "metadata": None} != {**new, "metadata": None}:
        return False
    before = {name: value for name, value in before.items() if name not in ("managedFields", "resourceVersion")}
    after = {name: value for name, value in after.items() if name not in ("managedFields", "resourceVersion")}
    if before != after:
        return False
    return _untimed(meta.of(old).get("managedFields")) == _untimed(meta.of(new).get("managedFields"))


def _untimed(entries: Json) -> list[JsonObject]:
    return [{name: value for name, value in as_object(entry).items() if name != "time"} for entry in as_list(entries)]


def first_generation(served: Served) -> int | None:
    """The generation of a new object; None for kinds that have none."""
    return 1 if served.info.has_generation else None


def with_generation(served: Served, new: JsonObject, old: JsonObject, subresource: str) -> JsonObject:
    """The next state with its generation counted up if what it is asked to be has changed."""
    rule = served.info.generation
    if not rule or rule == "created" or subresource == "status":
        return new
    if rule == "spec":
        changed = new.get("spec") != old.get("spec")
    else:
        beside = ("metadata", "status", "kind", "apiVersion")
        changed = {n: v for n, v in new.items() if n not in beside} != {n: v for n, v in old.items() if n not in beside}
    if not changed:
        return new
    generation = meta.of(old).get("generation")
    counted = generation + 1 if isinstance(generation, int) else 1
    return {**new, "metadata": {**meta.of(new), "generation": counted}}


def prepared_for_create(served: Served, whole: JsonObject, now: datetime) -> JsonObject:
    """A new object as its kind begins."""
    return prepare.prepare_create(served.info, whole, meta.timestamp(now))


def prepared_for_update(served: Served, new: JsonObject, old: JsonObject, subresource: str) -> JsonObject:
    """The next state with what this way of writing cannot change as it was."""
    return prepare.prepare_update(served.info, old, new, subresource)


def decoded(served: Served, body: bytes, kind: str, field_validation: str, *, applied: bool = False) -> Read:
    """An object from its bytes, without unknown fields. Raises ``Failure``."""
    found = decode.decode(served.info, body, kind, field_validation, bare=applied)
    return Read(object=found.object, warnings=tuple(found.warnings))


def parsed(served: Served, body: bytes, kind: str) -> JsonObject:
    """What a body says, before it is taken as an object of its kind. Raises ``Failure``."""
    return as_object(decode.parse(body, kind, served.kind.name)[0])


def defaulted(served: Served, whole: JsonObject) -> JsonObject:
    """The object with what its schema says of fields that are not there."""
    return defaults.apply_defaults(served.info, whole)


def check_create(served: Served, whole: JsonObject) -> list[JsonObject]:
    """What is wrong with a new object."""
    return [cause.json() for cause in validate.validate_create(served.info, whole)]


def check_update(served: Served, old: JsonObject, new: JsonObject, subresource: str) -> list[JsonObject]:
    """What is wrong with the next state of an object."""
    return [cause.json() for cause in validate.validate_update(served.info, old, new, subresource)]


def patched(
    served: Served, old: JsonObject, body: bytes, kind: str, field_validation: str
) -> tuple[JsonObject, Sequence[str]]:
    """What a patch makes of an object, and warnings. Raises ``Failure``."""
    made = patches.patched(served.info, old, body, kind, field_validation)
    return made.object, made.warnings


def applied(
    served: Served, live: JsonObject | None, body: JsonObject, options: WriteOptions, subresource: str, now: datetime
) -> JsonObject:
    """What a server-side apply makes of an object, or of none. Raises ``Failure``."""
    return apply.apply(
        served.info, live, body, options.manager, options.force, subresource=subresource, time=meta.timestamp(now)
    )


def tracked(
    served: Served,
    new: JsonObject,
    old: JsonObject | None,
    manager: str,
    operation: str,
    subresource: str,
    now: datetime,
) -> JsonObject:
    """The object with ``managedFields`` that say who wrote what."""
    return apply.track(served.info, old, new, manager, operation, subresource, meta.timestamp(now))


def admission(request: Deletion, current: Stored) -> Admission:
    """The admission of a deletion."""
    served = request.served
    return Admission(
        kind=served.kind,
        subresource="",
        namespace=request.target.namespace,
        name=current.key[1],
        operation="DELETE",
        object=None,
        old=served.present(current.object),
        user=request.user,
        dry_run=request.options.dry_run,
    )


def patched_scale(scale: JsonObject, call: Call) -> JsonObject:
    """What the patch of a request makes of a ``Scale``. Raises ``Failure``."""
    kind, _ = media_type(call.headers.get("content-type", ""))
    return patches.patch_plain(scale, call.body, kind)
