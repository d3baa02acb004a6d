"""Kubeconfigs as AKS words them: they work as they are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import Json, JsonObject
    from windtunnel_emulators.kubernetes.engines.interface import Credential


def document(*, cluster: str, user: str, server: str, ca: str, credential: Credential) -> JsonObject:
    """One cluster, one user, one context, whose name is the cluster's: az adds ``-admin`` itself."""
    shown: JsonObject = {
        "client-certificate-data": _base64(credential.certificate),
        "client-key-data": _base64(credential.key),
    }
    if credential.token is not None:
        shown["token"] = credential.token
    return {
        "apiVersion": "v1",
        "clusters": [{"cluster": {"certificate-authority-data": _base64(ca), "server": server}, "name": cluster}],
        "contexts": [{"context": {"cluster": cluster, "user": user}, "name": cluster}],
        "current-context": cluster,
        "kind": "Config",
        "preferences": {},
        "users": [{"name": user, "user": shown}],
    }


def as_yaml(whole: JsonObject) -> str:
    """The file. Its values are names, addresses and base 64, so it is written without a YAML library."""
    return "\n".join(_lines(whole, 0)) + "\n"


def _lines(value: Json, depth: int) -> list[str]:
    indent = "  " * depth
    found: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list) and item:
                found.append(f"{indent}{key}:")
                found += _lines(item, depth if isinstance(item, list) else depth + 1)
            else:
                found.append(f"{indent}{key}: {_scalar(item)}")
    elif isinstance(value, list):
        for item in value:
            first, *rest = _lines(item, depth + 1)
            found += [f"{indent}- {first.lstrip()}", *rest]
    return found


def _scalar(value: Json) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    plain = text.replace("-", "").replace("_", "").replace("/", "").replace(".", "").replace("+", "").replace("=", "")
    if isinstance(value, str) and not (plain.isalnum() and plain[0].isalpha() and plain.lower() not in _WORDS):
        return msgspec.json.encode(value).decode()
    return text


_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("ascii")).decode("ascii")
