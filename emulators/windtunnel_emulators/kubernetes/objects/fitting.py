"""Fits what a client sent to the fields of its kind, as decoding into the server's types and encoding again does.

Unknown fields and repeated ones are left out and noted; nulls and empty values that the server would not write are left
out; structures that it always writes are there; quantities are canonical; fields come in the server's order.
A value of another type raises ``BadObject`` in the words of the server's JSON decoder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects import quantities
from windtunnel_emulators.kubernetes.objects.causes import BadObject
from windtunnel_emulators.kubernetes.objects.schemas import (
    INT_OR_STRING,
    MICRO_TIME,
    OBJECT_META,
    QUANTITY,
    TIME,
    Schema,
    definition,
    struct_name,
)

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject

MOST_NOTES = 100
_ZEROES: dict[str, Json] = {"string": "", "integer": 0, "number": 0, "boolean": False}
_LIMITS = {"int32": 2**31, "int64": 2**63}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


class Repeated(dict[str, "Json"]):
    """An object in whose text a key was repeated; the last value counts."""

    pairs: list[tuple[str, Json]]


class _Place:
    """Where a value is: the structure and the path for messages of types, the path for notes."""

    __slots__ = ("dotted", "indexed", "struct")

    def __init__(self, struct: str, dotted: str, indexed: str) -> None:
        self.struct = struct
        self.dotted = dotted
        self.indexed = indexed


class Fitter:
    """Fits values, and notes what it left out in ``notes`` in the words of strict decoding."""

    def __init__(self, *, bare: bool = False) -> None:
        self.notes: list[str] = []
        self._bare = bare
        """Nothing is added or left out for being empty: what a server-side apply is about."""

    def fit(self, name: str, value: JsonObject) -> JsonObject:
        """An object of the definition ``name``."""
        return self._struct(definition(name), struct_name(name), value, "", "")

    def fit_metadata(self, value: Json) -> JsonObject:
        """The metadata of an object whose other fields are somebody else's. Raises ``BadObject``."""
        if not isinstance(value, dict):
            raise BadObject(f"json: cannot unmarshal {json_word(value)} into Go value of type v1.ObjectMeta")
        made = self._struct(definition(OBJECT_META), "ObjectMeta", value, "", "metadata")
        return {name: inner for name, inner in made.items() if inner is not None}

    def _note(self, what: str, path: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append(f'{what} field "{path}"')

    def _struct(self, schema: Schema, struct: str, value: JsonObject, dotted: str, indexed: str) -> JsonObject:
        properties = schema.properties
        pairs = value.pairs if isinstance(value, Repeated) else value.items()
        found: dict[str, Json] = {}
        for key, inner in pairs:
            path = f"{indexed}.{key}" if indexed else key
            field = properties.get(key)
            if field is None:
                self._note("unknown", path)
                continue
            if key in found:
                self._note("duplicate", path)
            if inner is None:
                found[key] = None
                continue
            found[key] = self._value(field, inner, _Place(struct, f"{dotted}.{key}" if dotted else key, path))
        if self._bare:
            return found
        return self._filled(properties, found)

    def _filled(self, properties: dict[str, Schema], found: JsonObject) -> JsonObject:
        """The fields in the server's order, as it would write them."""
        made: JsonObject = {}
        for key, field in properties.items():
            inner = found.get(key)
            if inner is None:
                if field.default == {} and not field.pointer:
                    inner = self._struct(definition(field.ref), "", {}, "", "") if field.ref else {}
                elif field.kept:
                    inner = None if field.pointer else _zero(field)
                else:
                    continue
            elif not field.kept and not field.pointer and _is_empty(inner) and field.default != {}:
                continue
            made[key] = inner
        return made

    def _value(self, schema: Schema, value: Json, place: _Place) -> Json:
        name = schema.ref
        if name:
            return self._reference(name, value, place)
        kind = schema.type
        if kind == "string":
            if not isinstance(value, str):
                go = "[]uint8" if schema.format == "byte" else schema.go or "string"
                raise _mistyped(value, place, go)
            if schema.format == "byte" and not _BASE64.fullmatch(value):
                raise BadObject(f"illegal base64 data at input byte {_first_wrong(value)}")
            return value
        if kind == "integer":
            return _integer(schema, value, place)
        if kind == "boolean":
            if not isinstance(value, bool):
                raise _mistyped(value, place, "bool")
            return value
        if kind == "array":
            return self._array(schema, value, place)
        if kind == "object":
            return self._map(schema, value, place)
        if kind == "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise _mistyped(value, place, "float64")
            return value
        return value

    def _reference(self, name: str, value: Json, place: _Place) -> Json:
        if name == QUANTITY:
            try:
                return quantities.canonical_text(value)
            except quantities.QuantityError as problem:
                raise BadObject(str(problem)) from problem
        if name == INT_OR_STRING:
            if isinstance(value, str):
                return value
            return _integer(Schema(type="integer", format="int32"), value, place)
        if name in (TIME, MICRO_TIME):
            return _time(value, place, micro=name == MICRO_TIME)
        if name.startswith(_PROPS + "Or"):
            return self._schema_or(value, place)
        schema = definition(name)
        if schema.properties:
            if not isinstance(value, dict):
                raise _mistyped(value, place, _go_struct(name))
            return self._struct(schema, struct_name(name), value, place.dotted, place.indexed)
        if schema.type == "string" and not isinstance(value, str):
            raise _mistyped(value, place, "string")
        return value

    def _schema_or(self, value: Json, place: _Place) -> Json:
        """The unions of a JSON schema: a schema, or a list of schemas, a boolean, a list of texts."""
        if isinstance(value, dict):
            return self._struct(definition(_PROPS), "JSONSchemaProps", value, place.dotted, place.indexed)
        if isinstance(value, list):
            return [self._schema_or(item, place) for item in value]
        return value

    def _array(self, schema: Schema, value: Json, place: _Place) -> Json:
        items = schema.items or Schema()
        if not isinstance(value, list):
            raise _mistyped(value, place, go_type(schema))
        struct, dotted, indexed = place.struct, place.dotted, place.indexed
        made: list[Json] = []
        for index, item in enumerate(value):
            if item is None:
                made.append(self._nothing(items))
                continue
            made.append(self._value(items, item, _Place(struct, dotted, f"{indexed}[{index}]")))
        return made

    def _nothing(self, schema: Schema) -> Json:
        """What null becomes inside a list or a map."""
        if schema.ref:
            inner = definition(schema.ref)
            return self._struct(inner, "", {}, "", "") if inner.properties else _zero(inner)
        return _zero(schema)

    def _map(self, schema: Schema, value: Json, place: _Place) -> Json:
        if not isinstance(value, dict):
            raise _mistyped(value, place, go_type(schema))
        values = schema.values
        if values is None:
            return value
        pairs = value.pairs if isinstance(value, Repeated) else value.items()
        made: JsonObject = {}
        for key, inner in pairs:
            path = f"{place.indexed}.{key}"
            if key in made:
                self._note("duplicate", path)
            if inner is None:
                made[key] = self._nothing(values)
            else:
                made[key] = self._value(values, inner, _Place(place.struct, place.dotted, path))
        return made


def _is_empty(value: Json) -> bool:
    return value in ("", [], {}) or value is False or (value == 0 and not isinstance(value, (bool, str, list, dict)))


def _zero(schema: Schema) -> Json:
    if schema.ref:
        inner = definition(schema.ref)
        if schema.ref == QUANTITY:
            return "0"
        if schema.ref == INT_OR_STRING:
            return 0
        return None if inner.type in ("", "object") or inner.format else _zero(inner)
    return _ZEROES.get(schema.type)


def _go_struct(name: str) -> str:
    """``v1.DeploymentSpec``: the package is the last folder."""
    parts = name.rsplit(".", 2)
    return f"{parts[-2]}.{parts[-1]}"


def go_type(schema: Schema) -> str:
    """The server's name of a type, as its messages have it."""
    if schema.ref:
        return _go_struct(schema.ref)
    if schema.type == "array":
        return f"[]{go_type(schema.items or Schema())}"
    if schema.type == "object":
        return f"map[string]{go_type(schema.values or Schema())}" if schema.values else "map[string]interface {}"
    if schema.type == "string":
        return "[]uint8" if schema.format == "byte" else schema.go or "string"
    if schema.type == "integer":
        return schema.go or schema.format or "int64"
    return {"boolean": "bool", "number": "float64"}.get(schema.type, "interface {}")


def json_word(value: Json) -> str:
    """The JSON type of a value in the words of Go's decoder."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _mistyped(value: Json, place: _Place, go: str, word: str = "") -> BadObject:
    return BadObject(
        f"json: cannot unmarshal {word or json_word(value)} into Go struct field {place.struct}.{place.dotted}"
        f" of type {go}"
    )


def _integer(schema: Schema, value: Json, place: _Place) -> Json:
    go = schema.go or schema.format or "int64"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _mistyped(value, place, go)
    limit = _LIMITS.get(schema.format, 2**63)
    if isinstance(value, float) or not -limit <= value < limit:
        raise _mistyped(value, place, go, f"number {value}")
    return value


def _time(value: Json, place: _Place, *, micro: bool) -> Json:
    if not isinstance(value, str):
        raise _mistyped(value, place, "string")
    found = _TIME.fullmatch(value)
    if found is None:
        layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
        raise BadObject(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(value.upper().replace("Z", "+00:00")).astimezone(UTC)
    except ValueError as problem:
        raise BadObject(f'parsing time "{value}": {problem}') from problem
    if micro:
        # strftime writes years before 1000 with fewer than four digits.
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _first_wrong(text: str) -> int:
    for index, letter in enumerate(text):
        if not (letter.isascii() and (letter.isalnum() or letter in "+/")):
            return index
    return len(text) - len(text) % 4
