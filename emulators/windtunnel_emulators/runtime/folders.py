"""Removing what containers have left on the disk."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_RUN = re.compile(r"run-(\d+)(\..*)?")


def remove_tree(folder: Path) -> None:
    """Delete a folder, also with parts that their owner may not read: an overlay's work folder, what a container has
    made so. Nothing when it is not there; what belongs to somebody else stays.
    """
    if folder.is_dir():
        for path, names, _ in os.walk(folder):
            for name in names:
                inner = os.path.join(path, name)
                if not os.path.islink(inner) and not os.access(inner, os.R_OK | os.W_OK | os.X_OK):
                    _open_up(inner)
        shutil.rmtree(folder, ignore_errors=True)


def earlier_runs(folder: Path, before: int) -> list[Path]:
    """Of a container's earlier runs, which are ``run-<number>`` in its folder, all but the last one's log."""
    found: list[Path] = []
    for path in folder.glob("run-*"):
        run = _RUN.fullmatch(path.name)
        if run is not None and int(run[1]) < before - (0 if path.is_dir() else 1):
            found.append(path)
    return found


def remove_all(paths: Iterable[Path]) -> None:
    """Files and folders."""
    for path in paths:
        if path.is_dir():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _open_up(path: str) -> None:
    try:
        os.chmod(path, 0o700)
    except PermissionError:
        # Somebody else's; the removal skips it as well.
        return
