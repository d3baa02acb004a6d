"""The log of a process that has no terminal: a file of bounded size; the one before it is kept."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FULL = 4 * 1024 * 1024


class LogFile(io.TextIOBase):
    """For ``logs.configure``. A full file becomes ``NAME.1``."""

    def __init__(self, path: Path, *, full: int = FULL) -> None:
        self._path = path
        self._full = full
        self._descriptor = self._opened()

    def write(self, text: str) -> int:
        content = text.encode("utf-8", "backslashreplace")
        if self._size + len(content) > self._full and self._size:
            os.close(self._descriptor)
            os.replace(self._path, self._path.with_name(f"{self._path.name}.1"))
            self._descriptor = self._opened()
        self._size += os.write(self._descriptor, content)
        return len(text)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def _opened(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(descriptor).st_size
        return descriptor
