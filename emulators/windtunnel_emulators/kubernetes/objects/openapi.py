"""OpenAPI documents, v2 and v3, made of the schemas and the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.objects.catalogue import Catalogue


def document_v2(catalogue: Catalogue) -> JsonObject:
    return {"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.34.4"}, "paths": {}, "definitions": {}}


def document_v3(catalogue: Catalogue, group: str, version: str) -> JsonObject:
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.4"}, "paths": {}, "components": {}}
