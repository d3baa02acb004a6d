"""What the agent keeps of each module on disk: of what it was made, how it ended, how often it was started again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from windtunnel_emulators.files import read_secret, write_secret

if TYPE_CHECKING:
    from pathlib import Path


class Record(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """One module. Moments are seconds since 1970."""

    made_of: str
    """The ``key`` of its spec."""
    digest: str = ""
    """Of its image."""
    restarts: int = 0
    ended: str | None = None
    """``stopped`` or ``failed``; None while it runs, or before its first start."""
    by_order: bool = False
    """It ended because it should."""
    exit_code: int | None = None
    description: str = ""
    started: float | None = None
    exited: float | None = None
    restarted: float | None = None


_log = logging.getLogger(__name__)
_decoder = msgspec.json.Decoder(dict[str, Record])


class Records:
    """All modules of a device, in one file."""

    def __init__(self, file: Path) -> None:
        """What cannot be read is logged and forgotten: then the modules begin anew."""
        self._file = file
        self._records: dict[str, Record] = {}
        content = read_secret(file)
        if content is not None:
            try:
                self._records = _decoder.decode(content)
            except (msgspec.DecodeError, UnicodeDecodeError) as problem:
                _log.error("%s is damaged (%s); the modules' counts of restarts begin anew", file.name, problem)

    def get(self, module: str) -> Record | None:
        return self._records.get(module)

    def names(self) -> list[str]:
        return list(self._records)

    def put(self, module: str, record: Record) -> None:
        """Durable when it returns."""
        if self._records.get(module) != record:
            self._records[module] = record
            self._write()

    def remove(self, module: str) -> None:
        """Safe to repeat."""
        if self._records.pop(module, None) is not None:
            self._write()

    def _write(self) -> None:
        write_secret(self._file, msgspec.json.encode(self._records))
