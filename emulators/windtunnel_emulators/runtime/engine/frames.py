"""The frames in which a Docker engine sends two streams over one connection: stream, three zeros, length, content."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from windtunnel_emulators.runtime.logs import Stream

_HEADER = 8
_STREAMS: dict[int, Stream] = {1: "stdout", 2: "stderr"}


class Frames:
    """Cuts what comes into the contents of frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """The contents that are whole now, with their streams."""
        self._data += data
        found: list[tuple[Stream, bytes]] = []
        while len(self._data) >= _HEADER:
            end = _HEADER + int.from_bytes(self._data[4:8], "big")
            if len(self._data) < end:
                break
            found.append((_STREAMS.get(self._data[0], "stderr"), bytes(self._data[_HEADER:end])))
            del self._data[:end]
        return found
