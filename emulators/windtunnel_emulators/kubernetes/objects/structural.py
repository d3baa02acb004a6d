"""Custom kinds: what a CustomResourceDefinition makes of its objects: pruned, with defaults, in which kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.client.interface import Kind
from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo, PrinterColumn, ScalePaths, Subresource
from windtunnel_emulators.kubernetes.objects.fitting import Fitter, Repeated
from windtunnel_emulators.kubernetes.objects.schemas import OBJECT_META, Schema

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_WRITE = ("get", "patch", "update")
_TYPES = {"object", "array", "string", "integer", "number", "boolean"}
_HEAD = ("apiVersion", "kind", "metadata")


def kind_infos(definition: JsonObject) -> list[KindInfo]:
    """The kinds that a definition defines, one for each version that it serves."""
    spec = as_object(definition.get("spec"))
    names = as_object(spec.get("names"))
    name = as_str(names.get("kind"))
    found: list[KindInfo] = []
    for entry in as_list(spec.get("versions")):
        version = as_object(entry)
        if version.get("served") is not True:
            continue
        schema = from_openapi(as_object(as_object(version.get("schema")).get("openAPIV3Schema")))
        subresources, scale = _subresources(as_object(version.get("subresources")), name)
        selectable = tuple(
            as_str(as_object(field).get("jsonPath")).lstrip(".") for field in as_list(version.get("selectableFields"))
        )
        found.append(
            KindInfo(
                kind=Kind(
                    group=as_str(spec.get("group")),
                    version=as_str(version.get("name")),
                    plural=as_str(names.get("plural")),
                    name=name,
                    namespaced=spec.get("scope") != "Cluster",
                ),
                singular=as_str(names.get("singular")) or name.lower(),
                list_kind=as_str(names.get("listKind")) or f"{name}List",
                verbs=_VERBS,
                short_names=tuple(as_str(one) for one in as_list(names.get("shortNames"))),
                categories=tuple(as_str(one) for one in as_list(names.get("categories"))),
                subresources=subresources,
                generation="all",
                field_selectors=("metadata.name", "metadata.namespace", *selectable),
                custom=True,
                custom_schema=_root(schema, preserve=spec.get("preserveUnknownFields") is True),
                definition=definition,
                columns=_columns(as_list(version.get("additionalPrinterColumns"))),
                scale=scale,
            )
        )
    return found


def _subresources(found: JsonObject, kind: str) -> tuple[tuple[Subresource, ...], ScalePaths | None]:
    listed: list[Subresource] = []
    scale: ScalePaths | None = None
    if "status" in found:
        listed.append(Subresource(name="status", kind=kind, verbs=_WRITE))
    if isinstance(found.get("scale"), dict):
        paths = as_object(found["scale"])
        listed.append(Subresource(name="scale", group="autoscaling", version="v1", kind="Scale", verbs=_WRITE))
        scale = ScalePaths(
            spec_replicas=as_str(paths.get("specReplicasPath")),
            status_replicas=as_str(paths.get("statusReplicasPath")),
            label_selector=as_str(paths.get("labelSelectorPath")),
        )
    return tuple(listed), scale


def _columns(listed: list[Json]) -> tuple[PrinterColumn, ...]:
    found: list[PrinterColumn] = []
    for entry in listed:
        column = as_object(entry)
        priority = column.get("priority")
        found.append(
            PrinterColumn(
                name=as_str(column.get("name")),
                type=as_str(column.get("type")),
                json_path=as_str(column.get("jsonPath")),
                format=as_str(column.get("format")),
                description=as_str(column.get("description")),
                priority=priority if isinstance(priority, int) else 0,
            )
        )
    return tuple(found)


def from_openapi(raw: JsonObject) -> Schema:
    """A JSON schema of a definition as a ``Schema``; ``raw`` stays with it for validation."""
    values = raw.get("additionalProperties")
    kind = as_str(raw.get("type"))
    made = Schema(
        type=kind if kind in _TYPES else "",
        format=as_str(raw.get("format")),
        properties={name: from_openapi(as_object(inner)) for name, inner in as_object(raw.get("properties")).items()},
        required=tuple(as_str(name) for name in as_list(raw.get("required"))),
        items=from_openapi(as_object(raw["items"])) if isinstance(raw.get("items"), dict) else None,
        values=from_openapi(values) if isinstance(values, dict) else Schema() if values is True else None,
        list_type=as_str(raw.get("x-kubernetes-list-type")),
        list_keys=tuple(as_str(name) for name in as_list(raw.get("x-kubernetes-list-map-keys"))),
        map_type=as_str(raw.get("x-kubernetes-map-type")),
        preserve=raw.get("x-kubernetes-preserve-unknown-fields") is True,
        int_or_string=raw.get("x-kubernetes-int-or-string") is True,
        embedded=raw.get("x-kubernetes-embedded-resource") is True,
        nullable=raw.get("nullable") is True,
        raw=cast("dict[str, object]", raw),
    )
    if "default" in raw:
        made.default = raw["default"]
    if values is True:
        made.values = Schema(preserve=True)
    return made


def _root(schema: Schema, *, preserve: bool) -> Schema:
    properties = {
        "apiVersion": Schema(type="string"),
        "kind": Schema(type="string"),
        "metadata": Schema(ref=OBJECT_META),
        **{name: inner for name, inner in schema.properties.items() if name not in _HEAD},
    }
    return Schema(
        type="object",
        properties=properties,
        required=schema.required,
        preserve=preserve or schema.preserve,
        raw=schema.raw,
    )


def _schema(info: KindInfo) -> Schema:
    return info.custom_schema or Schema(type="object", preserve=True)


def reshaped(info: KindInfo, whole: JsonObject) -> JsonObject:
    """A stored object as today's schema has it: pruned, with defaults."""
    return with_defaults(info, pruned(_schema(info), whole, []))


