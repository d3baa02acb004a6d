"""Get, list and watch."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from windtunnel_emulators.kubernetes.api.failures import (
    Failure,
    bad_request,
    expired,
    invalid,
    nameless,
    not_found,
    too_new,
)
from windtunnel_emulators.kubernetes.api.replies import ListReply
from windtunnel_emulators.kubernetes.api.selection import Selection
from windtunnel_emulators.kubernetes.api.storage import TooOld
from windtunnel_emulators.kubernetes.api.watching import Bookmark, Line, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.negotiation import Form
    from windtunnel_emulators.kubernetes.api.requests import Call, Target
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Event, Key, Storage, Stored

First: TypeAlias = "list[Line | Bookmark | Event]"

_PAGE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
    " Continuing with the provided token results in an inconsistent list - objects that were created, modified, or"
    " deleted between the time the first chunk was returned and now may show up in the list."
)
_NOT_OLDER, _EXACT = "NotOlderThan", "Exact"


def key_of(served: Served, target: Target) -> Key:
    """Under which an object of a path is stored."""
    return (target.namespace if served.kind.namespaced else "", target.name)


def find(storage: Storage, served: Served, target: Target) -> Stored:
    """The object of a path. Raises ``Failure`` 404."""
    found = storage.table(served.storage).objects.get(key_of(served, target))
    if found is None:
        raise not_found(served.kind.group, served.kind.plural, target.name)
    return found


def get(storage: Storage, served: Served, target: Target, call: Call) -> Stored:
    """The object of a path, at least as new as the request asks. Raises ``Failure``."""
    version = _version(call)
    if version is not None and version > storage.version:
        raise too_new(version, storage.version)
    return find(storage, served, target)


def selection(served: Served, target: Target, call: Call) -> Selection:
    """Which objects a list, a watch or the deletion of a collection is about. Raises ``Failure`` 400."""
    from windtunnel_emulators.kubernetes.api.selectors import matcher

    labels, fields = call.one("labelSelector"), call.one("fieldSelector")
    return Selection(
        namespace=target.namespace if target.namespace and served.kind.namespaced else None,
        name=target.name or None,
        labels=labels,
        fields=fields,
        matches=matcher(served, labels, fields),
    )


def list_objects(storage: Storage, served: Served, target: Target, call: Call, form: Form) -> ListReply:
    """A list, or a page of one. Raises ``Failure``."""
    chosen = selection(served, target, call)
    limit, token = call.number("limit") or 0, call.one("continue")
    match, version = call.one("resourceVersionMatch"), _version(call)
    _check_list_options(call, match, token)
    table = storage.table(served.storage)
    start: Key | None = None
    at = storage.version
    if token:
        at, start = _read_token(token)
        if version not in (None, 0):
            raise bad_request("specifying resource version is not allowed when using continue")
        if at < 0:
            at = storage.version
    elif version is not None and version > storage.version:
        raise too_new(version, storage.version)
    elif version is not None and (match == _EXACT or (limit and version and match != _NOT_OLDER)):
        at = version
    try:
        found: Sequence[Stored] = table.list_at(at, chosen.namespace)
    except TooOld:
        if start is None:
            raise expired("The resourceVersion for the provided list is too old.") from None
        raise expired(_PAGE_EXPIRED, {"resourceVersion": str(storage.version), "continue": _token(-1, start)}) from None
    if start is not None:
        found = found[bisect_right(found, start, key=lambda stored: stored.key) :]
    metadata: JsonObject = (
        {"continue": "", "resourceVersion": str(at)} if served.custom else {"resourceVersion": str(at)}
    )
    filtered = chosen.matches is not None or chosen.name is not None
    if filtered:
        found = chosen.choose(found)
    if limit > 0 and len(found) > limit:
        rest = len(found) - limit
        found = found[:limit]
        metadata["continue"] = _token(at, found[-1].key)
        if not filtered:
            metadata["remainingItemCount"] = rest
    return ListReply(items=found, metadata=metadata, served=served, form=form)


def watch(storage: Storage, served: Served, target: Target, call: Call) -> Watch:
    """A watch that has begun. Raises ``Failure``, 410 for a version that the history does not reach."""
    chosen = selection(served, target, call)
    version = _watch_version(call)
    match, initial = call.one("resourceVersionMatch"), call.one("sendInitialEvents")
    bookmarks = call.flag("allowWatchBookmarks")
    _check_watch_options(match, initial)
    limit = call.number("timeoutSeconds")
    table = storage.table(served.storage)
    begun = Watch(storage, served.storage, chosen, bookmarks=bookmarks)
    begun.limit_s = limit
    begun.after = version or 0
    first: First = []
    try:
        if initial.lower() == "true" or (not version and initial.lower() != "false"):
            objects = chosen.choose(table.objects_in(chosen.namespace))
            first.extend(Line(type="ADDED", stored=stored) for stored in objects)
            if initial and bookmarks:
                first.append(Bookmark(version=storage.version, initial=True))
        elif version:
            first.extend(table.since(version))
    except TooOld as problem:
        begun.stop()
        raise expired(f"too old resource version: {version} ({problem.oldest})") from problem
    begun.begin(first)
    return begun


def _version(call: Call) -> int | None:
    text = call.one("resourceVersion")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        wrong = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: {wrong}")
    return int(text)


def _watch_version(call: Call) -> int | None:
    try:
        return _version(call)
    except Failure as problem:
        # The real server calls this one 500, without a reason.
        raise nameless(str(problem).removeprefix("invalid resource version: ")) from problem


def _options(field: str, reason: str, message: str) -> Exception:
    return invalid("meta.k8s.io", "ListOptions", "", [{"reason": reason, "message": message, "field": field}])


def _check_list_options(call: Call, match: str, token: str) -> None:
    if call.one("sendInitialEvents"):
        raise _options(
            "sendInitialEvents",
            "FieldValueForbidden",
            "Forbidden: sendInitialEvents is forbidden for list",
        )
    if not match:
        return
    field = "resourceVersionMatch"
    if not call.one("resourceVersion"):
        why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _options(field, "FieldValueForbidden", why)
    if token:
        why = "Forbidden: resourceVersionMatch is forbidden when continue is provided"
        raise _options(field, "FieldValueForbidden", why)
    if match not in (_EXACT, _NOT_OLDER):
        why = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        raise _options(field, "FieldValueNotSupported", why)
    if match == _EXACT and call.one("resourceVersion") == "0":
        why = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        raise _options(field, "FieldValueForbidden", why)


def _check_watch_options(match: str, initial: str) -> None:
    field = "resourceVersionMatch"
    if initial and match != _NOT_OLDER:
        why = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise _options(field, "FieldValueForbidden", why)
    if match and not initial:
        why = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise _options(field, "FieldValueForbidden", why)


def _token(version: int, last: Key) -> str:
    start = "/".join(part for part in last if part) + "\0"
    raw = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": version, "start": start, "ns": last[0]})
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, Key]:
    try:
        value = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start, namespace = int(value["rv"]), str(value["start"]), str(value["ns"])
    except (ValueError, KeyError, TypeError, binascii.Error, msgspec.DecodeError) as problem:
        raise bad_request(f"invalid continue token: continue key is not valid: {problem}") from problem
    name = start.rstrip("\0")
    return version, (namespace, name.rpartition("/")[2] if namespace else name)
