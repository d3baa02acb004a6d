"""Rules of custom objects: their schema, lists without doubles, embedded objects, and the CEL rules of their schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.causes import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    Cause,
    shown,
)
from windtunnel_emulators.kubernetes.objects.customschemas import check_value, json_type
from windtunnel_emulators.kubernetes.objects.durations import moment, parse_go
from windtunnel_emulators.kubernetes.objects.schemas import Schema

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo
    from windtunnel_emulators.kubernetes.objects.findings import Findings

_SKIPPED = (
    "some validation rules were not checked because the object was invalid;"
    " correct the existing errors to complete validation"
)
_RESERVED = frozenset(
    {
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    }
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_WORDS = {
    FORBIDDEN: "Forbidden",
    REQUIRED: "Required value",
    DUPLICATE: "Duplicate value",
    INVALID: "Invalid value",
}


def check_custom(info: KindInfo, whole: JsonObject, old: JsonObject | None, found: Findings) -> None:
    """A custom object; ``old`` is what it replaces."""
    schema = info.custom_schema or Schema(type="object", preserve=True)
    before = len(found.causes)
    check_value("", schema, whole, found)
    doubles = _doubles("", schema, whole)
    found.add(doubles)
    if not _has_rules(schema):
        return
    if any(cause not in doubles for cause in found.causes[before:]):
        found.add([Cause(field="<nil>", reason=INVALID, message=f"Invalid value: null: {_SKIPPED}")])
        return
    _Rules(found).check("", schema, whole, old)


def _doubles(path: str, schema: Schema, value: Json) -> list[Cause]:
    """Items of sets and maps that are there twice."""
    found: list[Cause] = []
    if isinstance(value, dict):
        for name, inner in value.items():
            field = schema.properties.get(name) or schema.values
            if field is not None and not field.ref:
                found += _doubles(f"{path}.{name}" if path else name, field, inner)
    elif isinstance(value, list):
        seen: list[Json] = []
        for index, item in enumerate(value):
            if schema.list_type in ("set", "map"):
                key = _key(schema, item)
                if key in seen:
                    message = f"Duplicate value: {shown(key)}"
                    found.append(Cause(field=f"{path}[{index}]", reason=DUPLICATE, message=message))
                seen.append(key)
            if schema.items is not None:
                found += _doubles(f"{path}[{index}]", schema.items, item)
    return found


def _key(schema: Schema, item: Json) -> Json:
    if schema.list_type == "set" or not isinstance(item, dict):
        return item
    return {name: item[name] for name in schema.list_keys if name in item}


def _raw(schema: Schema) -> JsonObject:
    return cast("JsonObject", schema.raw or {})


def _has_rules(schema: Schema) -> bool:
    if _raw(schema).get("x-kubernetes-validations"):
        return True
    inner = [*schema.properties.values(), *(one for one in (schema.items, schema.values) if one is not None)]
    return any(_has_rules(one) for one in inner if not one.ref)


def escaped(name: str) -> str:
    """A property's name as expressions have to write it."""
    if name in _RESERVED:
        return f"__{name}__"
    for text, word in _ESCAPES:
        name = name.replace(text, word)
    return name


class _Rules:
    """Evaluates the rules of a schema."""

    def __init__(self, found: Findings) -> None:
        self._found = found

    def check(self, path: str, schema: Schema, value: Json, old: Json) -> None:
        for entry in as_list(_raw(schema).get("x-kubernetes-validations")):
            self._rule(path, schema, as_object(entry), value, old)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, inner in value.items():
                field = schema.properties.get(name) or schema.values
                if field is not None and not field.ref:
                    kept = None if schema.map_type == "atomic" else before.get(name)
                    self.check(f"{path}.{name}" if path else name, field, inner, kept)
        elif isinstance(value, list) and schema.items is not None:
            known = {shown(_key(schema, item)): item for item in as_list(old)} if schema.list_type == "map" else {}
            for index, item in enumerate(value):
                self.check(f"{path}[{index}]", schema.items, item, known.get(shown(_key(schema, item))))

    def _rule(self, path: str, schema: Schema, rule: JsonObject, value: Json, old: Json) -> None:
        from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression

        source = as_str(rule.get("rule"))
        said = as_str(rule.get("message"))
        try:
            expression = compile_expression(source)
            variables: dict[str, object] = {"self": as_cel(schema, value)}
            if "oldSelf" in expression.names or re.search(r"\boldSelf\b", source):
                if old is None:
                    return
                variables["oldSelf"] = as_cel(schema, old)
            if expression.evaluate(variables) is True:
                return
            detail = self._message(rule, variables) or said or f"failed rule: {source}"
        except CelError as problem:
            detail = f"{problem} evaluating rule: {said or source}"
        reason = as_str(rule.get("reason")) or INVALID
        word = _WORDS.get(reason, "Invalid value")
        message = (
            f"{word}: {shown(json_type(value))}: {detail}" if reason in (INVALID, DUPLICATE) else f"{word}: {detail}"
        )
        field = path + as_str(rule.get("fieldPath"))
        self._found.add([Cause(field=field.lstrip(".") or "<nil>", reason=reason, message=message)])

    def _message(self, rule: JsonObject, variables: dict[str, object]) -> str:
        from windtunnel_emulators.kubernetes.objects.cel import CelError, compile_expression

        source = as_str(rule.get("messageExpression"))
        if not source:
            return ""
        try:
            made = compile_expression(source).evaluate(variables)
        except CelError:
            return ""
        return made.strip() if isinstance(made, str) and "\n" not in made else ""


def as_cel(schema: Schema, value: Json) -> object:
    """A value as expressions see it: times and durations by their format, properties under their escaped names."""
    if isinstance(value, dict):
        return {
            (escaped(name) if name in schema.properties else name): as_cel(
                schema.properties.get(name) or schema.values or Schema(), inner
            )
            for name, inner in value.items()
        }
    if isinstance(value, list):
        items = schema.items or Schema()
        return [as_cel(items, item) for item in value]
    if isinstance(value, str):
        if schema.format == "date-time":
            return moment(value) or value
        if schema.format == "duration":
            from datetime import timedelta

            try:
                return timedelta(seconds=parse_go(value))
            except ValueError:
                return value
    if isinstance(value, int) and not isinstance(value, bool) and schema.type == "number":
        return float(value)
    return value
