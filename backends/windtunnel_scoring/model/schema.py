"""The model's own description for ``/swagger.json``: made from its names, types and shapes, with an example."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING

from windtunnel_scoring.swagger import Description

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from windtunnel_scoring.jsontypes import Json, JsonObject
    from windtunnel_scoring.model.elements import Element
    from windtunnel_scoring.model.runtime import Port

MOST_EXAMPLE_ELEMENTS = 1024
"""Beyond this an example would be most of the document."""
_TYPES = {"float": "number", "integer": "integer", "boolean": "boolean", "string": "string"}
_EXAMPLES: Mapping[str, Json] = {"float": 0.0, "integer": 0, "boolean": False, "string": "text"}
_NUMBERS = "NaN, Infinity and -Infinity stand for themselves in floating point numbers."


def describe(inputs: Sequence[Port], outputs: Sequence[Port]) -> Description:
    """What the plain JSON form takes and gives."""
    return Description(service_input=_input(inputs), service_output=_output(outputs))


def _input(inputs: Sequence[Port]) -> JsonObject:
    if len(inputs) == 1:
        port = inputs[0]
        named = {"data": port}
        how = f"data is the model's input {port.name!r}, which may be given by that name instead. "
    else:
        named = {port.name: port for port in inputs}
        how = "One value for each input of the model; the same object under 'data' is taken too. "
    properties: JsonObject = {}
    example: JsonObject = {}
    for name, port in named.items():
        properties[name] = {"description": f"input {port.name!r}: {_words(port)}", **_tensor(port)}
        if _size(port) <= MOST_EXAMPLE_ELEMENTS:
            example[name] = _example(port)
    native = (
        " ONNX Runtime Server's form is served too, here and at"
        " POST /v1/models/{name}/versions/{version}:predict: "
        '{"inputs": {"<name>": {"dims": [...], "dataType": 1, "rawData": "..."}}}.'
    )
    schema: JsonObject = {
        "type": "object",
        "description": how + _NUMBERS + native,
        "properties": properties,
        "required": list(named),
    }
    if len(example) == len(named):
        schema["example"] = example
    return schema


def _output(outputs: Sequence[Port]) -> JsonObject:
    if len(outputs) == 1:
        port = outputs[0]
        return {"description": f"output {port.name!r}: {_words(port)}. {_NUMBERS}", **_value(port)}
    properties: JsonObject = {
        port.name: {"description": f"output {port.name!r}: {_words(port)}", **_value(port)} for port in outputs
    }
    return {"type": "object", "description": _NUMBERS, "properties": properties, "required": list(properties)}


def _words(port: Port) -> str:
    name = port.element.name if port.element else port.type
    return f"{name} of shape {port.written_shape}" if port.shape else name


def _value(port: Port) -> JsonObject:
    return _tensor(port) if port.element else _typed(port.type)


def _tensor(port: Port) -> JsonObject:
    """Arrays in arrays; fixed dimensions have a fixed length. Nothing is said where the model says no shape."""
    if port.element is None or not port.shape:
        return {}
    schema: JsonObject = _element(port.element)
    for dim in reversed(port.shape):
        level: JsonObject = {"type": "array", "items": schema}
        if isinstance(dim, int):
            level |= {"minItems": dim, "maxItems": dim}
        schema = level
    return schema


def _element(element: Element) -> JsonObject:
    schema: JsonObject = {"type": _TYPES[element.kind]}
    if element.swagger_format:
        schema["format"] = element.swagger_format
    return schema


def _typed(onnx: str) -> JsonObject:
    """Of a sequence, a map or an optional: ``seq(map(int64,tensor(float)))``."""
    outer = re.fullmatch(r"(seq|optional)\((.*)\)", onnx)
    if outer:
        inner = _typed(outer[2])
        return {"type": "array", "items": inner} if outer[1] == "seq" else inner
    mapping = re.fullmatch(r"map\(\w+,(.*)\)", onnx)
    if mapping:
        return {"type": "object", "additionalProperties": _typed(mapping[1])}
    return {}


def _size(port: Port) -> int:
    return prod(dim if isinstance(dim, int) else 1 for dim in port.shape)


def _example(port: Port) -> Json:
    value: Json = _EXAMPLES[port.element.kind] if port.element else None
    for dim in reversed(port.shape):
        value = [value] * (dim if isinstance(dim, int) else 1)
    return value
