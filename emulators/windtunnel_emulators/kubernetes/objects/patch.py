"""Patches of objects: JSON patch, merge patch and strategic merge patch, decoded into the kind again.

Server-side apply is in ``apply``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.client.interface import JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH
from windtunnel_emulators.kubernetes.objects import jsonpatch, strategic
from windtunnel_emulators.kubernetes.objects.causes import BadObject, InvalidObject, invalid
from windtunnel_emulators.kubernetes.objects.decode import Decoded, decoded, json_problem, with_repeated_noticed
from windtunnel_emulators.kubernetes.objects.gotext import go_text
from windtunnel_emulators.kubernetes.objects.schemas import definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

_REJECTED = "the server rejected our request due to an error in our request"


def patch(info: KindInfo, current: JsonObject, body: bytes, patch_type: str) -> JsonObject:
    """The patched object. Raises ``BadObject`` and ``InvalidObject``."""
    return patched(info, current, body, patch_type).object


def patched(
    info: KindInfo, current: JsonObject, body: bytes, patch_type: str, field_validation: str = "Ignore"
) -> Decoded:
    """The patched object, and what a client should be warned of. Raises ``BadObject`` and ``InvalidObject``."""
    if patch_type == JSON_PATCH:
        return _by_json_patch(info, current, body, field_validation)
    if patch_type == MERGE_PATCH:
        return _by_merge_patch(info, current, body, field_validation)
    if patch_type == STRATEGIC_MERGE_PATCH and not info.custom:
        return _by_strategic_patch(info, current, body, field_validation)
    accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    if not info.custom:
        accepted = accepted.replace("json, app", "json, application/strategic-merge-patch+json, app", 1)
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    raise BadObject(message, code=415, reason="UnsupportedMediaType")


def patch_plain(current: JsonObject, body: bytes, patch_type: str) -> JsonObject:
    """The patched value of what no schema describes here, a ``Scale``: lists are replaced. Raises ``BadObject``."""
    if patch_type == JSON_PATCH:
        return _object(_json_patched(current, body), "")
    return _object(jsonpatch.merge(current, _object(_parsed(body, "")[0], "")), "")


def _parsed(body: bytes, prefix: str) -> tuple[Json, tuple[str, ...]]:
    try:
        return with_repeated_noticed(body)
    except (ValueError, RecursionError) as problem:
        raise BadObject(f"{prefix}{json_problem(body)}") from problem


def _object(value: Json, prefix: str) -> JsonObject:
    if not isinstance(value, dict):
        from windtunnel_emulators.kubernetes.objects.fitting import json_word

        word = "null" if value is None else json_word(value)
        raise BadObject(f"{prefix}json: cannot unmarshal {word} into Go value of type map[string]interface {{}}")
    return value


def _json_patched(current: JsonObject, body: bytes) -> Json:
    value, _ = _parsed(body, "error decoding patch: ")
    if not isinstance(value, list):
        raise BadObject(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    operations = [item for item in value if isinstance(item, dict)]
    if len(operations) != len(value):
        raise BadObject("error decoding patch: json: cannot unmarshal into Go value of type handlers.jsonPatchOp")
    try:
        return jsonpatch.apply(current, operations)
    except jsonpatch.PatchFailed as problem:
        raise BadObject(_REJECTED, code=422, reason="Invalid") from problem


def _by_json_patch(info: KindInfo, current: JsonObject, body: bytes, field_validation: str) -> Decoded:
    made = _json_patched(current, body)
    return _fitted(info, made, msgspec.json.encode(made).decode(), field_validation, ())


def _by_merge_patch(info: KindInfo, current: JsonObject, body: bytes, field_validation: str) -> Decoded:
    value, repeated = _parsed(body, "error decoding patch: ")
    made = jsonpatch.merge(current, _object(value, "error decoding patch: "))
    return _fitted(info, made, msgspec.json.encode(made).decode(), field_validation, repeated)


def _by_strategic_patch(info: KindInfo, current: JsonObject, body: bytes, field_validation: str) -> Decoded:
    value, repeated = _parsed(body, "")
    change = _object(value, "")
    made = strategic.merge(definition(info.schema), current, change)
    return _fitted(info, made, go_text(change), field_validation, repeated, _converted)


_MISTYPED = re.compile(r"json: cannot unmarshal (\w+)(?: (\S+))? into Go struct field \S+ of type (\S+)(?: \S+)?")
_SCALARS = ("string", "bool", "int32", "int64", "float64")
_GO = {"number": "int64", "object": "map", "array": "slice"}


def _converted(message: str) -> str:
    """A mistake of types in the words of the converter that strategic patches go through instead of the decoder."""
    found = _MISTYPED.fullmatch(message)
    if found is None:
        return message
    word, value, go = found[1], found[2] or "", found[3]
    word = "float64" if word == "number" and "." in value else _GO.get(word, word)
    if go.startswith("map["):
        return f"cannot restore map from {word}"
    if go.startswith("[]"):
        return f"cannot restore slice from {word}"
    scalar = go in _SCALARS
    if word == "float64" and scalar and go != "string" and go != "bool":
        return f"cannot convert {word} to {go}"
    if word == "int64" and go != "bool":
        return f"cannot convert {word} to {go}"
    if scalar:
        return f"unrecognized type: {go}"
    # The names of the server's own texts cannot be told from those of structures by their looks.
    named_text = go in _TEXTS or any(go.endswith(end) for end in ("Policy", "Type", "Protocol", "Mode", "UID"))
    return "unrecognized type: string" if named_text else f"cannot restore struct from: {word}"


_TEXTS = frozenset({"v1.TolerationOperator", "v1.ConditionStatus", "v1.TaintEffect", "v1.URIScheme"})


def _fitted(
    info: KindInfo,
    made: Json,
    shown: str,
    field_validation: str,
    repeated: tuple[str, ...],
    words: Callable[[str], str] = str,
) -> Decoded:
    try:
        return decoded(info, made, field_validation, repeated=repeated, patched=True)
    except BadObject as problem:
        raise InvalidObject([invalid("patch", shown, words(problem.message))], anonymous=True) from problem
