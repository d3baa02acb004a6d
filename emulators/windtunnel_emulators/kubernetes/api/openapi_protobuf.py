"""The OpenAPI v2 document in the protobuf form that Go clients ask for.

Numbers are those of OpenAPIv2.proto of github.com/google/gnostic-models (v0.7.0, Apache-2.0).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_emulators.jsontypes import Json, JsonObject

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")

_SCHEMA = {
    "$ref": (1, "s"),
    "format": (2, "s"),
    "title": (3, "s"),
    "description": (4, "s"),
    "default": (5, "a"),
    "multipleOf": (6, "d"),
    "maximum": (7, "d"),
    "exclusiveMaximum": (8, "t"),
    "minimum": (9, "d"),
    "exclusiveMinimum": (10, "t"),
    "maxLength": (11, "i"),
    "minLength": (12, "i"),
    "pattern": (13, "s"),
    "maxItems": (14, "i"),
    "minItems": (15, "i"),
    "uniqueItems": (16, "t"),
    "maxProperties": (17, "i"),
    "minProperties": (18, "i"),
    "required": (19, "s*"),
    "enum": (20, "a*"),
}
_QUERY = {
    "required": (1, "t"),
    "in": (2, "s"),
    "description": (3, "s"),
    "name": (4, "s"),
    "type": (6, "s"),
    "format": (7, "s"),
    "uniqueItems": (20, "t"),
}
_PATH = {
    "required": (1, "t"),
    "in": (2, "s"),
    "description": (3, "s"),
    "name": (4, "s"),
    "type": (5, "s"),
    "format": (6, "s"),
    "uniqueItems": (19, "t"),
}
_BODY = {"description": (1, "s"), "name": (2, "s"), "in": (3, "s"), "required": (4, "t")}
_OPERATION = {
    "tags": (1, "s*"),
    "summary": (2, "s"),
    "description": (3, "s"),
    "operationId": (5, "s"),
    "produces": (6, "s*"),
    "consumes": (7, "s*"),
    "schemes": (10, "s*"),
    "deprecated": (11, "t"),
}
_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _block(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, value: Json) -> bytes:
    return _block(number, str(value).encode())


def _any(value: Json) -> bytes:
    # gnostic keeps free values as YAML text; JSON is YAML.
    return _text(2, msgspec.json.encode(value).decode())


def _plain(number: int, kind: str, value: Json) -> bytes:
    if kind.endswith("*"):
        return b"".join(_plain(number, kind[0], item) for item in as_list(value))
    if kind == "s":
        return _text(number, value)
    if kind == "a":
        return _block(number, _any(value))
    if kind == "d":
        return _varint(number << 3 | 1) + struct.pack("<d", float(value) if isinstance(value, int | float) else 0.0)
    return _varint(number << 3) + _varint(int(value) if isinstance(value, int | float) else 0)


def _known(whole: JsonObject, fields: Mapping[str, tuple[int, str]]) -> list[bytes]:
    return [_plain(*fields[name], value) for name, value in whole.items() if name in fields]


def _extensions(number: int, whole: JsonObject) -> list[bytes]:
    return [
        _block(number, _text(1, name) + _block(2, _any(value)))
        for name, value in whole.items()
        if name.startswith("x-")
    ]


def _named(number: int, values: JsonObject, encode: Callable[[JsonObject], bytes]) -> bytes:
    return b"".join(
        _block(number, _text(1, name) + _block(2, encode(as_object(value)))) for name, value in values.items()
    )


def _schema(whole: JsonObject) -> bytes:
    parts = _known(whole, _SCHEMA)
    if "additionalProperties" in whole:
        more = whole["additionalProperties"]
        inner = _plain(2, "t", more) if isinstance(more, bool) else _block(1, _schema(as_object(more)))
        parts.append(_block(21, inner))
    if "type" in whole:
        kind = whole["type"]
        parts.append(_block(22, b"".join(_text(1, name) for name in (kind if isinstance(kind, list) else [kind]))))
    if "items" in whole:
        parts.append(_block(23, _block(1, _schema(as_object(whole["items"])))))
    parts.extend(_block(24, _schema(as_object(item))) for item in as_list(whole.get("allOf")))
    if "properties" in whole:
        parts.append(_block(25, _named(1, as_object(whole["properties"]), _schema)))
    if "externalDocs" in whole:
        docs = as_object(whole["externalDocs"])
        parts.append(_block(29, _text(1, docs.get("description", "")) + _text(2, docs.get("url", ""))))
    if "example" in whole:
        parts.append(_block(30, _any(whole["example"])))
    return b"".join((*parts, *_extensions(31, whole)))


def _parameter(whole: JsonObject) -> bytes:
    if "$ref" in whole:
        return _block(2, _text(1, whole["$ref"]))
    place = whole.get("in")
    if place == "body":
        body = b"".join(_known(whole, _BODY)) + _block(5, _schema(as_object(whole.get("schema"))))
        return _block(1, _block(1, body))
    number, fields = (4, _PATH) if place == "path" else (3, _QUERY)
    return _block(1, _block(2, _block(number, b"".join(_known(whole, fields)))))


def _response(whole: JsonObject) -> bytes:
    parts = [_text(1, whole.get("description", ""))]
    if "schema" in whole:
        parts.append(_block(2, _block(1, _schema(as_object(whole["schema"])))))
    return _block(1, b"".join(parts))


def _operation(whole: JsonObject) -> bytes:
    parts = _known(whole, _OPERATION)
    parts.extend(_block(8, _parameter(as_object(item))) for item in as_list(whole.get("parameters")))
    parts.append(_block(9, _named(1, as_object(whole.get("responses")), _response)))
    return b"".join((*parts, *_extensions(13, whole)))


def _path_item(whole: JsonObject) -> bytes:
    parts = [_block(number, _operation(as_object(whole[name]))) for name, number in _METHODS.items() if name in whole]
    parts.extend(_block(9, _parameter(as_object(item))) for item in as_list(whole.get("parameters")))
    return b"".join((*parts, *_extensions(10, whole)))


def encode_document(document: JsonObject) -> bytes:
    """An OpenAPI v2 document as gnostic's ``Document``."""
    info = as_object(document.get("info"))
    return b"".join(
        (
            _text(1, document.get("swagger", "2.0")),
            _block(2, _text(1, info.get("title", "")) + _text(2, info.get("version", ""))),
            _block(8, _named(2, as_object(document.get("paths")), _path_item)),
            _block(9, _named(1, as_object(document.get("definitions")), _schema)),
            b"".join(_extensions(16, document)),
        )
    )
