"""Server-side apply, and what every other write says of who manages which fields."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.objects import fieldsets, managers, structured
from windtunnel_emulators.kubernetes.objects.causes import BadObject, Cause, ObjectProblem
from windtunnel_emulators.kubernetes.objects.managers import Managed, Manager
from windtunnel_emulators.kubernetes.objects.schemas import Schema, definition
from windtunnel_emulators.kubernetes.objects.structured import StructureError

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo
    from windtunnel_emulators.kubernetes.objects.fieldsets import FieldSet, Path

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_BEFORE = "before-first-apply"
_META = "f:metadata"
_UNMANAGED = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        (_META,),
        *((_META, f"f:{name}") for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid")),
        *((_META, f"f:{name}") for name in ("clusterName", "generation", "managedFields", "resourceVersion")),
    }
)
_WORKLOADS = frozenset({"apps", "batch"})


class ApplyConflict(ObjectProblem):
    """Others manage fields that an apply would change; ``causes`` say which, ``message`` all of it."""

    def __init__(self, found: list[tuple[Manager, list[str]]]) -> None:
        self.message = managers.conflicts_message(found)
        super().__init__(self.message)
        self.causes = tuple(
            Cause(field=path, reason="FieldManagerConflict", message=f"conflict with {manager.describe()}")
            for manager, paths in found
            for path in paths
        )


def _schema(info: KindInfo) -> Schema:
    if info.custom:
        return info.custom_schema or Schema(type="object", preserve=True)
    return definition(info.schema)


def _is_reset(info: KindInfo, subresource: str, path: Path) -> bool:
    """Whether this way of writing cannot change the field, so that nobody manages it by it."""
    if not path or path in _UNMANAGED or path[:2] == (_META, "f:managedFields"):
        return True
    if subresource == "":
        return info.has_status and path[0] == "f:status"
    if subresource == "status":
        if path[0] == "f:spec":
            return True
        return path[:2] == (_META, "f:labels") and info.kind.group in _WORKLOADS
    return False


def _owned(info: KindInfo, subresource: str, fields: set[Path] | FieldSet) -> FieldSet:
    return frozenset(path for path in fields if not _is_reset(info, subresource, path))


def _with_managed(whole: JsonObject, managed: Managed) -> JsonObject:
    entries = managers.write(managed.without_empty())
    metadata = {name: value for name, value in as_object(whole.get("metadata")).items() if name != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**whole, "metadata": metadata}


def _entries(whole: JsonObject | None) -> Json:
    return None if whole is None else as_object(whole.get("metadata")).get("managedFields")


def _taken(managed: Managed, changed: FieldSet, removed: FieldSet, keep: Manager | None = None) -> Managed:
    """What others manage once fields have changed and gone."""
    gone = changed | removed
    fields = {
        manager: owned if manager == keep or owned.isdisjoint(gone) else owned - gone
        for manager, owned in managed.fields.items()
    }
    return replace(managed, fields=fields)


def track(
    info: KindInfo,
    old: JsonObject | None,
    new: JsonObject,
    manager: str,
    operation: str = "Update",
    subresource: str = "",
    time: str = "",
) -> JsonObject:
    """The object with ``managedFields`` that say what this create, update or patch changed."""
    managed = _managed_before(old, new, subresource)
    if old is not None and not managed.fields:
        # Nobody has been tracked, or the client has reset it: that stays so until the first apply.
        return _with_managed(new, managed)
    schema = _schema(info)
    before = _empty(info) if old is None else old
    try:
        found = structured.compare(schema, before, new)
    except StructureError:
        return _with_managed(new, managed)
    changed = _owned(info, subresource, found.added | found.modified)
    removed = _owned(info, subresource, found.removed)
    after = _taken(managed, changed, removed)
    if not changed:
        return _with_managed(new, after)
    who = Manager(manager, operation, info.kind.api_version, subresource)
    fields = {**after.fields, who: after.fields.get(who, fieldsets.EMPTY) | changed}
    return _with_managed(new, Managed(fields, {**after.times, who: time}))


def _managed_before(old: JsonObject | None, new: JsonObject, subresource: str) -> Managed:
    """What the write says itself of managed fields, if that makes sense; else what the live object says."""
    if subresource and old is not None:
        return managers.read(_entries(old))
    said = _entries(new)
    if said == [{}]:
        return Managed({}, {})
    found = managers.read(said)
    return found if found.fields else managers.read(_entries(old))


def _empty(info: KindInfo) -> JsonObject:
    if info.custom:
        return {"metadata": {}}
    from windtunnel_emulators.kubernetes.objects.fitting import Fitter

    return Fitter().fit(info.schema, {})


def apply(
    info: KindInfo,
    live: JsonObject | None,
    applied: JsonObject,
    manager: str,
    force: bool = False,
    *,
    subresource: str = "",
    time: str = "",
) -> JsonObject:
    """The object with what is applied, and without what its manager has given up.

    Raises ``ApplyConflict`` and ``BadObject``.
    """
    if as_object(applied.get("metadata")).get("managedFields"):
        raise BadObject("metadata.managedFields must be nil")
    try:
        return _apply(info, live, applied, manager, force, subresource, time)
    except ApplyConflict as conflict:
        if manager != _KUBECTL or live is None or not _only_last_applied(info, live, conflict):
            raise
        return _apply(info, live, applied, manager, True, subresource, time)


def _apply(
    info: KindInfo,
    live: JsonObject | None,
    applied: JsonObject,
    name: str,
    force: bool,
    subresource: str,
    time: str,
) -> JsonObject:
    schema = _schema(info)
    before = _empty_of(applied) if live is None else live
    managed = managers.read(_entries(live))
    if live is not None and not managed.fields:
        managed = _before_first(info, schema, live, time)
    who = Manager(name, "Apply", info.kind.api_version, subresource)
    try:
        wanted = _owned(info, subresource, structured.field_set(schema, applied))
        merged = structured.merge(schema, before, _without_reset(info, subresource, applied))
    except StructureError as problem:
        raise _untyped(info, applied, problem) from problem
    last = managed.fields.get(who, fieldsets.EMPTY)
    fields = {**managed.fields, who: wanted}
    pruned = _pruned(schema, merged, fields, last)
    found = structured.compare(schema, before, pruned)
    changed = _owned(info, subresource, found.added | found.modified)
    removed = _owned(info, subresource, found.removed)
    if not force:
        _refuse_conflicts(fields, who, changed)
    after = _taken(Managed(fields, managed.times), changed, removed, keep=who)
    assert isinstance(pruned, dict)
    unchanged = found.same and live is not None and last == wanted
    result = _with_last_applied(live, pruned, applied, name)
    if unchanged and result is pruned:
        return live if live is not None else result
    # A manager that only joins others leaves no time: nothing has been written for it.
    times = after.times if found.same and live is not None else {**after.times, who: time}
    return _with_managed(_as_written(info, result), Managed(after.fields, times))


def _as_written(info: KindInfo, whole: JsonObject) -> JsonObject:
    """What is applied need not be in the server's form, what is stored is."""
    if info.custom:
        return whole
    from windtunnel_emulators.kubernetes.objects.fitting import Fitter

    return Fitter().fit(info.schema, whole)


