"""Rules of CustomResourceDefinitions: names, versions, structural schemas, subresources, columns."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects import names
from windtunnel_emulators.kubernetes.objects.findings import Findings

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.causes import Cause

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_SIMPLE = "must be a simple json path starting with ."
_IMMUTABLE = "field is immutable"
_EMPTY_TYPE = "must not be empty for specified object fields"
_PROTECTED = ("k8s.io", "kubernetes.io")


def check_definition(whole: JsonObject, found: Findings) -> None:
    """A definition, new or changed."""
    spec = as_object(whole.get("spec"))
    group, plural = as_str(spec.get("group")), as_str(as_object(spec.get("names")).get("plural"))
    name = as_str(as_object(whole.get("metadata")).get("name"))
    if name != f"{plural}.{group}":
        found.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    _group(whole, group, found)
    found.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    versions = [as_object(version) for version in as_list(spec.get("versions"))]
    if sum(1 for version in versions if version.get("storage") is True) != 1:
        found.invalid("spec.versions", [*versions], "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        text = as_str(version.get("name"))
        found.each(f"{at}.name", text, names.label_1035(text))
        if text in seen:
            found.duplicate(f"{at}.name", text)
        seen.add(text)
        # A single version is checked at the places that the first form of definitions had.
        inner = "spec" if len(versions) == 1 else at
        schema_at = "spec.validation" if len(versions) == 1 else f"{at}.schema"
        _version(inner, schema_at, at, version, found)
    _names(as_object(spec.get("names")), found)
    conversion = as_object(spec.get("conversion"))
    found.one_of("spec.conversion.strategy", conversion.get("strategy"), ("None", "Webhook"))
    if conversion.get("strategy") == "Webhook" and conversion.get("webhook") is None:
        found.required("spec.conversion.webhookClientConfig", "required when strategy is set to Webhook")
    if spec.get("preserveUnknownFields") is True:
        found.invalid(
            "spec.preserveUnknownFields",
            True,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        )
    stored = as_list(as_object(whole.get("status")).get("storedVersions"))
    if not stored:
        found.invalid("status.storedVersions", None, "must have at least one stored version")
    for index, version_name in enumerate(stored):
        if version_name not in seen:
            found.invalid(f"status.storedVersions[{index}]", version_name, "must appear in spec.versions")


def _group(whole: JsonObject, group: str, found: Findings) -> None:
    if not group:
        found.required("spec.group")
        return
    found.each("spec.group", group, names.subdomain(group))
    if "." not in group:
        found.invalid("spec.group", group, "should be a domain with at least one dot")
    if group in _PROTECTED or group.endswith(tuple(f".{name}" for name in _PROTECTED)):
        annotations = as_object(as_object(whole.get("metadata")).get("annotations"))
        key = "api-approved.kubernetes.io"
        if not as_str(annotations.get(key)).startswith(("https://", "unapproved")):
            found.required(
                f"metadata.annotations[{key}]",
                'protected groups must have approval annotation "api-approved.kubernetes.io",'
                " see https://github.com/kubernetes/enhancements/pull/1111",
            )


def _names(found_names: JsonObject, found: Findings) -> None:
    for field in ("plural", "singular", "kind", "listKind"):
        text = as_str(found_names.get(field))
        if not text:
            found.required(f"spec.names.{field}")
        else:
            checked = text if field in ("plural", "singular") else text.lower()
            shown = text
            for message in names.label_1035(checked):
                mixed = "may have mixed case, but should otherwise match: " if field in ("kind", "listKind") else ""
                found.invalid(f"spec.names.{field}", shown, mixed + message)
    for index, short in enumerate(as_list(found_names.get("shortNames"))):
        found.each(f"spec.names.shortNames[{index}]", short, names.label_1035(as_str(short)))
    if found_names.get("kind") and found_names.get("kind") == found_names.get("listKind"):
        found.invalid("spec.names.listKind", found_names.get("listKind"), "kind and listKind may not be the same")


def _version(inner: str, schema_at: str, at: str, version: JsonObject, found: Findings) -> None:
    schema = as_object(version.get("schema")).get("openAPIV3Schema")
    if schema is None:
        found.required(f"{at}.schema.openAPIV3Schema")
    else:
        root = as_object(schema)
        field = f"{schema_at}.openAPIV3Schema"
        if not root.get("type"):
            found.required(f"{field}.type", "must not be empty at the root")
        elif root.get("type") != "object":
            found.invalid(f"{field}.type", root.get("type"), "must be object at the root")
        else:
            check_schema(field, root, found, root=True)
    scale = as_object(version.get("subresources")).get("scale")
    if isinstance(scale, dict):
        for name, prefix, needed in (
            ("specReplicasPath", ".spec.", True),
            ("statusReplicasPath", ".status.", True),
            ("labelSelectorPath", "", False),
        ):
            _replicas_path(f"{inner}.subresources.scale.{name}", as_str(scale.get(name)), prefix, found, needed=needed)
    for index, entry in enumerate(as_list(version.get("additionalPrinterColumns"))):
        column, place = as_object(entry), f"{inner}.additionalPrinterColumns[{index}]"
        if not column.get("name"):
            found.required(f"{place}.name")
        kind = as_str(column.get("type"))
        if not kind:
            found.required(f"{place}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
        elif kind not in _COLUMN_TYPES:
            found.invalid(f"{place}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
        path = as_str(column.get("jsonPath"))
        if not path:
            found.required(f"{place}.JSONPath")
        elif not path.startswith("."):
            found.invalid(f"{place}.JSONPath", path, _SIMPLE)


def _replicas_path(field: str, path: str, prefix: str, found: Findings, *, needed: bool) -> None:
    if not path:
        if needed:
            found.required(field)
    elif not re.fullmatch(r"(\.[^.\[\]]+)+", path):
        found.invalid(field, path, _SIMPLE)
    elif prefix and not path.startswith(prefix):
        found.invalid(field, path, f"should be a json path under {prefix.rstrip('.')}")
    elif not prefix and not path.startswith((".spec.", ".status.")):
        found.invalid(field, path, "should be a json path under either .spec or .status")


def check_schema(field: str, schema: JsonObject, found: Findings, *, root: bool = False, inside: bool = False) -> None:
    """A structural schema: every value has a type, and nothing is said in two ways."""
    kind = schema.get("type")
    free = (
        schema.get("x-kubernetes-preserve-unknown-fields") is True or schema.get("x-kubernetes-int-or-string") is True
    )
    if not kind and not free and not inside:
        found.required(f"{field}.type", _EMPTY_TYPE)
    elif kind:
        found.one_of(f"{field}.type", kind, _TYPES)
    items, values = schema.get("items"), schema.get("additionalProperties")
    if kind == "array" and items is None and not inside:
        found.required(f"{field}.items", "must be specified")
    if schema.get("properties") and values is not None:
        found.forbidden(f"{field}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        found.invalid(f"{field}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    _lists(field, schema, found)
    _default(field, schema, found)
    _pattern(field, schema, found)
    for index, entry in enumerate(as_list(schema.get("x-kubernetes-validations"))):
        _rule(f"{field}.x-kubernetes-validations[{index}]", as_object(entry), found)
    for name, inner in as_object(schema.get("properties")).items():
        if root and name == "metadata":
            _root_metadata(f"{field}.properties[metadata]", as_object(inner), found)
        else:
            check_schema(f"{field}.properties[{name}]", as_object(inner), found, inside=inside)
    if isinstance(items, dict):
        check_schema(f"{field}.items", items, found, inside=inside)
    if isinstance(values, dict):
        check_schema(f"{field}.additionalProperties", values, found, inside=inside)
    for name in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(as_list(schema.get(name))):
            check_schema(f"{field}.{name}[{index}]", as_object(inner), found, inside=True)
    if isinstance(schema.get("not"), dict):
        check_schema(f"{field}.not", as_object(schema["not"]), found, inside=True)


def _root_metadata(field: str, schema: JsonObject, found: Findings) -> None:
    allowed = {"name", "generateName"}
    if set(as_object(schema.get("properties"))) - allowed:
        message = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        found.forbidden(field, message)


def _lists(field: str, schema: JsonObject, found: Findings) -> None:
    kind, keys = schema.get("x-kubernetes-list-type"), as_list(schema.get("x-kubernetes-list-map-keys"))
    if kind is not None:
        if schema.get("type") != "array":
            found.invalid(
                f"{field}.type", schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
            )
        found.one_of(f"{field}.x-kubernetes-list-type", kind, ("atomic", "map", "set"))
    if kind == "map":
        if not keys:
            found.required(f"{field}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
        items = as_object(schema.get("items"))
        required = as_list(items.get("required"))
        for key in keys:
            inner = as_object(as_object(items.get("properties")).get(as_str(key)))
            if not inner:
                message = "entries must all be names of item properties"
                found.invalid(f"{field}.x-kubernetes-list-map-keys[{keys.index(key)}]", key, message)
            elif key not in required and "default" not in inner:
                message = (
                    "this property is in x-kubernetes-list-map-keys,"
                    " so it must have a default or be a required property"
                )
                found.required(f"{field}.items.properties[{as_str(key)}].default", message)
    elif keys:
        found.forbidden(f"{field}.x-kubernetes-list-map-keys", "forbidden if x-kubernetes-list-type is not map")


def _default(field: str, schema: JsonObject, found: Findings) -> None:
    if "default" not in schema or found.causes:
        return
    from windtunnel_emulators.kubernetes.objects.customschemas import check_value
    from windtunnel_emulators.kubernetes.objects.structural import from_openapi

    inner = Findings()
    check_value("", from_openapi(schema), schema["default"], inner)
    for cause in inner.causes:
        found.add([_moved(cause, f"{field}.default")])


def _moved(cause: Cause, field: str) -> Cause:
    path = f"{field}.{cause.field}" if cause.field not in ("", "<nil>") else field
    return replace(cause, field=path)


def _pattern(field: str, schema: JsonObject, found: Findings) -> None:
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern:
        try:
            re.compile(pattern)
        except re.error as problem:
            found.invalid(f"{field}.pattern", pattern, f"must be a valid regular expression, but isn't: {problem}")


def _rule(field: str, rule: JsonObject, found: Findings) -> None:
    from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression

    text = as_str(rule.get("rule"))
    if not text.strip():
        found.required(f"{field}.rule", "rule is not specified")
        return
    for name in ("rule", "messageExpression"):
        source = as_str(rule.get(name))
        if source:
            try:
                compile_expression(source)
            except CelError as problem:
                found.invalid(f"{field}.{name}", source if name != "rule" else rule, str(problem))
    reason = rule.get("reason")
    known = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
    found.one_of(f"{field}.reason", reason, known)


def check_definition_update(old: JsonObject, new: JsonObject, found: Findings) -> None:
    """Group, plural and, once it is established, kind and scope stay as they are."""
    before, after = as_object(old.get("spec")), as_object(new.get("spec"))
    was, now = as_object(before.get("names")), as_object(after.get("names"))
    frozen: list[tuple[str, Json, Json]] = [
        ("spec.group", before.get("group"), after.get("group")),
        ("spec.names.plural", was.get("plural"), now.get("plural")),
    ]
    conditions = [as_object(entry) for entry in as_list(as_object(old.get("status")).get("conditions"))]
    if any(entry.get("type") == "Established" and entry.get("status") == "True" for entry in conditions):
        frozen += [
            ("spec.scope", before.get("scope"), after.get("scope")),
            ("spec.names.kind", was.get("kind"), now.get("kind")),
        ]
    for field, one, other in frozen:
        if one != other:
            found.invalid(field, other, _IMMUTABLE)
