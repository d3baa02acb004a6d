"""Health, version and metrics of the API server itself."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.kubernetes.api.replies import BytesReply

if TYPE_CHECKING:
    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.api.requests import Call
    from windtunnel_emulators.kubernetes.api.storage import Storage

_KINDS = ("healthz", "livez", "readyz")
_CHECKS = ("ping", "log", "etcd", "poststarthook/crd-informer-synced", "poststarthook/rbac/bootstrap-roles")
"""What a client may ask for by name: the checks of the real server that mean something here too."""
_TEXT = b"text/plain; charset=utf-8"


def version_document(version: str) -> JsonObject:
    """``/version`` of a release like ``1.34.4``."""
    major, minor = version.split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{version}",
        "gitCommit": "windtunnel",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": "linux/amd64",
    }


def version_reply(version: str) -> BytesReply:
    return BytesReply(body=msgspec.json.format(msgspec.json.encode(version_document(version)), indent=2))


def health_reply(call: Call, *, ready: bool) -> BytesReply | None:
    """The answer to a health path; None when it is none. ``ready`` is whether all that starts has started."""
    parts = [part for part in call.path.split("/") if part]
    if not parts or parts[0] not in _KINDS:
        return None
    fine = ready or parts[0] == "livez"
    if len(parts) > 1:
        if "/".join(parts[1:]) not in _CHECKS:
            return BytesReply(body=b"404 page not found\n", status=404, content_type=_TEXT)
        return BytesReply(body=b"ok", content_type=_TEXT)
    if fine and "verbose" not in call.query:
        return BytesReply(body=b"ok", content_type=_TEXT)
    lines = [f"[+]{name} ok" for name in _CHECKS]
    if not fine:
        lines.append("[-]poststarthook/start failed: not finished")
    lines.append(f"{parts[0]} check {'passed' if fine else 'failed'}")
    return BytesReply(body="\n".join([*lines, ""]).encode(), status=200 if fine else 500, content_type=_TEXT)


def metrics_reply(storage: Storage, requests: dict[tuple[str, str, int], int]) -> BytesReply:
    """The few figures that are kept, in Prometheus' text form."""
    lines = ["# TYPE apiserver_storage_objects gauge"]
    for resource in sorted(storage.resources()):
        lines.append(f'apiserver_storage_objects{{resource="{resource}"}} {len(storage.table(resource).objects)}')
    lines.append("# TYPE apiserver_request_total counter")
    for (verb, resource, code), count in sorted(requests.items()):
        lines.append(f'apiserver_request_total{{code="{code}",resource="{resource}",verb="{verb}"}} {count}')
    return BytesReply(body="\n".join([*lines, ""]).encode(), content_type=b"text/plain; version=0.0.4; charset=utf-8")
