"""Schemas in the two forms of OpenAPI documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from windtunnel_emulators.kubernetes.objects import descriptions
from windtunnel_emulators.kubernetes.objects.schemas import (
    INT_OR_STRING,
    LIST_META,
    OBJECT_META,
    QUANTITY,
    Schema,
    definition,
    struct_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

SECOND, THIRD = "#/definitions/", "#/components/schemas/"
_EXTENSIONS = {
    "list_type": "x-kubernetes-list-type",
    "map_type": "x-kubernetes-map-type",
    "patch_key": "x-kubernetes-patch-merge-key",
    "patch_strategy": "x-kubernetes-patch-strategy",
}
_ONLY_THIRD = frozenset({"oneOf", "anyOf", "allOf", "not", "nullable", "default", "x-kubernetes-validations"})


def built_in(name: str, root: str) -> JsonObject:
    """A built-in definition. ``root`` says in which form: ``SECOND`` or ``THIRD``."""
    schema = definition(name)
    made: JsonObject = {}
    told = descriptions.of_kind(struct_name(name))
    if told:
        made["description"] = told
    if name == QUANTITY and root == THIRD:
        return {**made, "oneOf": [{"type": "string"}, {"type": "number"}]}
    if name == INT_OR_STRING and root == THIRD:
        return {**made, "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    made.update(_facts(schema, root))
    # Clients of today explain by v3; reading all descriptions for v2 would take longer than the document.
    fields = descriptions.of_fields(name) if root == THIRD else {}
    properties = made.get("properties")
    if isinstance(properties, dict):
        for field, text in fields.items():
            if field in properties:
                properties[field] = {"description": text, **cast("JsonObject", properties[field])}
    if schema.kinds:
        made["x-kubernetes-group-version-kind"] = [
            {"group": group, "kind": kind, "version": version} for group, version, kind in schema.kinds
        ]
    if schema.unions is not None and root == SECOND:
        made["x-kubernetes-unions"] = cast("Json", schema.unions)
    return made


def _facts(schema: Schema, root: str, *, field: bool = False) -> JsonObject:
    made: JsonObject = {}
    if schema.ref:
        # In v3 a field's reference stands beside other facts, which a bare one may not.
        if root == THIRD and (field or schema.has_default):
            made["allOf"] = [{"$ref": root + schema.ref}]
        else:
            made["$ref"] = root + schema.ref
    elif schema.type:
        made["type"] = schema.type
    if schema.format:
        made["format"] = schema.format
    if schema.required:
        made["required"] = [*schema.required]
    if schema.properties:
        made["properties"] = {name: _facts(inner, root, field=True) for name, inner in schema.properties.items()}
    if schema.items is not None:
        made["items"] = _facts(schema.items, root)
    if schema.values is not None:
        made["additionalProperties"] = _facts(schema.values, root)
    if schema.enum:
        made["enum"] = cast("list[Json]", [*schema.enum])
    if root == THIRD and schema.has_default:
        made["default"] = cast("Json", schema.default)
    for name, extension in _EXTENSIONS.items():
        value = getattr(schema, name)
        if value:
            made[extension] = value
    if schema.list_keys:
        made["x-kubernetes-list-map-keys"] = [*schema.list_keys]
    return made


def references(schema: Schema) -> Iterable[str]:
    """The definitions that a schema speaks of."""
    if schema.ref:
        yield schema.ref
    for inner in schema.properties.values():
        yield from references(inner)
    for part in (schema.items, schema.values):
        if part is not None:
            yield from references(part)


def closure(names: Iterable[str]) -> list[str]:
    """The definitions and all that they speak of, by name."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(references(definition(name)))
    return sorted(found)


_ANY_KIND = "io.k8s.api.core.v1.ConfigMap"


def custom_name(info: KindInfo) -> str:
    """The name of a custom kind's definition: ``com.example.v1.Foo``."""
    group = ".".join(reversed(info.kind.group.split(".")))
    return f"{group}.{info.kind.version}.{info.kind.name}"


def custom(info: KindInfo, root: str) -> dict[str, JsonObject]:
    """The definitions of a custom kind and of its list."""
    name, kind = custom_name(info), info.kind
    raw = cast("JsonObject", (info.custom_schema.raw if info.custom_schema else None) or {"type": "object"})
    made = cast("JsonObject", raw if root == THIRD else _second(raw))
    made = {"type": "object", **made}
    if root == SECOND:
        made.pop("x-kubernetes-preserve-unknown-fields", None)  # of the root; that it has no properties says it
    if info.custom_schema is None or not info.custom_schema.preserve or "properties" in made:
        head: JsonObject = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": root + OBJECT_META} if root == SECOND else {"allOf": [{"$ref": root + OBJECT_META}]},
        }
        # Every kind has these three; any built-in one tells what they are.
        told = {"metadata": "Standard object's metadata."}
        if root == THIRD:
            told |= {field: text for field, text in descriptions.of_fields(_ANY_KIND).items() if text}
        for field, text in told.items():
            if field in head:
                head[field] = {"description": text, **cast("JsonObject", head[field])}
        made["properties"] = {**cast("JsonObject", made.get("properties") or {}), **head}
    gvk: JsonObject = {"group": kind.group, "version": kind.version, "kind": kind.name}
    made["x-kubernetes-group-version-kind"] = [gvk]
    listed: JsonObject = {
        "description": f"{info.list_kind} is a list of {kind.name}",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": root + LIST_META} if root == SECOND else {"allOf": [{"$ref": root + LIST_META}]},
            "items": {"type": "array", "items": {"$ref": root + name}},
        },
        "x-kubernetes-group-version-kind": [{**gvk, "kind": info.list_kind}],
    }
    return {name: made, f"{name.rpartition('.')[0]}.{info.list_kind}": listed}


def _second(value: Json) -> Json:
    """A JSON schema without what OpenAPI v2 has no words for."""
    if not isinstance(value, dict):
        return value
    made: JsonObject = {}
    if value.get("x-kubernetes-preserve-unknown-fields") is True or value.get("nullable") is True:
        # Clients would prune or refuse what is allowed: they are told nothing of what is inside.
        kept = {name: text for name, text in value.items() if name.startswith("x-kubernetes-") or name == "description"}
        kept.pop("x-kubernetes-validations", None)
        return kept
    for name, inner in value.items():
        if name in _ONLY_THIRD:
            continue
        if name == "properties" and isinstance(inner, dict):
            made[name] = {field: _second(schema) for field, schema in inner.items()}
        elif name in ("items", "additionalProperties"):
            made[name] = _second(inner)
        else:
            made[name] = inner
    return made
