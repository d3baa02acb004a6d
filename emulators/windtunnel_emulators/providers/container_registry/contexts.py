"""Build contexts that were uploaded, until a day later: whole files, by the paths that were given out for them."""

from __future__ import annotations

import re
import shutil
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{32}")


class Contexts:
    """The contexts below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new_path(self) -> str:
        """A relative path that nothing has been uploaded to."""
        return f"source/{uuid.uuid4().hex}/source.tar.gz"

    def find(self, relative: str) -> Path | None:
        """The file of a relative path; None when nothing was uploaded, or it is no path of ours."""
        name = _context_name(relative)
        path = self._folder / f"{name}.tar.gz"
        return path if name and path.is_file() else None

    def target(self, relative: str) -> Path | None:
        """Where an upload goes; None when it is no path of ours."""
        name = _context_name(relative)
        if name is None:
            return None
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{name}.tar.gz"

    def expire(self, before: float) -> None:
        """Remove what was uploaded before a moment (seconds since 1970)."""
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            if path.stat().st_mtime < before:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _context_name(relative: str) -> str | None:
    parts = relative.split("/")
    if len(parts) == 3 and parts[0] == "source" and parts[2] == "source.tar.gz" and _NAME.fullmatch(parts[1]):
        return parts[1]
    return None
