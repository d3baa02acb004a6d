"""Bytes of answers. Objects are stored as the JSON that is sent, so a list joins what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import Json, as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.negotiation import Form
    from windtunnel_emulators.kubernetes.api.replies import ListReply, ObjectReply
    from windtunnel_emulators.kubernetes.api.served import Served
    from windtunnel_emulators.kubernetes.api.storage import Stored
    from windtunnel_emulators.kubernetes.api.watching import Bookmark

_encode = msgspec.json.Encoder().encode


def object_bytes(reply: ObjectReply, now: datetime) -> bytes:
    """One object in its form."""
    form, served = reply.form, reply.served
    whole = reply.object
    if served is not None and form.shape == "table":
        whole = _table(served, [whole], as_object(whole.get("metadata")), form, now)
    elif form.shape == "metadata":
        whole = partial(whole, form)
    return finished(_encode(whole), form)


def list_bytes(reply: ListReply, now: datetime) -> bytes:
    """A list in its form."""
    form, served = reply.form, reply.served
    if form.shape == "table":
        objects = [served.present(stored.object) for stored in reply.items]
        return finished(_encode(_table(served, objects, reply.metadata, form, now)), form)
    if form.shape == "metadata":
        items: list[Json] = [partial(stored.object, form) for stored in reply.items]
        whole: JsonObject = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": reply.metadata,
            "items": items,
        }
        return finished(_encode(whole), form)
    head = b'{"kind":%b,"apiVersion":%b,"metadata":%b,"items":[' % (
        _encode(served.info.list_kind),
        _encode(served.kind.api_version),
        _encode(reply.metadata),
    )
    items_ = [served.item_bytes(stored) for stored in reply.items]
    return finished(b"".join((head, b",".join(items_), b"]}")), form)


def finished(body: bytes, form: Form) -> bytes:
    """JSON as the form has it: as it is, indented, or as YAML."""
    if form.yaml:
        return to_yaml(msgspec.json.decode(body))
    if form.pretty:
        return msgspec.json.format(body, indent=2)
    return body


def to_yaml(value: Json) -> bytes:
    """YAML with sorted keys, as the real server's."""
    import yaml

    text: str = yaml.safe_dump(value, sort_keys=True, allow_unicode=True, default_flow_style=False, width=80)
    return text.encode()


def partial(whole: JsonObject, form: Form) -> JsonObject:
    """The metadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{form.version}",
        "metadata": whole.get("metadata", {}),
    }


def _table(
    served: Served, objects: Sequence[JsonObject], metadata: JsonObject, form: Form, now: datetime
) -> JsonObject:
    from windtunnel_emulators.kubernetes.objects.tables import table

    made = table(served.info, objects, include=form.include, now=now)
    kept: JsonObject = {
        name: metadata[name] for name in ("resourceVersion", "continue", "remainingItemCount") if name in metadata
    }
    return {**made, "apiVersion": f"meta.k8s.io/{form.version}", "metadata": kept}


class Lines:
    """The lines of watches of one kind in one form."""

    def __init__(self, served: Served, form: Form, now: Callable[[], datetime]) -> None:
        self._served = served
        self._form = form
        self._now = now

    @property
    def key(self) -> object:
        """Equal for lines that are the same bytes."""
        return (self._served.kind, self._form)

    def event(self, type_: str, stored: Stored) -> bytes:
        """An event as it is sent, with its line end."""
        return b'{"type":"%b","object":%b}\n' % (type_.encode(), self._object(stored))

    def _object(self, stored: Stored) -> bytes:
        form, served = self._form, self._served
        if form.shape == "table":
            shown = served.present(stored.object)
            return _encode(_table(served, [shown], as_object(shown.get("metadata")), form, self._now()))
        if form.shape == "metadata":
            return _encode(partial(stored.object, form))
        return served.whole_bytes(stored)

    def bookmark(self, mark: Bookmark) -> bytes:
        """The line of a bookmark."""
        kind, api_version = self._served.kind.name, self._served.kind.api_version
        if self._form.shape == "metadata":
            kind, api_version = "PartialObjectMetadata", f"meta.k8s.io/{self._form.version}"
        whole = bookmark_object(kind, api_version, mark)
        if self._form.shape == "table":
            shown: JsonObject = {**whole, "kind": "PartialObjectMetadata"}
            row: JsonObject = {"cells": list[Json](), "object": shown}
            whole = {
                "kind": "Table",
                "apiVersion": f"meta.k8s.io/{self._form.version}",
                "metadata": {"resourceVersion": str(mark.version)},
                "columnDefinitions": list[Json](),
                "rows": [row],
            }
        return b'{"type":"BOOKMARK","object":%b}\n' % _encode(whole)


def bookmark_object(kind: str, api_version: str, mark: Bookmark) -> JsonObject:
    """What a bookmark carries."""
    metadata: JsonObject = {"resourceVersion": str(mark.version)}
    if mark.initial:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return {"kind": kind, "apiVersion": api_version, "metadata": metadata}
