"""Reads the body of a write: JSON or YAML into an object of its kind, strictly where that is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from windtunnel_emulators.kubernetes.objects.causes import BadObject
from windtunnel_emulators.kubernetes.objects.fitting import Fitter, Repeated, json_word
from windtunnel_emulators.kubernetes.objects.schemas import Schema, definition, definition_names

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import KindInfo

JSON_TYPES = ("application/json", "text/json")
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "application/apply-patch+yaml")
ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_HEAD = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """An object, and what a client should be warned of."""

    object: JsonObject
    warnings: tuple[str, ...] = ()


def decode(
    info: KindInfo,
    raw: bytes,
    content_type: str = "application/json",
    field_validation: str = "",
    *,
    bare: bool = False,
) -> Decoded:
    """The object of a body. ``field_validation`` is ``Strict``, ``Warn`` (default) or ``Ignore``.

    ``bare``: only what the body says, for server-side apply; else empty structures are as the server writes them.
    Raises ``BadObject`` with the message of the ``Status``.
    """
    value, repeated = parse(raw, content_type, info.kind.name)
    return decoded(info, value, field_validation, repeated=repeated, bare=bare)


def decoded(
    info: KindInfo,
    value: Json,
    field_validation: str = "",
    *,
    repeated: tuple[str, ...] = (),
    patched: bool = False,
    bare: bool = False,
) -> Decoded:
    """The same for a body that is parsed. ``patched``: it is what a patch made. Raises ``BadObject``."""
    whole = _with_head(info, value)
    version, name = info.kind.version, info.kind.name
    try:
        if info.custom:
            from windtunnel_emulators.kubernetes.objects.structural import fit_custom

            made, notes = fit_custom(info, whole, bare=bare)
        else:
            fitter = Fitter(bare=bare)
            made, notes = fitter.fit(info.schema, whole), fitter.notes
        warnings = (*repeated, *notes)
        unknown = [note for note in notes if note.startswith("unknown field ")] if bare else []
        if unknown:
            raise _undeclared(info, whole, unknown)
        if field_validation == "Strict" and warnings:
            raise BadObject(_strict(repeated, notes))
    except RecursionError as problem:
        raise BadObject("exceeded max depth") from problem
    except BadObject as problem:
        if patched or bare:
            raise
        message = f'{name} in version "{version}" cannot be handled as a {name}: {problem.message}'
        raise BadObject(message, code=problem.code) from problem
    return Decoded(object=made, warnings=() if field_validation == "Ignore" else warnings)


def _undeclared(info: KindInfo, whole: JsonObject, notes: list[str]) -> BadObject:
    """What a server-side apply says of fields that there are not; the real server's answer is a 500 too."""
    metadata = whole.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    lines = [f".{note.partition(' field ')[2][1:-1]}: field not declared in schema" for note in notes]
    what = lines[0] if len(lines) == 1 else "errors:\n" + "\n".join(f"  {line}" for line in lines)
    where = f"{found.get('namespace') or ''}/{found.get('name') or ''}"
    version = f"{info.kind.group}/{info.kind.version}"
    message = f"failed to create typed patch object ({where}; {version}, Kind={info.kind.name}): {what}"
    return BadObject(message, code=500, reason="")


def _strict(repeated: tuple[str, ...], notes: list[str]) -> str:
    lines = [line for line in repeated if line.startswith("line ")]
    said = ["yaml: unmarshal errors:\n" + "\n".join(f"  {line}" for line in lines)] if lines else list(repeated)
    return f"strict decoding error: {', '.join([*said, *notes])}"


def parse(raw: bytes, content_type: str, kind: str) -> tuple[Json, tuple[str, ...]]:
    """The parsed body and, of YAML, what is said of repeated keys. Raises ``BadObject``."""
    media_type = content_type.partition(";")[0].strip().lower() or "application/json"
    if media_type in YAML_TYPES:
        from windtunnel_emulators.kubernetes.objects.yamltext import YamlError, load

        try:
            value, repeated = load(raw)
        except YamlError as problem:
            raise _unrecognized(kind, str(problem), raw) from problem
        return value, tuple(repeated)
    if media_type not in JSON_TYPES:
        message = f"the body of the request was in an unknown format - accepted media types include: {ACCEPTED}"
        raise BadObject(message, code=415)
    try:
        # The hook costs little beside the walk that follows; a decoder without it cannot see repeated keys.
        return cast("Json", json.loads(raw, object_pairs_hook=_pairs, parse_constant=_no_constant)), ()
    except (ValueError, RecursionError) as problem:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {json_problem(raw)}", raw) from problem


