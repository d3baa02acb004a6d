"""The paths of OpenAPI documents: which methods a resource has, with which parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.client.interface import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from windtunnel_emulators.kubernetes.objects.openapischemas import SECOND, THIRD, custom_name
from windtunnel_emulators.kubernetes.objects.schemas import definition

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo, Subresource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_CUSTOM_TYPES = _TYPES[:2]
_WRITE: tuple[tuple[str, str], ...] = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
_LIST: tuple[tuple[str, str], ...] = (
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)
_DELETE: tuple[tuple[str, str], ...] = (
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)
# Verb, method, the action's name, query parameters.
_ON_COLLECTION = (
    ("list", "get", "list", _LIST),
    ("create", "post", "post", _WRITE),
    ("deletecollection", "delete", "deletecollection", (*_DELETE, *_LIST[1:8])),
)
_ON_OBJECT = (
    ("get", "get", "get", ()),
    ("update", "put", "put", _WRITE),
    ("delete", "delete", "delete", _DELETE),
    ("patch", "patch", "patch", (*_WRITE, ("force", "boolean"))),
)
_VERB_WORDS = {
    "list": "list or watch objects of kind",
    "create": "create",
    "deletecollection": "delete collection of",
    "get": "read the specified",
    "update": "replace the specified",
    "delete": "delete",
    "patch": "partially update the specified",
}


def paths(info: KindInfo, root: str) -> dict[str, JsonObject]:
    """The paths of a resource and of its subresources. ``root`` is ``SECOND`` or ``THIRD``."""
    kind = info.kind
    base = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    inside = f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
    writer = _Writer(info, root)
    made: dict[str, JsonObject] = {}
    if kind.namespaced and "list" in info.verbs:
        made[f"{base}/{kind.plural}"] = writer.item(_ON_COLLECTION[:1], (), suffix="ForAllNamespaces")
    if {"list", "create"} & set(info.verbs):
        made[inside] = writer.item(_ON_COLLECTION, ("namespace",) if kind.namespaced else ())
    names = ("name", "namespace") if kind.namespaced else ("name",)
    if {"get", "update", "delete", "patch"} & set(info.verbs):
        made[f"{inside}/{{name}}"] = writer.item(_ON_OBJECT, names)
    for sub in info.subresources:
        made[f"{inside}/{{name}}/{sub.name}"] = writer.item((*_ON_OBJECT, _ON_COLLECTION[1]), names, sub=sub)
    return {path: item for path, item in made.items() if item}


class _Writer:
    def __init__(self, info: KindInfo, root: str) -> None:
        self._info = info
        self._root = root
        kind = info.kind
        self._tag = (
            f"{kind.group.partition('.')[0] or 'core'}_{kind.version}"
            if not info.custom
            else f"{kind.group}_{kind.version}"
        )
        self._schema = custom_name(info) if info.custom else info.schema

    def item(
        self,
        operations: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...],
        names: tuple[str, ...],
        *,
        sub: Subresource | None = None,
        suffix: str = "",
    ) -> JsonObject:
        """A path's methods and the parameters that all of them have."""
        verbs = self._info.verbs if sub is None else sub.verbs
        made: JsonObject = {}
        for verb, method, action, query in operations:
            if verb in verbs:
                made[method] = self._operation(verb, method, action, query, sub, suffix)
        if made:
            parameters: list[Json] = [self._parameter(name, "string", "path") for name in names]
            parameters.append(self._parameter("pretty", "string", "query"))
            made["parameters"] = parameters
        return made

    def _parameter(self, name: str, kind: str, place: str) -> JsonObject:
        made: JsonObject = {"name": name, "in": place}
        if place == "path":
            made["required"] = True
        if self._root == THIRD:
            made["schema"] = {"type": kind, "uniqueItems": True}
        else:
            made.update({"type": kind, "uniqueItems": True})
        return made

    def _operation(
        self,
        verb: str,
        method: str,
        action: str,
        query: tuple[tuple[str, str], ...],
        sub: Subresource | None,
        suffix: str,
    ) -> JsonObject:
        kind = self._info.kind
        name, version, group = kind.name, kind.version, kind.group
        answered = self._schema
        if verb == "list":
            answered = f"{self._schema.rpartition('.')[0]}.{self._info.list_kind}"
        if sub is not None and sub.kind != kind.name:
            name, version, group = sub.kind, sub.version or version, sub.group
            answered = _subresource_schema(group, version, name)
        elif verb in ("delete", "deletecollection"):
            answered = f"{_META}Status"
        scope = "Namespaced" if kind.namespaced and not suffix else ""
        subject = "Collection" if verb == "deletecollection" else ""
        words = {"get": "read", "update": "replace"}.get(verb, "delete" if subject else verb)
        inner = "" if sub is None else sub.name.capitalize()
        tag = "".join(part.capitalize() for part in self._tag.replace(".", "_").split("_"))
        made: JsonObject = {
            "tags": [self._tag],
            "description": f"{_VERB_WORDS[verb]} {kind.name}",
            "operationId": f"{words}{tag}{subject}{scope}{kind.name}{inner}{suffix}",
            "x-kubernetes-action": "connect" if sub is not None and sub.name in _CONNECTED else action,
            "x-kubernetes-group-version-kind": {"group": group, "kind": name, "version": version},
        }
        parameters: list[Json] = [self._parameter(field, type_, "query") for field, type_ in query]
        body = self._body(verb, answered)
        types = _CUSTOM_TYPES if self._info.custom else _TYPES
        if self._root == THIRD:
            made["parameters"] = parameters
            if body:
                accepted = _patch_types(self._info) if verb == "patch" else ("*/*",)
                content: JsonObject = {type_: {"schema": {"$ref": self._root + body}} for type_ in accepted}
                made["requestBody"] = {"content": content, "required": verb != "delete"}
            answer: JsonObject = {type_: {"schema": {"$ref": self._root + answered}} for type_ in types}
            made["responses"] = {code: {"description": text, "content": answer} for code, text in _codes(verb)}
        else:
            if body:
                given: JsonObject = {"name": "body", "in": "body", "schema": {"$ref": self._root + body}}
                parameters.insert(0, {**given, "required": True} if not verb.startswith("delete") else given)
            made["consumes"] = [*_patch_types(self._info)] if verb == "patch" else ["*/*"]
            made["produces"] = [*types]
            made["schemes"] = ["https"]
            made["parameters"] = parameters
            made["responses"] = {
                code: {"description": text, "schema": {"$ref": self._root + answered}} for code, text in _codes(verb)
            }
        return made

    def _body(self, verb: str, answered: str) -> str:
        if verb in ("create", "update"):
            return answered
        if verb == "patch":
            return f"{_META}Patch"
        return f"{_META}DeleteOptions" if verb.startswith("delete") else ""


_CONNECTED = frozenset({"attach", "exec", "portforward", "proxy"})


def _codes(verb: str) -> tuple[tuple[str, str], ...]:
    if verb == "create":
        return (("200", "OK"), ("201", "Created"), ("202", "Accepted"), ("401", "Unauthorized"))
    if verb in ("update", "patch"):
        return (("200", "OK"), ("201", "Created"), ("401", "Unauthorized"))
    if verb == "delete":
        return (("200", "OK"), ("202", "Accepted"), ("401", "Unauthorized"))
    return (("200", "OK"), ("401", "Unauthorized"))


def _patch_types(info: KindInfo) -> tuple[str, ...]:
    if info.custom:
        return (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
    return (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def _subresource_schema(group: str, version: str, kind: str) -> str:
    from windtunnel_emulators.kubernetes.objects.catalogue import schema_name

    name = schema_name(group, version, kind)
    try:
        definition(name)
    except KeyError:
        return f"{_META}Status"  # options of streams and proxies, which have no schema
    return name


__all__ = ["SECOND", "THIRD", "paths"]
