"""The documents of an image: its configuration and its manifest, typed; equal values are written as equal bytes.

Source: OCI image specification 1.1, "Image Configuration" and "Image Manifest"; ``Healthcheck`` is Docker's.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.images.layers import LAYER_MEDIA_TYPE
from windtunnel_emulators.jsontypes import Json, JsonObject, as_list, as_object, as_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_MEDIA_TYPE = "application/vnd.oci.image.config.v1+json"

# Go's names, which the specification uses.
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """How an image's containers start."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    ports: frozenset[str] = frozenset()
    """As in ``8080/tcp``."""
    volumes: frozenset[str] = frozenset()
    stop_signal: str = ""
    health_check: JsonObject | None = None
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a manifest says of a blob."""

    digest: str
    size: int
    media_type: str = LAYER_MEDIA_TYPE


def architecture() -> str:
    """Of this machine, in the specification's words."""
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def timestamp(time: int) -> str:
    """RFC 3339, of seconds since 1970."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_config(config: ImageConfig, *, history: Sequence[JsonObject], diff_ids: Sequence[str], time: int) -> bytes:
    """The configuration document."""
    settings: JsonObject = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in sorted(config.ports)},
        "Env": [f"{name}={value}" for name, value in config.environment.items()],
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Volumes": {path: {} for path in sorted(config.volumes)},
        "WorkingDir": config.working_directory,
        "Labels": {name: config.labels[name] for name in sorted(config.labels)},
        "StopSignal": config.stop_signal,
        "Healthcheck": config.health_check or {},
    }
    document: JsonObject = {
        "created": timestamp(time),
        **({"author": config.author} if config.author else {}),
        "architecture": architecture(),
        "os": "linux",
        "config": {name: value for name, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": list(history),
    }
    return msgspec.json.encode(document)


def read_config(document: JsonObject) -> ImageConfig:
    """The reverse; what is missing or of another type is taken for not said."""
    settings = as_object(document.get("config"))
    pairs = (variable.partition("=") for variable in _strings(settings.get("Env")))
    health_check = as_object(settings.get("Healthcheck"))
    return ImageConfig(
        environment={name: value for name, equals, value in pairs if equals},
        entrypoint=_strings(settings.get("Entrypoint")),
        command=_strings(settings.get("Cmd")),
        working_directory=as_str(settings.get("WorkingDir")),
        user=as_str(settings.get("User")),
        labels={name: as_str(value) for name, value in as_object(settings.get("Labels")).items()},
        ports=frozenset(as_object(settings.get("ExposedPorts"))),
        volumes=frozenset(as_object(settings.get("Volumes"))),
        stop_signal=as_str(settings.get("StopSignal")),
        health_check=health_check or None,
        author=as_str(document.get("author")),
    )


def write_manifest(config: Descriptor, layers: Sequence[Descriptor], annotations: Mapping[str, str]) -> bytes:
    """The manifest document."""
    document: JsonObject = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "config": _descriptor(config),
        "layers": [_descriptor(layer) for layer in layers],
        "annotations": {name: annotations[name] for name in sorted(annotations)},
    }
    return msgspec.json.encode(document)


def _descriptor(descriptor: Descriptor) -> Json:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _strings(value: Json) -> tuple[str, ...]:
    return tuple(item for item in as_list(value) if isinstance(item, str))
