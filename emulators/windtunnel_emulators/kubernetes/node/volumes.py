"""The volumes of a pod: folders of this machine, filled and kept current.

NotMounted    a volume that cannot be had (yet), and why
"""

from __future__ import annotations

import asyncio
import posixpath
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.kubernetes.client.meta import (
    dig,
    entries,
    flag,
    mapping,
    namespace_of,
    number,
    optional_number,
    text,
)
from windtunnel_emulators.kubernetes.node import atomic
from windtunnel_emulators.kubernetes.node.downward import field_value, resource_value
from windtunnel_emulators.kubernetes.node.environment import data_of, expand
from windtunnel_emulators.runtime.hooks import NotConfigured
from windtunnel_emulators.runtime.interface import Mount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from pathlib import Path

    from windtunnel_emulators.jsontypes import JsonObject
    from windtunnel_emulators.kubernetes.node.environment import References

_MODE = 0o644
Files = dict[str, tuple[bytes, int]]

_REFUSED = {
    "persistentVolumeClaim": "persistent volumes are not emulated; use an emptyDir, or run on AKS",
    "hostPath": "pods of this cluster see nothing of the machine that runs it; use an emptyDir or a configMap",
    "azureFile": "Azure Files is not emulated; use an emptyDir",
    "azureDisk": "Azure disks are not emulated; use an emptyDir",
    "nfs": "network file systems are not mounted here; use an emptyDir",
    "csi": "no CSI driver runs on this node; use an emptyDir",
    "ephemeral": "persistent volumes are not emulated; use an emptyDir",
    "iscsi": "network disks are not mounted here; use an emptyDir",
    "fc": "network disks are not mounted here; use an emptyDir",
    "image": "images are not mounted as volumes here; build the files into the container's image",
    "gitRepo": "git volumes are not mounted here; clone in an init container",
}


