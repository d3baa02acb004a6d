"""The service's description of itself: Swagger 2.0, OpenAPI 3.0 and 3.1.

The skeleton (operations, names of definitions) is the documented server's; what a service takes and gives comes from
its scorer. Files of the user in the application's root win: ``swagger2.json`` or ``swagger.json`` for version 2,
``swagger3.json`` and ``swagger3.1.json``.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from windtunnel_scoring.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_scoring.jsontypes import Json, JsonObject

_FILES = {"2": ("swagger.json", "swagger2.json"), "3": ("swagger3.json",), "3.1": ("swagger3.1.json",)}
_ALIASES = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}


def _empty_schema() -> JsonObject:
    return {"type": "object", "example": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a scorer says of its input and output, as JSON schemas."""

    service_input: JsonObject = field(default_factory=_empty_schema)
    service_output: JsonObject = field(default_factory=_empty_schema)
    versions: tuple[str, ...] = ("2", "3", "3.1")
    """Those in which the schemas can be written down."""


class UnknownVersion(Exception):
    """A version that is asked for and cannot be given; the message is the answer."""


class Swagger:
    """The documents of one service, made once."""

    def __init__(self, documents: Mapping[str, JsonObject]) -> None:
        """``documents`` by version: ``2``, ``3``, ``3.1``."""
        self._bodies = {version: json.dumps(document).encode() for version, document in documents.items()}

    def body(self, version: str | None) -> bytes:
        """The document of a version (2 when none is asked for), encoded; raises ``UnknownVersion``."""
        known = ", ".join(sorted(self._bodies))
        alias = _ALIASES.get("2" if version is None else version)
        if alias is None:
            raise UnknownVersion(f"Swagger version [{version}] is not valid. Supported versions: [{known}].")
        body = self._bodies.get(alias)
        if body is None:
            raise UnknownVersion(
                f"Swagger version [{version}] is not supported for the scoring script."
                f" Supported swagger versions: [{known}]."
            )
        return body


def build(description: Description, *, name: str, version: str, prefix: str, app_root: Path) -> Swagger:
    """Raises ``StartError`` when a user's own file cannot be read."""
    documents: dict[str, JsonObject] = {}
    base = "/" + prefix.strip("/") if prefix.strip("/") else ""
    for swagger_version, files in _FILES.items():
        own = _users_file(app_root, files)
        if own is not None:
            documents[swagger_version] = own
        elif swagger_version in description.versions:
            documents[swagger_version] = _document(swagger_version, description, name, version, base)
    return Swagger(documents)


def _users_file(app_root: Path, names: Sequence[str]) -> JsonObject | None:
    for name in names:
        path = app_root / name
        try:
            text = path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"the service's own {path} cannot be read: {error}") from error
        try:
            content: object = json.loads(text)
        except ValueError as error:
            raise StartError(f"the service's own {path} is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise StartError(f"the service's own {path} is not a JSON object")
        logging.getLogger("windtunnel.swagger").info("the service's own %s is used", path)
        return cast("JsonObject", content)
    return None


def _document(version: str, description: Description, name: str, service_version: str, base: str) -> JsonObject:
    info: JsonObject = {
        "title": name,
        "description": f"API specification for the Azure Machine Learning service {name}",
        "version": service_version,
    }
    definitions: JsonObject = {
        "ServiceInput": description.service_input,
        "ServiceOutput": description.service_output,
        "ErrorResponse": {"type": "object", "properties": {"message": {"type": "string"}}},
    }
    bearer: JsonObject = {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "description": "One of the service's two keys: Bearer <key>",
    }
    write = _Writer(old=version == "2")
    paths: JsonObject = {
        f"{base}/": {"get": write.health()},
        f"{base}/score": {"post": write.score()},
        f"{base}/swagger.json": {"get": write.specification()},
    }
    if version == "2":
        return {
            "swagger": "2.0",
            "info": info,
            "schemes": ["https"],
            "consumes": ["application/json"],
            "produces": ["application/json"],
            "securityDefinitions": {"Bearer": bearer},
            "paths": paths,
            "definitions": definitions,
        }
    return {
        "openapi": "3.1.0" if version == "3.1" else "3.0.3",
        "info": info,
        "security": [{"Bearer": []}],
        "paths": paths,
        "components": {"schemas": definitions, "securitySchemes": {"Bearer": bearer}},
    }


class _Writer:
    """The three operations, in the older or the newer spelling."""

    def __init__(self, *, old: bool) -> None:
        self._old = old
        self._root = "#/definitions/" if old else "#/components/schemas/"

    def health(self) -> JsonObject:
        return {
            "operationId": "ServiceHealthCheck",
            "description": "Answers once the service has started and as long as it runs.",
            "responses": self._responses("The service is up: 'Healthy'.", {"type": "string"}, "text/html"),
        }

    def score(self) -> JsonObject:
        operation: JsonObject = {
            "operationId": "RunMLService",
            "description": "Predicts.",
            "responses": self._responses("The prediction.", self._reference("ServiceOutput")),
        }
        body: JsonObject = {"description": "The input of the prediction."}
        if self._old:
            body |= {"name": "serviceInputPayload", "in": "body", "schema": self._reference("ServiceInput")}
            operation |= {"security": [{"Bearer": []}], "parameters": [body]}
        else:
            body["content"] = {"application/json": {"schema": self._reference("ServiceInput")}}
            operation["requestBody"] = body
        return operation

    def specification(self) -> JsonObject:
        kind: JsonObject = {"type": "string", "enum": ["2", "2.0", "3", "3.0", "3.1"]}
        parameter: JsonObject = {"name": "version", "in": "query", "required": False}
        parameter |= kind if self._old else {"schema": kind}
        return {
            "operationId": "GetSwaggerSpec",
            "description": "Gives this document, in the version asked for.",
            "parameters": [parameter],
            "responses": self._responses("The document.", {"type": "object"}),
        }

    def _reference(self, name: str) -> JsonObject:
        return {"$ref": self._root + name}

    def _responses(self, description: str, schema: Json, media_type: str = "application/json") -> JsonObject:
        return {
            "200": self._response(description, schema, media_type),
            "default": self._response("The request failed.", self._reference("ErrorResponse"), "application/json"),
        }

    def _response(self, description: str, schema: Json, media_type: str) -> JsonObject:
        if self._old:
            return {"description": description, "schema": schema}
        return {"description": description, "content": {media_type: {"schema": schema}}}
