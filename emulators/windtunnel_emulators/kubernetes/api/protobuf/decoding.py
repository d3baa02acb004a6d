"""Reading ``application/vnd.kubernetes.protobuf``: an envelope, and a message whose fields are in ``messages.txt``.

Go's protobuf writes fields that are no pointers even when they are zero, where its JSON leaves them out: such zeros
are left out here too, so that both forms of a request give the same object.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.jsontypes import as_object, as_str
from windtunnel_emulators.kubernetes.api.failures import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from windtunnel_emulators.jsontypes import Json, JsonObject

MAGIC = b"k8s\x00"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_EXTENSIONS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1"
_PACKAGES = {
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
    "": "k8s.io.api.core",
}
_OF_EVERY_GROUP = ("DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "ListOptions", "Status")
_DEEPEST = 100


class _Malformed(Exception):
    """The bytes are no such message."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: str
    """``s``, ``b``, ``i``, ``t``, ``d``, or ``m`` and the name of a message."""
    flags: str
    """``R`` repeated, ``M`` map, ``P`` pointer, ``I`` part of the message around it."""


@cache
def _messages() -> dict[str, dict[int, _Field]]:
    text = resources.files("windtunnel_emulators.kubernetes.api.protobuf").joinpath("messages.txt").read_text("utf-8")
    packages: dict[str, str] = {}
    found: dict[str, dict[int, _Field]] = {}

    def full(name: str) -> str:
        short, dot, rest = name.partition(".")
        return packages[short] + dot + rest if short in packages else name

    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, *fields = line.split(" ")
        if "." not in name:
            packages[name] = fields[0]
            continue
        known: dict[int, _Field] = {}
        for field in fields:
            number, json_name, kind, flags = field.split(":")
            known[int(number)] = _Field(json_name, "m" + full(kind[1:]) if kind[0] == "m" else kind, flags)
        found[full(name)] = known
    return found


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Malformed("a number does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, int | float | memoryview]]:
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > end:
                raise _Malformed("a field is longer than its message")
            yield number, data[at : at + size]
            at += size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if at + size > end:
                raise _Malformed("a number does not end")
            yield number, struct.unpack("<d" if wire == 1 else "<f", data[at : at + size])[0]
            at += size
        else:
            raise _Malformed(f"wire type {wire}")


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _text(value: int | float | memoryview) -> str:
    if not isinstance(value, memoryview):
        raise _Malformed("a number where text is expected")
    return bytes(value).decode()


def _scalar(kind: str, value: int | float | memoryview) -> Json:
    if kind == "s":
        return _text(value)
    if kind == "b":
        if not isinstance(value, memoryview):
            raise _Malformed("a number where bytes are expected")
        return base64.b64encode(value).decode()
    if kind == "d":
        return float(value) if isinstance(value, int | float) else 0.0
    if not isinstance(value, int):
        raise _Malformed("text where a number is expected")
    return bool(value) if kind == "t" else _signed(value)


def _time(message: str, data: memoryview) -> Json:
    seconds = nanos = 0
    for number, value in _fields(data):
        if isinstance(value, int):
            seconds, nanos = (_signed(value), nanos) if number == 1 else (seconds, _signed(value))
    if not len(data):
        return None
    if message.endswith("Timestamp"):
        raise _Malformed("a bare Timestamp")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)
    micro = message.endswith("MicroTime")
    return moment.isoformat(timespec="microseconds" if micro else "seconds").replace("+00:00", "Z")


def _raw_json(data: memoryview) -> Json:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            found: Json = msgspec.json.decode(bytes(value)) if len(value) else None
            return found
    return None


def _special(message: str, data: memoryview, depth: int) -> tuple[bool, Json]:
    """The value of a message whose JSON is not its fields; False when it is none of these."""
    package, _, name = message.rpartition(".")
    if package == _META and name in ("Time", "MicroTime"):
        return True, _time(message, data)
    if (package == _META and name == "FieldsV1") or name == "RawExtension" or message == f"{_EXTENSIONS}.JSON":
        return True, _raw_json(data)
    if name == "Quantity":
        return True, next((_text(value) for number, value in _fields(data) if number == 1), "0")
    if name == "ExtraValue" or (package == _META and name == "Verbs"):
        return True, [_text(value) for _, value in _fields(data)]
    if name == "IntOrString":
        found = dict(_fields(data))
        if found.get(1, 0) == 1:
            return True, _text(found.get(3, memoryview(b"")))
        whole = found.get(2, 0)
        return True, _signed(whole) if isinstance(whole, int) else 0
    if package == _META and name == "Duration":
        nanos = next((value for _, value in _fields(data) if isinstance(value, int)), 0)
        return True, f"{_signed(nanos) / 1e9:g}s"
    if package == _EXTENSIONS and name.startswith("JSONSchemaPropsOr"):
        return True, _schema_or(name, data, depth)
    return False, None


