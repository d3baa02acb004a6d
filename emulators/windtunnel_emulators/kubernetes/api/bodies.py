"""Bodies of writes: objects in JSON, YAML and protobuf, and patches of the four kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import msgspec

from windtunnel_emulators.kubernetes.api import metadata as meta
from windtunnel_emulators.kubernetes.api import rules
from windtunnel_emulators.kubernetes.api.failures import bad_request, conflict, failure, unsupported_media_type
from windtunnel_emulators.kubernetes.api.negotiation import JSON_TYPE, PROTOBUF_TYPE, READ, YAML_TYPE, media_type
from windtunnel_emulators.kubernetes.client.interface import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.options import WriteOptions
    from windtunnel_emulators.kubernetes.api.replies import Headers
    from windtunnel_emulators.kubernetes.api.requests import Call, Target
    from windtunnel_emulators.kubernetes.api.served import Served

_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)
_LONGEST_WARNINGS = 4096


def read_object(served: Served, call: Call, field_validation: str) -> rules.Read:
    """The object of a create or an update. Raises ``Failure``."""
    kind, _ = media_type(call.headers.get("content-type", "") or JSON_TYPE)
    if kind == PROTOBUF_TYPE and not served.custom:
        from windtunnel_emulators.kubernetes.api.protobuf.decoding import decode_protobuf

        body, kind = msgspec.json.encode(decode_protobuf(call.body)), JSON_TYPE
    elif kind in (JSON_TYPE, YAML_TYPE):
        body = call.body
    else:
        raise unsupported_media_type(READ if not served.custom else READ[:2])
    if served.custom and not rules.parsed(served, body, kind).get("kind"):
        shown = body[:1024].decode("utf-8", "replace")
        why = f"Object 'Kind' is missing in '{shown}' ({shown})"
        raise bad_request(f"the object provided is unrecognized (must be of type {served.kind.name}): {why}")
    return rules.decoded(served, body, kind, field_validation)


def read_generic(call: Call, kind_name: str) -> JsonObject:
    """The object of a request whose kind is no stored one (``Scale``, ``Binding``). Raises ``Failure``."""
    kind, _ = media_type(call.headers.get("content-type", "") or JSON_TYPE)
    try:
        if kind == PROTOBUF_TYPE:
            from windtunnel_emulators.kubernetes.api.protobuf.decoding import decode_protobuf

            return decode_protobuf(call.body)
        if kind == YAML_TYPE:
            import yaml

            try:
                found = yaml.safe_load(call.body)
            except yaml.YAMLError as problem:
                raise bad_request(f"the object provided is unrecognized: {problem}") from problem
        elif kind == JSON_TYPE:
            found = msgspec.json.decode(call.body)
        else:
            raise unsupported_media_type(READ)
    except msgspec.DecodeError as problem:
        shown = call.body[:100].decode("utf-8", "replace") or "<empty>"
        why = f"the object provided is unrecognized (must be of type {kind_name}): couldn't get version/kind;"
        raise bad_request(f"{why} json parse error: {problem} ({shown})") from problem
    if not isinstance(found, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind_name})")
    return cast("JsonObject", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A patch as it was sent."""

    served: Served
    type: str
    body: bytes = field(repr=False)

    @property
    def applied(self) -> bool:
        """Whether it is a server-side apply, which can create."""
        return self.type == APPLY_PATCH

    def next_state(
        self, old: JsonObject, options: WriteOptions, subresource: str, now: datetime, warnings: list[str]
    ) -> JsonObject:
        """What the patch makes of an object. Raises ``Failure``."""
        if self.applied:
            applied = self._applied(options, warnings)
            version = meta.text(applied, "resourceVersion")
            if version and version != meta.text(old, "resourceVersion"):
                kind = self.served.kind
                raise conflict(kind.group, kind.plural, meta.text(old, "name"))
            return rules.applied(self.served, old, applied, options, subresource, now)
        patched, found = rules.patched(self.served, old, self.body, self.type, options.field_validation)
        warnings.extend(found)
        return patched

    def first_state(self, target: Target, options: WriteOptions, now: datetime, warnings: list[str]) -> JsonObject:
        """The object that an apply creates. Raises ``Failure``."""
        applied = self._applied(options, warnings)
        name = meta.text(applied, "name")
        if name and name != target.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        metadata: JsonObject = {**meta.of(applied), "name": target.name}
        if meta.text(applied, "uid"):
            kind = self.served.kind
            raise conflict(
                kind.group,
                kind.plural,
                target.name,
                "uid mismatch: the provided object specified uid"
                f" {meta.text(applied, 'uid')}, and no existing object was found",
            )
        return rules.applied(self.served, None, {**applied, "metadata": metadata}, options, target.subresource, now)

    def _applied(self, options: WriteOptions, warnings: list[str]) -> JsonObject:
        head = rules.parsed(self.served, self.body, YAML_TYPE)
        if not head.get("apiVersion") or not head.get("kind"):
            group, _, version = str(head.get("apiVersion") or "").rpartition("/")
            raise bad_request(f"invalid object type: {group}/{version}, Kind={head.get('kind') or ''}")
        read = rules.decoded(self.served, self.body, YAML_TYPE, options.field_validation, applied=True)
        warnings.extend(read.warnings)
        return read.object


def read_patch(served: Served, call: Call) -> Patch:
    """The patch of a request. Raises ``Failure`` 415."""
    kind, _ = media_type(call.headers.get("content-type", ""))
    if kind not in _PATCHES:
        raise failure(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if kind == STRATEGIC_MERGE_PATCH and served.custom:
        accepted = ", ".join((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))
        message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        raise failure(415, "UnsupportedMediaType", message)
    return Patch(served=served, type=kind, body=call.body)


def warning_headers(warnings: Sequence[str]) -> Headers:
    """The warnings as headers, bounded as the real server bounds them."""
    made: list[tuple[bytes, bytes]] = []
    size = 0
    for text in dict.fromkeys(warnings):
        shown = "".join(letter if letter.isprintable() else " " for letter in text)
        shown = shown.replace("\\", "\\\\").replace('"', '\\"')
        value = f'299 - "{shown}"'.encode()
        size += len(value)
        if size > _LONGEST_WARNINGS:
            break
        made.append((b"warning", value))
    return tuple(made)
