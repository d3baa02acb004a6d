"""A connection that a Docker engine has upgraded to a raw stream, as the docker package hands it out."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

from windtunnel_emulators.runtime.interface import StartError

if TYPE_CHECKING:
    import io


class Upgraded:
    """Owns the connection; ``close`` it."""

    def __init__(self, handed_out: object) -> None:
        """Raises ``StartError`` for an encrypted connection, which cannot be waited for with others."""
        self._handed_out = handed_out
        found: object = getattr(handed_out, "_sock", handed_out)
        if not isinstance(found, socket.socket) or hasattr(found, "cipher"):
            self._close(handed_out)
            raise StartError("containers can only be attached to on an engine of this machine, not over TLS or SSH")
        self.socket: socket.socket = found

    def early(self) -> bytes:
        """What came together with the answer's header: the HTTP library has it, and the socket no longer.

        Asked once, and with a socket that does not block.
        """
        reader: object = self._handed_out
        for name in ("_response", "raw", "_fp", "fp"):
            reader = getattr(reader, name, None)
        return bytes(cast("io.BufferedReader", reader).peek()) if hasattr(reader, "peek") else b""

    def close(self) -> None:
        """Safe to call twice."""
        self._close(getattr(self._handed_out, "_response", None))
        self._close(self._handed_out)
        self.socket.close()

    def _close(self, thing: object) -> None:
        close: object = getattr(thing, "close", None)
        if callable(close):
            close()