class NotMounted(Exception):
    """The volume cannot be mounted now; the message is the event's."""

    def __init__(self, volume: str, why: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {why}')
        self.volume = volume


class Tokens(Protocol):
    """Where tokens of a pod's service account come from."""

    def token(self, pod: JsonObject, audience: str, seconds: int) -> Awaitable[str]: ...


class Volumes:
    """Of one pod, below ``folder``."""

    def __init__(self, folder: Path, references: References, tokens: Tokens, node: JsonObject) -> None:
        """``node`` is what of the node is allocatable."""
        self._folder = folder
        self._references = references
        self._tokens = tokens
        self._node = node
        self._written: dict[str, Files] = {}
        self.refers_to: set[str] = set()
        """``configmap/NAME`` and ``secret/NAME`` of what changes with them."""

    def path(self, name: str) -> Path:
        return self._folder / name

    async def prepare(self, pod: JsonObject, run: Mapping[str, str]) -> None:
        """Make them all, or bring them up to date. Raises ``NotMounted`` for the first that cannot be had."""
        for volume in entries(pod, "spec", "volumes"):
            name = text(volume, "name")
            folder = self.path(name)
            if "emptyDir" in volume:
                if not folder.is_dir():
                    folder.mkdir(parents=True)
                    folder.chmod(0o777)
                continue
            try:
                files = await self._files(volume, pod, run)
            except NotConfigured as problem:
                raise NotMounted(name, str(problem)) from problem
            except OSError as problem:
                raise NotMounted(name, problem.strerror or str(problem)) from problem
            if self._written.get(name) != files:
                await asyncio.to_thread(atomic.write, folder, files)
                self._written[name] = files

    async def _files(self, volume: JsonObject, pod: JsonObject, run: Mapping[str, str]) -> Files:
        name = text(volume, "name")
        for kind in ("configMap", "secret", "downwardAPI"):
            if kind in volume:
                source = mapping(volume, kind)
                mode = number(source, "defaultMode", default=_MODE)
                return await self._source(kind, source, mode, pod, run)
        if "projected" in volume:
            mode = number(volume, "projected", "defaultMode", default=_MODE)
            found: Files = {}
            for source in entries(volume, "projected", "sources"):
                for kind, inner in source.items():
                    found |= await self._source(kind, inner if isinstance(inner, dict) else {}, mode, pod, run)
            return found
        kind = next((key for key in volume if key != "name"), "")
        raise NotMounted(name, _REFUSED.get(kind, f"volumes of type {kind} are not emulated; use an emptyDir"))

    async def _source(self, kind: str, source: JsonObject, mode: int, pod: JsonObject, run: Mapping[str, str]) -> Files:
        namespace = namespace_of(pod)
        match kind:
            case "configMap" | "secret":
                name = text(source, "name") or text(source, "secretName")
                look = self._references.config_map if kind == "configMap" else self._references.secret
                self.refers_to.add(f"{kind.lower()}/{name}")
                data = data_of(await look(namespace, name))
                if data is None:
                    if flag(source, "optional"):
                        return {}
                    raise NotConfigured(f'{kind.lower()} "{name}" not found')
                return _chosen(source, data, mode, f"references non-existent {kind.lower()} key")
            case "downwardAPI":
                return self._downward(source, mode, pod, run)
            case "serviceAccountToken":
                seconds = number(source, "expirationSeconds", default=3600)
                token = await self._tokens.token(pod, text(source, "audience"), seconds)
                # For others than root only what fsGroup allows: all of a pod's processes are one user here.
                return {_safe(text(source, "path")): (token.encode(), mode)}
            case "clusterTrustBundle" | "podCertificate":
                raise NotConfigured(f"projections of {kind} are not emulated")
            case _:
                raise NotConfigured(f"projections of {kind} are not known here")

    def _downward(self, source: JsonObject, mode: int, pod: JsonObject, run: Mapping[str, str]) -> Files:
        found: Files = {}
        for item in entries(source, "items"):
            if "fieldRef" in item:
                value = field_value(pod, text(item, "fieldRef", "fieldPath"), run)
            else:
                value = resource_value(pod, {}, mapping(item, "resourceFieldRef"), self._node)
            given = optional_number(item, "mode")
            found[_safe(text(item, "path"))] = (
                value.encode("utf-8", "surrogateescape"),
                mode if given is None else given,
            )
        return found

    def mounts(self, container: JsonObject, pod: JsonObject, variables: Mapping[str, str]) -> tuple[Mount, ...]:
        """Where the container sees them. Raises ``NotConfigured``."""
        kinds = {text(v, "name"): v for v in entries(pod, "spec", "volumes")}
        found: list[Mount] = []
        for mount in entries(container, "volumeMounts"):
            name = text(mount, "name")
            volume = kinds.get(name, {})
            source = self.path(name)
            inner = text(mount, "subPath") or expand(text(mount, "subPathExpr"), variables)
            if inner:
                source = self._below(source, inner, volume)
            fixed = "emptyDir" not in volume
            read_only = flag(mount, "readOnly") or fixed
            found.append(Mount(source=source, target=_target(text(mount, "mountPath")), read_only=read_only))
        return tuple(found)

    def _below(self, folder: Path, inner: str, volume: JsonObject) -> Path:
        """A path of the volume; of an emptyDir it is made. Links that lead out of it are refused."""
        parts = posixpath.normpath(inner).split("/")
        if inner.startswith("/") or ".." in parts:
            raise NotConfigured(f'failed to prepare subPath for volumeMount: subPath "{inner}" leads out of the volume')
        path = folder.joinpath(*parts)
        if "emptyDir" in volume and not path.exists():
            path.mkdir(parents=True)
            path.chmod(0o777)
        real = path.resolve()
        if not real.is_relative_to(folder.resolve()):
            raise NotConfigured(f'failed to prepare subPath for volumeMount: subPath "{inner}" leads out of the volume')
        if not real.exists():
            raise NotConfigured(f'failed to prepare subPath for volumeMount: there is no "{inner}" in the volume')
        return real

    def sizes(self, pod: JsonObject) -> list[tuple[str, str, Path]]:
        """The emptyDirs with a limit: name, limit, folder."""
        return [
            (text(v, "name"), text(v, "emptyDir", "sizeLimit"), self.path(text(v, "name")))
            for v in entries(pod, "spec", "volumes")
            if dig(v, "emptyDir", "sizeLimit") is not None
        ]


def _chosen(source: JsonObject, data: Mapping[str, bytes], mode: int, missing: str) -> Files:
    """All keys, or those of ``items`` at their paths. Raises ``NotConfigured``."""
    items = source.get("items")
    if not isinstance(items, list) or not items:
        return {key: (content, mode) for key, content in data.items()}
    found: Files = {}
    for item in entries(source, "items"):
        key, given = text(item, "key"), optional_number(item, "mode")
        if key not in data:
            if flag(source, "optional"):
                continue
            raise NotConfigured(f"{missing}: {key}")
        found[_safe(text(item, "path"))] = (data[key], mode if given is None else given)
    return found


def _safe(path: str) -> str:
    """Raises ``NotConfigured`` for a path that leads out of the volume, which no API server lets through."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise NotConfigured(f"path {path!r} leads out of the volume")
    return path


def _target(path: str) -> str:
    return posixpath.normpath(path if path.startswith("/") else f"/{path}")
