"""Values checked against the schemas of definitions, in the words of the API's schema validation."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from datetime import date
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.jsontypes import as_list, as_object, as_str
from windtunnel_emulators.kubernetes.objects.causes import Cause, too_long, too_many, type_invalid
from windtunnel_emulators.kubernetes.objects.durations import moment, parse_go
from windtunnel_emulators.kubernetes.objects.findings import Findings, is_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.schemas import Schema

_NOWHERE = "<nil>"


def json_type(value: Json) -> str:
    """The name of a value's type in JSON schemas."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _is_type(value: Json, wanted: str) -> bool:
    found = json_type(value)
    return found == wanted or (wanted == "number" and found == "integer")


def check_value(path: str, schema: Schema, value: Json, found: Findings) -> None:
    """What is wrong with a value and all inside it."""
    raw = cast("JsonObject", schema.raw or {})
    if value is None and schema.nullable:
        return
    if schema.int_or_string:
        if not isinstance(value, str) and json_type(value) != "integer":
            _mistyped(path, value, "integer,string", found)
            return
    elif schema.type and not _is_type(value, schema.type):
        _mistyped(path, value, schema.type, found)
        return
    _logic(path, schema, raw, value, found)
    enum = raw.get("enum")
    if isinstance(enum, list) and not any(value == one and json_type(value) == json_type(one) for one in enum):
        found.unsupported(path or _NOWHERE, value, [one if isinstance(one, str) else _text(one) for one in enum])
    if isinstance(value, str):
        _string(path, raw, value, found)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _number(path, raw, value, found)
    elif isinstance(value, list):
        _list(path, schema, raw, value, found)
    elif isinstance(value, dict):
        _object(path, schema, raw, value, found)


def _fewest(found: list[list[Cause]]) -> list[Cause]:
    return sorted(found, key=len)[0]


def _text(value: Json) -> str:
    return str(value)


def _mistyped(path: str, value: Json, wanted: str, found: Findings) -> None:
    name = json_type(value)
    detail = f'{path} in body must be of type {wanted}: "{name}"'
    found.add([type_invalid(path or _NOWHERE, name, detail)])


def _body(path: str, value: Json, rule: str, found: Findings) -> None:
    found.invalid(path or _NOWHERE, value, f"{path} in body {rule}")


def _string(path: str, raw: JsonObject, value: str, found: Findings) -> None:
    longest, shortest, pattern = raw.get("maxLength"), raw.get("minLength"), raw.get("pattern")
    if isinstance(longest, int) and len(value) > longest:
        found.add([too_long(path, longest)])
    elif isinstance(shortest, int) and len(value) < shortest:
        _body(path, value, f"should be at least {shortest} chars long", found)
    elif isinstance(pattern, str) and pattern and re.search(pattern, value) is None:
        _body(path, value, f"should match '{pattern}'", found)
    form = as_str(raw.get("format"))
    check = _FORMATS.get(form)
    if check is not None and not check(value):
        found.add([type_invalid(path, value, f'{path} in body must be of type {form}: "{value}"')])


def _number(path: str, raw: JsonObject, value: float, found: Findings) -> None:
    most, least, step = raw.get("maximum"), raw.get("minimum"), raw.get("multipleOf")
    if isinstance(step, (int, float)) and step and (value / step) % 1:
        _body(path, value, f"should be a multiple of {_plain(step)}", found)
    if isinstance(most, (int, float)):
        if raw.get("exclusiveMaximum") is True:
            if value >= most:
                _body(path, value, f"should be less than {_plain(most)}", found)
        elif value > most:
            _body(path, value, f"should be less than or equal to {_plain(most)}", found)
    if isinstance(least, (int, float)):
        if raw.get("exclusiveMinimum") is True:
            if value <= least:
                _body(path, value, f"should be greater than {_plain(least)}", found)
        elif value < least:
            _body(path, value, f"should be greater than or equal to {_plain(least)}", found)


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _list(path: str, schema: Schema, raw: JsonObject, value: list[Json], found: Findings) -> None:
    most, least = raw.get("maxItems"), raw.get("minItems")
    if isinstance(least, int) and len(value) < least:
        _body(path, len(value), f"should have at least {least} items", found)
    if isinstance(most, int) and len(value) > most:
        found.add([too_many(path, len(value), most)])
    if raw.get("uniqueItems") is True and any(item in value[:index] for index, item in enumerate(value)):
        _body(path, [*value], "shouldn't contain duplicates", found)
    if schema.items is not None:
        for index, item in enumerate(value):
            check_value(f"{path}[{index}]", schema.items, item, found)


def _object(path: str, schema: Schema, raw: JsonObject, value: JsonObject, found: Findings) -> None:
    most, least = raw.get("maxProperties"), raw.get("minProperties")
    if isinstance(most, int) and len(value) > most:
        found.add([too_many(path, len(value), most)])
    if isinstance(least, int) and len(value) < least:
        _body(path, len(value), f"should have at least {least} properties", found)
    for name in as_list(raw.get("required")):
        if as_str(name) not in value:
            found.required(_below(path, as_str(name)))
    for name, inner in value.items():
        field = schema.properties.get(name) or schema.values
        if field is not None and not field.ref:
            check_value(_below(path, name), field, inner, found)
    if schema.embedded:
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                found.required(_below(path, name))


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _matches(path: str, raw: Json, value: Json) -> list[Cause]:
    from windtunnel_emulators.kubernetes.objects.structural import from_openapi

    inner = Findings()
    check_value(path, from_openapi(as_object(raw)), value, inner)
    return inner.causes


def _logic(path: str, schema: Schema, raw: JsonObject, value: Json, found: Findings) -> None:
    """``allOf``, ``anyOf``, ``oneOf``, ``not``; those of int-or-string say nothing new."""

    def complain(rule: str) -> None:
        found.invalid(_NOWHERE, "", f'"{path}" {rule}')

    for inner in as_list(raw.get("allOf")):
        causes = _matches(path, inner, value)
        if causes and not schema.int_or_string:
            complain("must validate all the schemas (allOf)")
            found.add(causes)
    any_of = as_list(raw.get("anyOf"))
    if any_of and not schema.int_or_string:
        results = [_matches(path, inner, value) for inner in any_of]
        if all(results):
            complain("must validate at least one schema (anyOf)")
            found.add(_fewest(results))
    one_of = as_list(raw.get("oneOf"))
    if one_of:
        results = [_matches(path, inner, value) for inner in one_of]
        right = sum(1 for causes in results if not causes)
        if right != 1:
            how = f"Found {right} valid alternatives" if right else "Found none valid"
            complain(f"must validate one and only one schema (oneOf). {how}")
            if not right:
                found.add(_fewest(results))
    if isinstance(raw.get("not"), dict) and not _matches(path, raw["not"], value):
        complain("must not validate the schema (not)")


def _tried(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _is_moment(text: str) -> bool:
    return "T" in text.upper() and moment(text) is not None and moment(text.upper()) is not None


_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": _tried(lambda text: base64.b64decode(text, validate=True)),
    "cidr": is_network,
    "date": _tried(date.fromisoformat),
    "date-time": _is_moment,
    "duration": _tried(parse_go),
    "email": lambda text: re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", text) is not None,
    "hostname": lambda text: re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,253}[A-Za-z0-9])?", text) is not None,
    "ipv4": _tried(ipaddress.IPv4Address),
    "ipv6": _tried(ipaddress.IPv6Address),
    "mac": lambda text: re.fullmatch(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", text) is not None,
    "uri": lambda text: re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", text) is not None,
    "uuid": _tried(uuid.UUID),
}
