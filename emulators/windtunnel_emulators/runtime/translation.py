"""Containers without a file system of their own: where mount namespaces are not permitted, paths are rewritten.

The container works on a copy of its image. An absolute path in its arguments, environment or working directory that
exists in the image or lies in a mount becomes the real path. What a program has written into itself is out of reach.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from windtunnel_emulators.runtime.roots import existing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from windtunnel_emulators.runtime.interface import Mount

# A path begins where a word, a value or an entry of a list begins.
_PATH = re.compile(r"""(?:(?<=^)|(?<=[\s=:,;"'(<>|&\[]))/[^\s:,;"'()<>|&\[\]]*""")


class Translation:
    """Rewrites the paths of one container."""

    def __init__(self, root: Path, mounts: Sequence[Mount]) -> None:
        self._root = root
        ordered = sorted(mounts, key=lambda mount: len(mount.target), reverse=True)
        self._mounts = tuple((mount.target.rstrip("/"), existing(mount)) for mount in ordered)

    def path(self, path: str) -> str:
        """The real path of an absolute path; itself when it is one of this machine, or of nothing."""
        for target, source in self._mounts:
            if path == target or path.startswith(target + "/"):
                return str(source) + path[len(target) :]
        normal = os.path.normpath(path)
        inside = self._root / normal.lstrip("/")
        if normal == "/" or normal.startswith("//"):
            return path
        if os.path.lexists(inside):
            return str(inside) + ("/" if path.endswith("/") else "")
        new_here = inside.parent != self._root and inside.parent.is_dir() and not os.path.lexists(path)
        return str(inside) if new_here else path

    def text(self, text: str) -> str:
        """With every path in it rewritten."""
        return _PATH.sub(lambda match: self.path(match.group()), text)

    def arguments(self, arguments: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.text(argument) for argument in arguments)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Programs are looked for in the image's folders first, then in the machine's of the same name."""
        translated = {name: self.text(value) for name, value in environment.items()}
        if "PATH" in environment:
            entries = [both for entry in environment["PATH"].split(":") for both in (self.text(entry), entry)]
            translated["PATH"] = ":".join(dict.fromkeys(entries))
        return translated

    def folder(self, path: str) -> str:
        """A working directory: ``/`` is the image's."""
        return str(self._root) if os.path.normpath(path) in ("/", "//") else self.path(path)


def copy_image(image: Path | None, root: Path) -> None:
    """The container's own copy of its image's files; anew at each start."""
    shutil.rmtree(root, ignore_errors=True)
    if image is None:
        root.mkdir(parents=True)
    else:
        shutil.copytree(image, root, symlinks=True)
    for name in ("tmp", "root"):
        (root / name).mkdir(exist_ok=True)
