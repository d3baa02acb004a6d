"""The plan of one container's file system, as the keeper carries it out (``keeper/root.py``)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime import skeleton
from windtunnel_emulators.runtime.interface import StartError

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.interface import ContainerSpec, Mount
    from windtunnel_emulators.runtime.keeper.protocol import Message, Value

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_STANDARD = ("stdin", "stdout", "stderr")
_LOCAL = Path("/usr/local")


class Roots:
    """Makes plans; ``folder`` is where what all roots share is kept."""

    def __init__(self, folder: Path, *, in_memory: bool) -> None:
        self._in_memory = in_memory
        self._skeleton = skeleton.Skeleton(folder)
        self._skeleton.build()
        self._settings = skeleton.settings()
        self._interpreters = skeleton.interpreter_folders()

    def plan(self, spec: ContainerSpec) -> Message:
        """Raises ``StartError`` for a mount that is not there."""
        image = None if spec.image.root is None else Path(os.path.realpath(spec.image.root))
        folder = Path(os.path.realpath(spec.directory)) / "layer"
        if spec.image.complete and image is not None:
            steps = [self._layers("/", folder, [image]), *_names(spec)]
        else:
            steps = [self._layers("/", folder, [*([image] if image else []), self._skeleton.base]), *_names(spec)]
            steps += self._system(folder, image)
            steps += self._python(folder, image, spec.image.packages)
            steps += [_bind(path) for path in self._settings if image is None or not (image / str(path)[1:]).exists()]
        steps += _kernel_folders()
        for mount in spec.mounts:
            steps.append(_bind(existing(mount), mount.target, read_only=mount.read_only))
        return {"folder": str(folder), "in_memory": self._in_memory, "hostname": host_name(spec), "steps": steps}

    def _layers(self, target: str, folder: Path, lower: list[Path]) -> Value:
        """Layers, the topmost first, that look like one folder; what is written goes to ``folder``."""
        return {
            "kind": "overlay",
            "target": target,
            "lower": [str(path) for path in lower],
            "folder": str(folder),
        }

    def _system(self, folder: Path, image: Path | None) -> list[Value]:
        """The machine's programs, under what the image has at the same places."""
        steps: list[Value] = []
        for name in skeleton.SYSTEM_FOLDERS:
            host = Path("/") / name
            own = _own(image, name)
            if host.is_dir() and (own is not None or not host.is_symlink()):
                lower = [*([own] if own is not None else []), Path(os.path.realpath(host))]
                steps.append(self._layers(f"/{name}", folder / name, lower))
        return steps

    def _python(self, folder: Path, image: Path | None, packages: Path | None) -> list[Value]:
        """The interpreter where it really is, and the image's packages there as well as at ``/usr/local``, where the
        official Python images have them; the machine's own ``/usr/local`` is none of a container's business."""
        binds = [_bind(path) for path in (*self._interpreters, *([packages] if packages is not None else []))]
        if Path(os.path.realpath(sys.base_prefix)).is_relative_to(_LOCAL):
            return binds
        own = _own(image, "usr/local")
        lower = [*([own] if own is not None else []), self._skeleton.python if packages is None else packages]
        local = self._layers(str(_LOCAL), folder / "usr-local", lower)
        return [local, *binds]


def existing(mount: Mount) -> Path:
    """What a mount shows; raises ``StartError`` when there is nothing."""
    if not mount.source.exists():
        raise StartError(f"the mount at {mount.target} has nothing behind it: {mount.source} does not exist")
    return mount.source


def _own(image: Path | None, name: str) -> Path | None:
    """The image's folder of that name, if it is a real one."""
    folder = None if image is None else image / name
    return folder if folder is not None and folder.is_dir() and not folder.is_symlink() else None


def _names(spec: ContainerSpec) -> list[Value]:
    """The group's address is what a container finds for ``localhost`` and for its own name."""
    name = host_name(spec)
    contents = {"/etc/hosts": f"{spec.address}\tlocalhost {name}\n", "/etc/hostname": f"{name}\n"}
    resolver = Path("/etc/resolv.conf")
    if resolver.is_file():
        contents["/etc/resolv.conf"] = resolver.read_text("utf-8", "surrogateescape")
    return [{"kind": "file", "target": path, "content": content} for path, content in contents.items()]


def host_name(spec: ContainerSpec) -> str:
    """What the container is told that its machine is called."""
    return spec.hostname or spec.id.replace("_", "-").replace(".", "-")[-63:].strip("-") or "container"


def _kernel_folders() -> list[Value]:
    return [
        {"kind": "processes", "target": "/proc"},
        {"kind": "bind", "source": "/sys", "target": "/sys", "read_only": True},
        {"kind": "tmpfs", "target": "/dev", "options": "mode=755,size=64k"},
        {"kind": "tmpfs", "target": "/dev/shm", "options": "mode=1777,size=64m"},  # noqa: S108  # the container's own
        {"kind": "terminals", "target": "/dev/pts"},
        _link("/dev/ptmx", "pts/ptmx"),
        _link("/dev/fd", "/proc/self/fd"),
        *(_link(f"/dev/{name}", f"/proc/self/fd/{number}") for number, name in enumerate(_STANDARD)),
        *(_bind(Path("/dev") / name, read_only=False) for name in _DEVICES),
    ]


def _link(target: str, to: str) -> Value:
    return {"kind": "link", "target": target, "to": to}


def _bind(source: Path, target: str | None = None, *, read_only: bool = True) -> Value:
    return {
        "kind": "bind",
        "source": os.path.realpath(source),
        "target": str(source) if target is None else target,
        "read_only": read_only,
    }
