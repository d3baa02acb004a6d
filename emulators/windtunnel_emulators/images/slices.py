"""Bytes of a file that are read when they are needed, in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from windtunnel_emulators.images.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHUNK = 1 << 20


def never() -> bool:
    """The answer of a job that nobody wants to stop."""
    return False


@dataclass(frozen=True, slots=True)
class Slice:
    """``size`` bytes of ``file`` from ``offset`` on."""

    file: Path
    offset: int
    size: int

    @classmethod
    def whole(cls, file: Path) -> Slice:
        """A file as it is now."""
        return cls(file, 0, file.stat().st_size)

    def read(self, limit: int) -> bytes:
        """Everything. Raises ``ArchiveError`` when that is more than ``limit`` bytes or the file has become shorter."""
        if self.size > limit:
            raise ArchiveError(f"a file of {self.size:,} bytes is too large here; at most {limit:,} are read")
        pieces: list[bytes] = []
        self.copy(pieces.append)
        return b"".join(pieces)

    def copy(self, write: Callable[[bytes], object], *, stop: Callable[[], bool] = never) -> None:
        """Pass the bytes on in pieces. Raises ``ArchiveError`` when stopped or when the file has become shorter."""
        left = self.size
        with self.file.open("rb") as source:
            source.seek(self.offset)
            while left:
                piece = source.read(min(left, _CHUNK))
                if not piece:
                    raise ArchiveError(f"{self.file.name} was cut short while it was read")
                if stop():
                    raise ArchiveError("reading was stopped")
                left -= len(piece)
                write(piece)
