"""An SQLite file that takes many small changes: written on the event loop's thread, synced to the disk in another.

All changes of a turn of the loop are one transaction (SQLite's own cost is a few microseconds a row). The file is
synced in a thread, because that is where the time goes, and while it is, the next changes gather. Whoever waits for a
change to be safe is told after the sync that began behind it. A process that is killed loses nothing that was
committed; a machine that loses its power, nothing that was synced.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from windtunnel_emulators.files import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PAGES = 4 * 4096
"""About what a transaction adds to the log beyond its content: whole pages."""
_log = logging.getLogger(__name__)


class Writer(Protocol):
    """Who gathers the changes."""

    def write(self) -> None:
        """Put what has gathered into the file; a transaction is open. May raise ``sqlite3.Error``."""
        ...

    def written(self) -> None:
        """It is in the file: it can be read, and survives this process."""
        ...

    def unwritten(self) -> None:
        """It could not be written; nothing of it is in the file."""
        ...

    def safe(self) -> None:
        """What was written before is on the disk, and everybody who waited for that has been told."""
        ...


class GroupCommit:
    """One file, its writer, and who waits."""

    def __init__(
        self,
        file: Path,
        schema: str,
        writer: Writer,
        *,
        what: str,
        thread: str,
        fold: int = 16 * 1024 * 1024,
        eager: bool = False,
    ) -> None:
        """Opens or makes the file. Raises ``sqlite3.Error``.

        ``what`` is what cannot be stored, for sentences. ``fold``: the size of the log at which it is folded into the
        file. ``eager`` writers do not wait with a transaction until the sync before it is over.
        """
        self.connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 0"):
                self.connection.execute(f"PRAGMA {pragma}")
            self.connection.executescript(schema)
        except sqlite3.Error:
            self.connection.close()
            raise
        # The thread has a connection of its own: two threads on one would wait for each other.
        self._checkpointer = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        # Opened apart from SQLite: it is only ever synced, which makes a commit durable (the file is append-only
        # until the next checkpoint, which syncs for itself).
        self._wal = os.open(f"{file}-wal", os.O_RDWR)
        sync_folder(file.parent)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=thread)
        self._writer, self._what, self._fold, self._eager = writer, what, fold, eager
        self._failed: Callable[[str], None] = _log.error
        self._gathered = False
        self._scheduled = False
        self._waiting: list[Callable[[], None]] = []
        """Of the changes that have gathered."""
        self._committed: list[Callable[[], None]] = []
        """Of the changes that are written and wait for the next sync."""
        self._syncing: asyncio.Future[None] | None = None
        self._folding = False
        self._unfolded = 0
        self._closed = False

    def on_failure(self, call: Callable[[str], None]) -> None:
        """``call`` is told, in a sentence, that and why changes could not be stored."""
        self._failed = call

    def gathered(self, size: int, taken: Callable[[], None] | None = None) -> None:
        """There is a change of about ``size`` bytes to write soon; ``taken`` is called once it is safe."""
        self._gathered = True
        self._unfolded += size
        if taken is not None:
            self._waiting.append(taken)
        if not self._scheduled and not self._blocked:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    async def close(self) -> None:
        """Store what has gathered and let go of the file; safe to call twice."""
        while not self._closed and (self._syncing is not None or self._gathered or self._committed):
            if self._syncing is not None:
                await asyncio.wait((self._syncing,))
                # Its callback runs in the next turn.
                await asyncio.sleep(0)
            else:
                self._commit()
                self._sync_soon(always=True)
        if not self._closed:
            self._closed = True
            self._thread.shutdown(wait=True)
            os.close(self._wal)
            self._checkpointer.close()
            self.connection.close()

    @property
    def _blocked(self) -> bool:
        """A fold sees the whole log only while nobody writes to it."""
        return self._syncing is not None and (self._folding or not self._eager)

    def _turn(self) -> None:
        self._scheduled = False
        self._commit()

    def _commit(self) -> None:
        """Write what has gathered, and have it synced."""
        if self._blocked or not self._gathered or self._closed:
            return
        self._gathered = False
        waiting, self._waiting = self._waiting, []
        run = self.connection.execute
        try:
            run("BEGIN IMMEDIATE")
            self._writer.write()
            run("COMMIT")
        except (sqlite3.Error, ValueError, OverflowError) as problem:
            # The last two: a text or a number that SQLite cannot hold.
            if self.connection.in_transaction:
                run("ROLLBACK")
            self._writer.unwritten()
            self._failed(f"{self._what} cannot be stored: {problem}")
            return
        self._unfolded += _PAGES
        self._committed += waiting
        self._writer.written()
        self._sync_soon()

    def _sync_soon(self, *, always: bool = False) -> None:
        """Nobody waits for some changes: they are synced with the next ones, or when the log has grown."""
        fold = self._unfolded > self._fold
        if self._syncing is not None or self._closed or not (self._committed or fold or always):
            return
        taken, self._committed = self._committed, []
        self._folding = fold
        if fold:
            self._unfolded = 0
        self._syncing = asyncio.get_running_loop().run_in_executor(self._thread, self._sync, fold)
        self._syncing.add_done_callback(lambda done: self._synced(done, taken))

    def _sync(self, fold: bool) -> None:
        """In the thread."""
        os.fdatasync(self._wal)
        if fold:
            self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _synced(self, done: asyncio.Future[None], taken: list[Callable[[], None]]) -> None:
        self._syncing = None
        self._folding = False
        problem = None if done.cancelled() else done.exception()
        if problem is not None or done.cancelled():
            self._failed(f"{self._what} cannot be stored: {problem or 'the sync was cancelled'}")
        else:
            for call in taken:
                call()
            self._writer.safe()
        if self._gathered:
            self._commit()
        self._sync_soon()
