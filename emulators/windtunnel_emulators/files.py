"""Small files that must never be half written, and secrets that nobody else may read."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BY_SYSTEM = {
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "the user's quota is used up",
    errno.EROFS: "its file system is read-only",
}
_BY_STORE = {
    sqlite3.SQLITE_FULL: "its disk is full",
    sqlite3.SQLITE_IOERR: "its disk is full or damaged",
    sqlite3.SQLITE_READONLY: "its file system is read-only",
}


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put ``content`` at ``path`` whole or not at all, durably, with ``mode`` from the first byte on."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # O_EXCL: a file or link that somebody else put there is never written through.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_secret(path: Path, content: bytes) -> None:
    """``write_atomically`` for what only its owner may read."""
    write_atomically(path, content, mode=0o600)


def read_secret(path: Path) -> bytes | None:
    """What a secret file holds, None when it is not there; access for others, if somebody gave it, is taken back."""
    try:
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except FileNotFoundError:
        return None
    return content


def private_folder(path: Path) -> Path:
    """The folder, made with access for its owner alone when it was not there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def unwritable(problem: BaseException) -> str | None:
    """Why nothing can be written, as a sentence, if a problem comes from that: a disk that is full or read-only."""
    if isinstance(problem, sqlite3.Error):
        why = _BY_STORE.get((getattr(problem, "sqlite_errorcode", 0) or 0) & 0xFF)
    else:
        why = _BY_SYSTEM.get(problem.errno or 0) if isinstance(problem, OSError) else None
    return None if why is None else f"The state folder cannot be written to: {why}. Nothing was changed."


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed or removed in ``folder`` survive a power cut, where it can (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
