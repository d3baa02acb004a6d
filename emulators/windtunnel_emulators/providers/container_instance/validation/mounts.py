"""Rules of volume mounts: paths stay inside the container."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from .terms import invalid

if TYPE_CHECKING:
    from windtunnel_emulators.providers.container_instance.container_bodies import VolumeMount

_MAX_PATH = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def mount_point(path: str) -> str:
    """The path as the container sees it: absolute (the service takes one without a slash too), without doubles."""
    return posixpath.normpath("/" + path.lstrip("/"))


def check_mounts(name: str, container: str, mounts: list[VolumeMount], path: str, volumes: list[str]) -> None:
    """Each names a volume of the group, at a path of its own."""
    taken: dict[str, str] = {}
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        if mount.name not in volumes:
            raise invalid(
                "VolumeMountNotFound",
                f"The volume mount '{mount.name or ''}' in container '{container}' of container group '{name}' names no"
                f" volume of the group; its volumes are '{','.join(volumes)}'.",
                f"{here}.name",
            )
        problem = _problem(mount.mount_path)
        if problem is not None:
            raise invalid(
                "InvalidVolumeMountPath",
                f"The mount path '{mount.mount_path or ''}' of volume '{mount.name}' in container '{container}' of"
                f" container group '{name}' is invalid. {problem}",
                f"{here}.mountPath",
            )
        point = mount_point(mount.mount_path or "")
        if point in taken:
            raise invalid(
                "DuplicateVolumeMountPath",
                f"The mount path '{point}' is used by volumes '{taken[point]}' and '{mount.name}' in container"
                f" '{container}' of container group '{name}'.",
                f"{here}.mountPath",
            )
        taken[point] = mount.name or ""


def _problem(path: str | None) -> str | None:
    if not path:
        return "The volume mount path cannot be empty."
    if ":" in path:
        return "The volume mount path cannot contain ':'."
    if ".." in path.split("/"):
        return "The volume mount path cannot lead upwards ('..')."
    if len(path) > _MAX_PATH or _CONTROL.search(path):
        return f"The volume mount path is at most {_MAX_PATH} characters long and has no control characters."
    if mount_point(path) == "/":
        return "The volume mount path cannot be the root of the container."
    return None