def _empty_of(applied: JsonObject) -> JsonObject:
    metadata = as_object(applied.get("metadata"))
    kept: JsonObject = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
    return {"kind": applied.get("kind"), "apiVersion": applied.get("apiVersion"), "metadata": kept}


def _before_first(info: KindInfo, schema: Schema, live: JsonObject, time: str) -> Managed:
    """All that was there before the first apply is somebody's."""
    try:
        found = structured.field_set(schema, live, strict=False)
    except StructureError:
        return Managed({}, {})
    everything = frozenset(path for path in found if not _is_reset(info, "none", path))
    who = Manager(_BEFORE, "Update", info.kind.api_version)
    return Managed({who: everything}, {who: time})


def _without_reset(info: KindInfo, subresource: str, applied: JsonObject) -> JsonObject:
    """What is applied, without what this way of writing cannot change."""
    if subresource == "status":
        return {name: value for name, value in applied.items() if name != "spec"}
    if subresource == "" and info.has_status:
        return {name: value for name, value in applied.items() if name != "status"}
    return applied


def _pruned(schema: Schema, merged: Json, fields: dict[Manager, FieldSet], last: FieldSet) -> Json:
    """Without what the manager applied before and does not now, unless somebody else manages it."""
    if not last:
        return merged
    kept: FieldSet = structured.with_named_parents(schema, fieldsets.EMPTY.union(*fields.values()))
    # An item or a key under which somebody manages something stays.
    parents = {path[:index] for path in kept for index in range(1, len(path))}
    given_up = structured.with_named_parents(schema, last) - kept - parents
    return structured.without(schema, merged, given_up) if given_up else merged


def _refuse_conflicts(fields: dict[Manager, FieldSet], who: Manager, changed: FieldSet) -> None:
    found: list[tuple[Manager, list[str]]] = []
    for manager, owned in fields.items():
        both = owned & changed
        if manager != who and both:
            paths = [fieldsets.shown(path) for path in fieldsets.ordered(both)]
            found.append((manager, paths))
    if found:
        raise ApplyConflict(sorted(found, key=lambda entry: entry[0].describe()))


def _untyped(info: KindInfo, applied: JsonObject, problem: StructureError) -> BadObject:
    metadata, kind = as_object(applied.get("metadata")), info.kind
    where = f"{as_str(metadata.get('namespace'))}/{as_str(metadata.get('name'))}"
    version = f"{kind.group}/{kind.version}"
    message = f"failed to create typed patch object ({where}; {version}, Kind={kind.name}): {problem}"
    return BadObject(message, code=500, reason="")


def _last_applied(whole: JsonObject) -> str:
    return as_str(as_object(as_object(whole.get("metadata")).get("annotations")).get(LAST_APPLIED))


def _only_last_applied(info: KindInfo, live: JsonObject, conflict: ApplyConflict) -> bool:
    """Whether all conflicts are with what kubectl itself has applied from the client, which it may take over."""
    try:
        last: Json = json.loads(_last_applied(live) or "null")
    except ValueError:
        return False
    if not isinstance(last, dict):
        return False
    try:
        fields = structured.field_set(_schema(info), last, strict=False)
    except StructureError:
        return False
    allowed = {fieldsets.shown(path) for path in fields}
    return all(cause.field in allowed for cause in conflict.causes)


def _with_last_applied(live: JsonObject | None, made: JsonObject, applied: JsonObject, manager: str) -> JsonObject:
    """kubectl's own note of what it applied from the client is kept up to date where there is one."""
    if manager != _KUBECTL or live is None or not _last_applied(live):
        return made
    shown = json.dumps(applied, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    metadata = as_object(made.get("metadata"))
    annotations: JsonObject = {**as_object(metadata.get("annotations")), LAST_APPLIED: shown}
    return {**made, "metadata": {**metadata, "annotations": annotations}}