def _schema_or(name: str, data: memoryview, depth: int) -> Json:
    several: list[Json] = []
    allowed: Json = None
    for number, value in _fields(data):
        if name.endswith("OrBool") and number == 1:
            allowed = bool(value)
        elif number == (2 if name.endswith("OrBool") else 1) and isinstance(value, memoryview):
            return _message(f"{_EXTENSIONS}.JSONSchemaProps", value, depth + 1)
        elif number == 2 and isinstance(value, memoryview):
            if name.endswith("StringArray"):
                several.append(_text(value))
            else:
                several.append(_message(f"{_EXTENSIONS}.JSONSchemaProps", value, depth + 1))
    return allowed if name.endswith("OrBool") else several


def _value(kind: str, value: int | float | memoryview, depth: int) -> Json:
    if kind[0] != "m":
        return _scalar(kind, value)
    if not isinstance(value, memoryview):
        raise _Malformed("a number where a message is expected")
    special, found = _special(kind[1:], value, depth)
    return found if special else _message(kind[1:], value, depth + 1)


def _entry(kind: str, data: memoryview, depth: int) -> tuple[str, Json]:
    key = ""
    value: Json = "" if kind == "s" else {} if kind[0] == "m" else None
    for number, found in _fields(data):
        if number == 1:
            key = _text(found)
        elif number == 2:
            value = _value(kind, found, depth)
    return key, value


def _message(message: str, data: memoryview, depth: int = 0) -> JsonObject:
    if depth > _DEEPEST:
        raise _Malformed("the message is nested too deeply")
    known = _messages().get(message)
    if known is None:
        raise _Malformed(f"{message} is not known")
    whole: JsonObject = {}
    for number, raw in _fields(data):
        field = known.get(number)
        if field is None:
            continue  # of a newer release; JSON's unknown fields are dropped alike
        if "M" in field.flags:
            if not isinstance(raw, memoryview):
                raise _Malformed("a number where an entry is expected")
            key, value = _entry(field.type, raw, depth)
            as_object(whole.setdefault(field.name, {}))[key] = value
        elif "R" in field.flags:
            listed = whole.setdefault(field.name, [])
            assert isinstance(listed, list)
            if field.type in ("i", "t") and isinstance(raw, memoryview):
                at = 0
                while at < len(raw):
                    packed, at = _varint(raw, at)
                    listed.append(_scalar(field.type, packed))
            else:
                listed.append(_value(field.type, raw, depth))
        else:
            value = _value(field.type, raw, depth)
            if "I" in field.flags:
                whole.update(as_object(value))
            elif "P" in field.flags or value not in ("", 0, False, None, {}, []):
                whole[field.name] = value
    return whole


def message_name(api_version: str, kind: str) -> str:
    """The message of a kind."""
    group, _, version = api_version.rpartition("/")
    if kind in _OF_EVERY_GROUP:
        return f"{_META}.{kind}"
    package = _PACKAGES.get(group) or "k8s.io.api." + group.partition(".")[0]
    return f"{package}.{version}.{kind}"


def decode_protobuf(body: bytes) -> JsonObject:
    """The object in a protobuf body, as JSON has it, with ``apiVersion`` and ``kind``. Raises ``Failure`` 400."""
    try:
        if not body.startswith(MAGIC):
            raise _Malformed("the envelope is missing")
        envelope = _message("k8s.io.apimachinery.pkg.runtime.Unknown", memoryview(body)[len(MAGIC) :])
        raw = memoryview(b"")
        for number, value in _fields(memoryview(body)[len(MAGIC) :]):
            if number == 2 and isinstance(value, memoryview):
                raw = value
        api_version, kind = as_str(envelope.get("apiVersion")), as_str(envelope.get("kind"))
        return {"kind": kind, "apiVersion": api_version, **_message(message_name(api_version, kind), raw)}
    except (_Malformed, UnicodeDecodeError, msgspec.DecodeError, OverflowError) as problem:
        raise bad_request(f"the object provided is unrecognized: protobuf: {problem}") from problem
