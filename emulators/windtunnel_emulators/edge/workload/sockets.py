"""The sockets of the workload API: one for each module, in a short private folder.

The path of a Unix socket has 108 bytes at most on Linux (104 elsewhere), and the folder of a device may be deeper than
that, so the sockets are in a temporary folder; which one is written down, for the next start to remove what a process
that was killed has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from windtunnel_emulators.files import write_secret
from windtunnel_emulators.server import Listener

if TYPE_CHECKING:
    from windtunnel_emulators.asgi import ASGI

_PREFIX = "wt-edge-"
_BACKLOG = 32


class Sockets:
    """Of one device."""

    def __init__(self, note: Path) -> None:
        """``note`` is the file that the folder is written down in."""
        self._note = note
        self._folder: Path | None = None
        self._listeners: dict[str, tuple[Listener, Path]] = {}
        self._number = 0

    async def open(self, module: str, app: ASGI) -> Path:
        """Serve ``app`` to a module; where its socket is."""
        known = self._listeners.get(module)
        if known is not None:
            return known[1]
        folder = self._folder or self._made()
        self._number += 1
        path = folder / f"{self._number}.sock"
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(path))
            # The folder is closed to others; a module that has given up root's powers must reach its socket.
            path.chmod(0o666)
            bound.listen(_BACKLOG)
            bound.setblocking(False)
            listener = Listener(app, bound)
            await listener.start(None)
        except BaseException:
            bound.close()
            raise
        self._listeners[module] = (listener, path)
        return path

    async def close(self, module: str) -> None:
        """Safe to repeat."""
        known = self._listeners.pop(module, None)
        if known is not None:
            await known[0].stop()
            known[1].unlink(missing_ok=True)

    async def close_all(self) -> None:
        await asyncio.gather(*(self.close(module) for module in list(self._listeners)))
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._note.unlink(missing_ok=True)
            self._folder = None

    def sweep(self) -> None:
        """Remove what a predecessor that was killed has left."""
        with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
            former = Path(self._note.read_text("utf-8").strip())
            # Only a folder that is one of ours by its name and place: the note is a file like any other.
            if former.parent == Path(tempfile.gettempdir()) and former.name.startswith(_PREFIX):
                shutil.rmtree(former, ignore_errors=True)
            self._note.unlink()

    def _made(self) -> Path:
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        write_secret(self._note, str(self._folder).encode())
        return self._folder
