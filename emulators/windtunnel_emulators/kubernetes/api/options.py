"""The options of a write: dry run, field manager, field validation; and those of a deletion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from windtunnel_emulators.jsontypes import as_object
from windtunnel_emulators.kubernetes.api.failures import bad_request, invalid
from windtunnel_emulators.kubernetes.api.negotiation import PROTOBUF_TYPE, media_type

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.requests import Call

_LONGEST_MANAGER = 128
_POLICIES = ("Foreground", "Background", "Orphan")
_UNSUPPORTED, _INVALID = "FieldValueNotSupported", "FieldValueInvalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Of create, update and patch."""

    dry_run: bool = False
    manager: str = ""
    """Who writes, for ``managedFields``: what the request says, or the name of its client."""
    field_validation: str = "Warn"
    force: bool = False
    """Of an apply: take fields from other managers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """Of delete and delete collection."""

    dry_run: bool = False
    grace_s: int | None = None
    policy: str = ""
    """``Foreground``, ``Background``, ``Orphan``; empty for the kind's own default."""
    uid: str = ""
    version: str = ""


def _refuse(kind: str, field: str, reason: str, message: str) -> Exception:
    return invalid("meta.k8s.io", kind, "", [{"reason": reason, "message": message, "field": field}])


def _dry_run(kind: str, values: list[str]) -> bool:
    wrong = [value for value in values if value not in ("All", "")]
    if wrong:
        shown = msgspec.json.encode(wrong).decode()
        raise _refuse(kind, "dryRun", _UNSUPPORTED, f'Unsupported value: {shown}: supported values: "All"')
    return "All" in values


def write_options(call: Call, kind: str, *, applied: bool = False) -> WriteOptions:
    """``kind`` is ``CreateOptions``, ``UpdateOptions`` or ``PatchOptions``. Raises ``Failure`` 422."""
    dry_run = _dry_run(kind, call.query.get("dryRun", []))
    validation = call.one("fieldValidation")
    if validation not in ("", "Ignore", "Warn", "Strict"):
        message = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise _refuse(kind, "fieldValidation", _UNSUPPORTED, message)
    manager, force = call.one("fieldManager"), call.flag("force")
    if applied and not manager:
        raise _refuse(kind, "fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
    if force and not applied and kind == "PatchOptions":
        raise _refuse(kind, "force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch")
    if len(manager) > _LONGEST_MANAGER:
        message = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        raise _refuse(kind, "fieldManager", "FieldValueTooLong", message)
    if not manager:
        manager = _agent(call.headers.get("user-agent", ""))
    return WriteOptions(dry_run=dry_run, manager=manager, field_validation=validation or "Warn", force=force)


def _agent(header: str) -> str:
    """The name of the client, as field managers are called when the request names none."""
    name = "".join(letter for letter in header.partition("/")[0] if letter.isprintable())
    return name[:_LONGEST_MANAGER] or "unknown"


def delete_options(call: Call) -> DeleteOptions:
    """From the body or, without one, from the query. Raises ``Failure`` 400 and 422."""
    body = _body(call)
    kind = "DeleteOptions"
    if body is None:
        grace = call.number("gracePeriodSeconds")
        policy = call.one("propagationPolicy")
        orphan = call.query.get("orphanDependents")
        dry_run = _dry_run(kind, call.query.get("dryRun", []))
        if orphan and not policy:
            policy = "Orphan" if call.flag("orphanDependents") else "Background"
        preconditions: JsonObject = {}
    else:
        preconditions = as_object(body.get("preconditions"))
        raw, grace = body.get("gracePeriodSeconds"), None
        if isinstance(raw, int) and not isinstance(raw, bool):
            grace = raw
        elif raw is not None:
            raise bad_request("gracePeriodSeconds of DeleteOptions is not a whole number")
        policy = str(body.get("propagationPolicy") or "")
        orphans = body.get("orphanDependents")
        if orphans is not None and policy:
            message = f"Invalid value: {policy!r}: orphanDependents and deletionPropagation cannot be both set"
            raise _refuse(kind, "propagationPolicy", _INVALID, message.replace("'", '"'))
        if orphans is not None:
            policy = "Orphan" if orphans else "Background"
        listed = body.get("dryRun")
        dry_run = _dry_run(kind, [str(value) for value in listed] if isinstance(listed, list) else [])
    if policy and policy not in _POLICIES:
        known = ", ".join(f'"{name}"' for name in (*_POLICIES, "nil"))
        message = f'Unsupported value: "{policy}": supported values: {known}'
        raise _refuse(kind, "propagationPolicy", _UNSUPPORTED, message)
    if grace is not None and grace < 0:
        grace = 1
    return DeleteOptions(
        dry_run=dry_run,
        grace_s=grace,
        policy=policy,
        uid=str(preconditions.get("uid") or ""),
        version=str(preconditions.get("resourceVersion") or ""),
    )


def _body(call: Call) -> JsonObject | None:
    if not call.body:
        return None
    kind, _ = media_type(call.headers.get("content-type", ""))
    if kind == PROTOBUF_TYPE:
        from windtunnel_emulators.kubernetes.api.protobuf.decoding import decode_protobuf

        return decode_protobuf(call.body)
    try:
        if kind == "application/yaml":
            import yaml

            found = yaml.safe_load(call.body)
        else:
            found = msgspec.json.decode(call.body)
    except Exception as problem:
        if isinstance(problem, (msgspec.DecodeError, UnicodeDecodeError)) or kind == "application/yaml":
            raise bad_request(f"the body is no DeleteOptions: {problem}") from problem
        raise
    if found is None:
        return None
    if not isinstance(found, dict):
        raise bad_request("the body is no DeleteOptions: an object is expected")
    return cast("JsonObject", found)