def fit_custom(info: KindInfo, whole: JsonObject, *, bare: bool = False) -> tuple[JsonObject, list[str]]:
    """An object without what its schema does not know, and notes of that. Raises ``BadObject``."""
    notes: list[str] = []
    made = _plain(whole, "", notes)
    assert isinstance(made, dict)
    metadata = made.get("metadata")
    if metadata is not None:
        fitter = Fitter(bare=bare)
        made["metadata"] = fitter.fit_metadata(metadata)
        notes.extend(fitter.notes)
    unknown: list[str] = []
    kept = pruned(_schema(info), made, unknown)
    notes.extend(f'unknown field "{path}"' for path in sorted(unknown))
    return kept, notes


def _plain(value: Json, path: str, notes: list[str]) -> Json:
    """The value without traces of repeated keys, which are noted; whole numbers are integers."""
    if isinstance(value, dict):
        if isinstance(value, Repeated):
            seen: set[str] = set()
            for key, _ in value.pairs:
                if key in seen:
                    notes.append(f'duplicate field "{path}{key}"')
                seen.add(key)
        return {key: _plain(inner, f"{path}{key}.", notes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, f"{path[:-1]}[{index}].", notes) for index, inner in enumerate(value)]
    return value


def pruned(schema: Schema, value: JsonObject, unknown: list[str], path: str = "") -> JsonObject:
    """An object without unknown fields, whose paths are added to ``unknown``."""
    made: JsonObject = {}
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        field = schema.properties.get(name) or schema.values
        if field is not None:
            made[name] = inner if field.ref else _pruned_value(field, inner, unknown, below)
        elif schema.preserve or (schema.embedded and name in _HEAD):
            made[name] = inner
        else:
            unknown.append(below)
    return made


def _pruned_value(schema: Schema, value: Json, unknown: list[str], path: str) -> Json:
    if isinstance(value, dict):
        if schema.type in ("", "object"):
            if schema.int_or_string or (not schema.type and not schema.properties and schema.preserve):
                return value
            return pruned(schema, value, unknown, path)
        return value
    if isinstance(value, list) and schema.items is not None:
        items = schema.items
        return [_pruned_value(items, inner, unknown, f"{path}[{index}]") for index, inner in enumerate(value)]
    return value


def with_defaults(info: KindInfo, whole: JsonObject) -> JsonObject:
    """The object with the defaults of its schema; the given one is not changed."""
    return _defaulted_object(_schema(info), whole)


def _defaulted_object(schema: Schema, value: JsonObject) -> JsonObject:
    made: JsonObject = {}
    for name, inner in value.items():
        field = schema.properties.get(name) or schema.values
        if field is None or field.ref:
            made[name] = inner
        elif inner is None and not field.nullable and not field.preserve:
            # Null means nothing here: the default below, or no field at all. An empty schema allows anything.
            if field.raw is None or not (field.type or field.properties):
                made[name] = inner
        else:
            made[name] = _defaulted(field, inner)
    for name, field in schema.properties.items():
        if name not in made and _has_default(field):
            made[name] = _defaulted(field, cast("Json", _copied(field.default)))
    return made


def _has_default(schema: Schema) -> bool:
    return schema.raw is not None and "default" in schema.raw


def _defaulted(schema: Schema, value: Json) -> Json:
    if isinstance(value, dict):
        return _defaulted_object(schema, value)
    if isinstance(value, list) and schema.items is not None:
        items = schema.items
        return [_defaulted(items, inner) for inner in value]
    return value


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in cast("list[object]", value)]
    return value
