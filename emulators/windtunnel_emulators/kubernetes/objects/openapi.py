"""OpenAPI documents, v2 of everything and v3 of a group's version, made of the schemas and the catalogue.

They are made for clients (``kubectl apply``, ``explain``, ``diff``): facts are complete, descriptions come from the
``kubernetes`` Python client where it is installed (``descriptions``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windtunnel_emulators.kubernetes.objects.openapipaths import paths
from windtunnel_emulators.kubernetes.objects.openapischemas import SECOND, THIRD, built_in, closure, custom
from windtunnel_emulators.kubernetes.objects.schemas import LIST_META, OBJECT_META, definition, definition_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue, KindInfo

VERSION = "v1.34.4"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ALWAYS = (f"{_META}DeleteOptions", f"{_META}Patch", f"{_META}Status", f"{_META}WatchEvent", OBJECT_META, LIST_META)


def _info() -> JsonObject:
    return {"title": "Kubernetes", "version": VERSION}


def document_v2(catalogue: Catalogue) -> JsonObject:
    """The document of all that is served."""
    definitions: JsonObject = {name: built_in(name, SECOND) for name in definition_names()}
    listed: JsonObject = {}
    for info in catalogue.kinds():
        listed.update(paths(info, SECOND))
        if info.custom:
            definitions.update(custom(info, SECOND))
    key: JsonObject = {"type": "apiKey", "description": "Bearer Token", "name": "authorization", "in": "header"}
    return {
        "swagger": "2.0",
        "info": _info(),
        "paths": {path: listed[path] for path in sorted(listed)},
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": key},
        "security": [{"BearerToken": []}],
    }


def document_v3(catalogue: Catalogue, group: str, version: str) -> JsonObject:
    """The document of a group's version."""
    infos = [info for info in catalogue.kinds() if (info.kind.group, info.kind.version) == (group, version)]
    schemas: JsonObject = {name: built_in(name, THIRD) for name in closure(_roots(infos))}
    listed: JsonObject = {}
    for info in infos:
        listed.update(paths(info, THIRD))
        if info.custom:
            schemas.update(custom(info, THIRD))
    key: JsonObject = {"type": "apiKey", "description": "Bearer Token", "name": "authorization", "in": "header"}
    components: JsonObject = {
        "schemas": {name: schemas[name] for name in sorted(schemas)},
        "securitySchemes": {"BearerToken": key},
    }
    return {
        "openapi": "3.0.0",
        "info": _info(),
        "paths": {path: listed[path] for path in sorted(listed)},
        "components": components,
    }


def _roots(infos: Sequence[KindInfo]) -> list[str]:
    found: set[str] = set(_ALWAYS)
    for info in infos:
        for path in paths(info, THIRD).values():
            found.update(name for name in _references(path) if _exists(name))
        if not info.custom:
            found.add(info.schema)
    return sorted(found)


def _references(value: Json) -> list[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            return [reference.removeprefix(THIRD)]
        return [name for inner in value.values() for name in _references(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in _references(inner)]
    return []


def _exists(name: str) -> bool:
    try:
        definition(name)
    except KeyError:
        return False
    return True
