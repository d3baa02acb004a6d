"""``predict.proto`` as JSON, by protobuf's own rules.

Names in camelCase (the original names are read too), 64-bit integers as text, bytes as base64 (URL-safe and unpadded
are read too), NaN and infinities as text; unknown fields are ignored.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, NoReturn, TypeVar

import numpy as np

from windtunnel_scoring.errors import Refusal
from windtunnel_scoring.model.tensor_message import PredictRequest, TensorMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windtunnel_scoring.jsontypes import Json, JsonObject

T = TypeVar("T")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_request(value: Json) -> PredictRequest:
    """Raises ``Refusal``."""
    body = _object(value, "the body")
    inputs = _object(body.get("inputs", {}), "inputs")
    names = _list(_field(body, "outputFilter", "output_filter"), "outputFilter", _text)
    return PredictRequest(
        inputs={name: _tensor(item, f"inputs.{name}") for name, item in inputs.items()},
        output_filter=tuple(names),
    )


def write_response(outputs: Mapping[str, TensorMessage]) -> JsonObject:
    """``{"outputs": {...}}``."""
    return {"outputs": {name: _write(message) for name, message in outputs.items()}}


def _tensor(value: Json, path: str) -> TensorMessage:
    fields = _object(value, path)
    message = TensorMessage(
        dims=_list(fields.get("dims"), f"{path}.dims", _int64),
        number=_int64(_field(fields, "dataType", "data_type") or 0, f"{path}.dataType"),
    )
    raw = _field(fields, "rawData", "raw_data")
    if raw is not None:
        message.raw = _bytes(raw, f"{path}.rawData")
    message.floats = _list(_field(fields, "floatData", "float_data"), f"{path}.floatData", _float)
    message.doubles = _list(_field(fields, "doubleData", "double_data"), f"{path}.doubleData", _float)
    message.int32s = _list(_field(fields, "int32Data", "int32_data"), f"{path}.int32Data", _int32)
    message.int64s = _list(_field(fields, "int64Data", "int64_data"), f"{path}.int64Data", _int64)
    message.uint64s = _list(_field(fields, "uint64Data", "uint64_data"), f"{path}.uint64Data", _uint64)
    message.strings = _list(_field(fields, "stringData", "string_data"), f"{path}.stringData", _bytes)
    location = _field(fields, "dataLocation", "data_location")
    message.elsewhere = location not in (None, "DEFAULT", 0) or bool(_field(fields, "externalData", "external_data"))
    return message


def _write(message: TensorMessage) -> JsonObject:
    result: JsonObject = {}
    if message.dims:
        result["dims"] = [str(dim) for dim in message.dims]
    result["dataType"] = message.number
    if message.raw is not None:
        result["rawData"] = base64.b64encode(message.raw).decode()
        result["dataLocation"] = "DEFAULT"
    lists: dict[str, list[Json]] = {
        # A float32 is written with as few digits as name it, not with those of the double that it became.
        "floatData": [_number(float(str(np.float32(value)))) for value in message.floats],
        "doubleData": [_number(value) for value in message.doubles],
        "int32Data": list(message.int32s),
        "int64Data": [str(value) for value in message.int64s],
        "uint64Data": [str(value) for value in message.uint64s],
        "stringData": [base64.b64encode(value).decode() for value in message.strings],
    }
    result |= {name: values for name, values in lists.items() if values}
    return result


def _number(value: float) -> Json:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _field(fields: JsonObject, name: str, original: str) -> Json:
    return fields[name] if name in fields else fields.get(original)


def _object(value: Json, path: str) -> JsonObject:
    if not isinstance(value, dict):
        _refuse(path, "an object", value)
    return value


def _list(value: Json, path: str, read: Callable[[Json, str], T]) -> list[T]:
    if value is None:
        return []
    if not isinstance(value, list):
        _refuse(path, "a list", value)
    return [read(item, f"{path}[{index}]") for index, item in enumerate(value)]


def _text(value: Json, path: str) -> str:
    if not isinstance(value, str):
        _refuse(path, "a string", value)
    return value


def _bytes(value: Json, path: str) -> bytes:
    text = _text(value, path).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        _refuse(path, "base64", value)


def _integer(value: Json, path: str, least: int, most: int) -> int:
    number = value
    if isinstance(value, str) and len(value) <= 20:
        digits = value.removeprefix("-")
        number = int(value) if digits.isascii() and digits.isdigit() else None
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        _refuse(path, f"a whole number from {least} to {most}", value)
    return number


def _int32(value: Json, path: str) -> int:
    return _integer(value, path, -(2**31), 2**31 - 1)


def _int64(value: Json, path: str) -> int:
    return _integer(value, path, -(2**63), 2**63 - 1)


def _uint64(value: Json, path: str) -> int:
    return _integer(value, path, 0, 2**64 - 1)


def _float(value: Json, path: str) -> float:
    if isinstance(value, str):
        special = _SPECIAL.get(value)
        if special is not None:
            return special
        try:
            return float(value)
        except ValueError:
            _refuse(path, "a number", value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(path, "a number", value)
    try:
        return float(value)
    except OverflowError:
        _refuse(path, "a number", value)


def _refuse(path: str, wanted: str, value: Json) -> NoReturn:
    shown = repr(value)
    raise Refusal(400, f"{path} should be {wanted}, not {shown if len(shown) <= 60 else shown[:57] + '...'}")
