"""OpenAPI documents over HTTP: made when they are asked for, kept until what is served changes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.api.failures import not_acceptable, unknown_path
from windtunnel_emulators.kubernetes.api.negotiation import JSON_TYPE, media_type
from windtunnel_emulators.kubernetes.api.replies import BytesReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel_emulators.kubernetes.api.registry import Registry
    from windtunnel_emulators.kubernetes.api.requests import Call

_V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"


class OpenApi:
    """The documents of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changes = -1
        self._made: dict[str, tuple[bytes, str]] = {}

    def owns(self, path: str) -> bool:
        """Whether the path is one of OpenAPI's."""
        return path == "/openapi/v2" or path == "/openapi/v3" or path.startswith("/openapi/v3/")

    def answer(self, call: Call) -> BytesReply:
        """The answer to ``GET`` of one of its paths. Raises ``Failure``."""
        if call.path == "/openapi/v2":
            return self._second(call)
        self._check_json(call)
        if call.path.rstrip("/") == "/openapi/v3":
            return self._index()
        name = call.path.removeprefix("/openapi/v3/").strip("/")
        body, tag = self._third(name)
        return _conditional(call, body, tag, JSON_TYPE)

    def _kept(self, key: str, make: Callable[[], bytes]) -> tuple[bytes, str]:
        if self._changes != self._registry.changes:
            self._changes = self._registry.changes
            self._made.clear()
        if key not in self._made:
            body = make()
            self._made[key] = (body, hashlib.sha512(body).hexdigest().upper())
        return self._made[key]

    def _second(self, call: Call) -> BytesReply:
        from windtunnel_emulators.kubernetes.api.openapi_protobuf import ASKED, MEDIA_TYPE, encode_document
        from windtunnel_emulators.kubernetes.objects.openapi import document_v2

        catalogue = self._registry.catalogue

        def json() -> bytes:
            return msgspec.json.encode(document_v2(catalogue))

        def protobuf() -> bytes:
            return encode_document(document_v2(catalogue))

        for clause in call.headers.get("accept", "").split(",") or ["*/*"]:
            kind, _ = media_type(clause or "*/*")
            if kind in ASKED:
                body, tag = self._kept("v2 protobuf", protobuf)
                return _conditional(call, body, tag, MEDIA_TYPE)
            if kind in (JSON_TYPE, "*/*", "application/*"):
                body, tag = self._kept("v2", json)
                return _conditional(call, body, tag, JSON_TYPE)
        raise not_acceptable((JSON_TYPE, MEDIA_TYPE))

    def _check_json(self, call: Call) -> None:
        kinds = [media_type(clause)[0] for clause in call.headers.get("accept", "").split(",") if clause.strip()]
        if kinds and not any(kind in (JSON_TYPE, "*/*", "application/*") for kind in kinds):
            raise not_acceptable((JSON_TYPE, _V3_PROTOBUF))

    def _names(self) -> dict[str, tuple[str, str]]:
        registry = self._registry
        found = {"api/v1": ("", "v1")}
        for group in registry.groups():
            for version in registry.versions(group):
                if registry.has(group, version):
                    found[f"apis/{group}/{version}"] = (group, version)
        return found

    def _third(self, name: str) -> tuple[bytes, str]:
        from windtunnel_emulators.kubernetes.objects.openapi import document_v3

        known = self._names().get(name)
        if known is None:
            raise unknown_path()
        group, version = known
        catalogue = self._registry.catalogue
        return self._kept(name, lambda: msgspec.json.encode(document_v3(catalogue, group, version)))

    def _index(self) -> BytesReply:
        # Hashes stand for what is served, not for the documents, which are made only when they are asked for.
        paths = {}
        for name, (group, version) in self._names().items():
            text = self._registry.fingerprint(group, version)
            digest = hashlib.sha512(f"{name} {text}".encode()).hexdigest().upper()
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        return BytesReply(body=msgspec.json.encode({"paths": paths}))


def _conditional(call: Call, body: bytes, tag: str, content_type: str) -> BytesReply:
    headers = ((b"etag", f'"{tag}"'.encode()), (b"vary", b"Accept"))
    known = call.headers.get("if-none-match", "").strip('"') == tag
    if known:
        return BytesReply(body=b"", status=304, content_type=content_type.encode(), headers=headers)
    return BytesReply(body=body, content_type=content_type.encode(), headers=headers)
