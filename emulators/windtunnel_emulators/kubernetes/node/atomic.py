"""Files of a volume that change together, as a kubelet writes them.

``key`` is a link to ``..data/key`` and ``..data`` one to a folder of that moment, so that a reader sees one state.
"""

from __future__ import annotations

import os
import shutil
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DATA = "..data"


def write(folder: Path, files: Mapping[str, tuple[bytes, int]]) -> bool:
    """Make the folder's files exactly these (content and mode by relative path); whether anything changed."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / _DATA
    if data.exists() and _same(data, files):
        return False
    fresh = folder / f"..{uuid.uuid4().hex}"
    fresh.mkdir(mode=0o755)
    for path, (content, mode) in files.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    former = os.readlink(data) if data.is_symlink() else None
    link = folder / f"..{uuid.uuid4().hex}.link"
    link.symlink_to(fresh.name)
    os.replace(link, data)
    wanted = {path.split("/", 1)[0] for path in files}
    for name in wanted:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{_DATA}/{name}")
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    if former is not None:
        shutil.rmtree(folder / former, ignore_errors=True)
    return True


def _same(data: Path, files: Mapping[str, tuple[bytes, int]]) -> bool:
    there = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    if there != set(files):
        return False
    return all(
        (data / path).read_bytes() == content and (data / path).stat().st_mode & 0o777 == mode & 0o777
        for path, (content, mode) in files.items()
    )