def with_repeated_noticed(raw: bytes) -> tuple[Json, tuple[str, ...]]:
    """Parsed JSON, and what is said of repeated keys, of which the last counts. Raises ``ValueError``."""
    notes: list[str] = []
    value = cast("Json", json.loads(raw, object_pairs_hook=_pairs, parse_constant=_no_constant))
    return _plain(value, "", notes), tuple(notes)


def _plain(value: Json, path: str, notes: list[str]) -> Json:
    if isinstance(value, dict):
        if isinstance(value, Repeated):
            seen: set[str] = set()
            for key, _ in value.pairs:
                if key in seen:
                    notes.append(f'duplicate field "{path}.{key}"' if path else f'duplicate field "{key}"')
                seen.add(key)
        return {key: _plain(inner, f"{path}.{key}" if path else key, notes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, f"{path}[{index}]", notes) for index, inner in enumerate(value)]
    return value


def _no_constant(word: str) -> Json:
    raise ValueError(word)


def _pairs(pairs: list[tuple[str, Json]]) -> JsonObject:
    made = dict(pairs)
    if len(made) != len(pairs):
        repeated = Repeated(made)
        repeated.pairs = pairs
        return repeated
    return made


def _unrecognized(kind: str, why: str, raw: bytes) -> BadObject:
    if not raw:
        shown = "<empty>"
    elif raw[:1] == b"{":
        shown = raw[:1024].decode(errors="replace")
    else:
        shown = raw[:512].hex()
    return BadObject(f"the object provided is unrecognized (must be of type {kind}): {why} ({shown})")


def json_problem(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as problem:
        if problem.pos >= len(text.rstrip()):
            return "unexpected end of JSON input"
        letter = text[problem.pos]
        looking = (
            "looking for beginning of value" if "Expecting value" in problem.msg else "after object key:value pair"
        )
        if "property name" in problem.msg:
            looking = "looking for beginning of object key string"
        elif "Extra data" in problem.msg:
            looking = "after top-level value"
        return f"invalid character '{letter}' {looking}"
    except (ValueError, RecursionError):
        pass
    return "invalid JSON"


def _with_head(info: KindInfo, value: Json) -> JsonObject:
    """The body with the kind and version that it is read as. Raises ``BadObject`` if it is of another."""
    name, api_version = info.kind.name, info.kind.api_version
    if not isinstance(value, dict):
        word = "null" if value is None else json_word(value)
        raw = msgspec.json.encode(value)
        raise _unrecognized(
            name,
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {word} into Go value of type {_HEAD}",
            raw,
        )
    for field in ("apiVersion", "kind"):
        said = value.get(field)
        if said is not None and not isinstance(said, str):
            why = f"json: cannot unmarshal {json_word(said)} into Go struct field .{field} of type string"
            raise _unrecognized(name, f"couldn't get version/kind; json parse error: {why}", msgspec.json.encode(value))
    said_kind, said_version = value.get("kind") or name, value.get("apiVersion") or api_version
    if said_kind != name or said_version != api_version:
        raise BadObject(_other_kind(info, str(said_kind), str(said_version)))
    if value.get("kind") and value.get("apiVersion"):
        return value
    if isinstance(value, Repeated):
        filled = Repeated(value)
        filled.pairs = [*value.pairs]
        for field, text in (("kind", name), ("apiVersion", api_version)):
            if not value.get(field):
                filled.pairs.append((field, text))
                filled[field] = text
        return filled
    return {**value, "kind": name, "apiVersion": api_version}


def _other_kind(info: KindInfo, kind: str, api_version: str) -> str:
    group, _, version = api_version.rpartition("/")
    name = info.kind.name
    if info.custom:
        return (
            f"the API version in the data ({api_version}) does not match"
            f" the expected API version ({info.kind.api_version})"
            if (kind == name)
            else f"the kind in the data ({kind}) does not match the expected kind ({name})"
        )
    if (group, version, kind) not in _known_kinds():
        why = f'no kind "{kind}" is registered for version "{api_version}" in scheme "pkg/runtime/scheme.go:110"'
    elif kind == name and group == info.kind.group:
        return (
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({info.kind.api_version})"
        )
    else:
        own = info.kind.group.partition(".")[0] or "core"
        why = f"converting ({version}.{kind}) to ({own}.{name}): unknown conversion"
    return f'{kind} in version "{version}" cannot be handled as a {name}: {why}'


def _known_kinds() -> frozenset[tuple[str, str, str]]:
    if not _KNOWN:
        _KNOWN.update(tuple(kind) for name in definition_names() for kind in _schema(name).kinds)  # type: ignore[misc]
    return frozenset(_KNOWN)


_KNOWN: set[tuple[str, str, str]] = set()


def _schema(name: str) -> Schema:
    return definition(name)
